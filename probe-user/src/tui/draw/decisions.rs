//! The pane of the decisions and holds.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{
    pen::{self, Piece},
    prefixes::severity,
    row,
    table::{self, Sight},
};
use crate::{
    journal::recent::{Decision, What},
    status::troubles::Severity,
    tui::{
        known::Known,
        look::{Tone, mark},
        panes::{Pane, Rows},
        state::State,
        words::{moment, plain, width},
    },
};

/// Draws it: when, what, and the reason in as much of its sentence as there is room for.
pub fn draw(page: &mut Buffer, area: Rect, state: &State, known: &Known, rows: &Rows) {
    let all = &known.told.decisions;
    if rows.places.is_empty() {
        let sentence = if all.is_empty() {
            "None yet."
        } else {
            "No decision is like that."
        };
        pen::line(page, row(area, 0), &[Piece::new(sentence, Tone::Soft)]);
        return;
    }
    let (first, last) = rows.list.in_sight(rows.places.len());
    let in_sight = rows.places[first..last].iter().map(|place| &all[*place]);
    let longest = |text: &dyn Fn(&Decision) -> u16| in_sight.clone().map(text).max().unwrap_or(0);
    let time = longest(&|decision| width(moment(&decision.time, state.now)));
    let about = longest(&|decision| width(&words(decision))).min(area.width / 2);
    let sight = Sight {
        rows,
        is_chosen: state.pane == Pane::Decisions,
    };
    table::rows(page, area, sight, |page, line, place| {
        let decision = &all[place];
        let severity = weight(decision);
        let (mut x, end) = (line.x, line.x + line.width);
        for (piece, width) in [
            (Piece::new(mark(severity), Tone::of(severity)), 1),
            (
                Piece::new(moment(&decision.time, state.now), Tone::Soft),
                time,
            ),
            (Piece::new(words(decision), Tone::of(severity)), about),
            (Piece::new(&*decision.sentence, Tone::Plain), u16::MAX),
        ] {
            let width = width.min(end.saturating_sub(x));
            pen::put(page, Rect { x, width, ..line }, &piece);
            x = x.saturating_add(width).saturating_add(1);
        }
    });
}

/// How bad it is.
pub fn weight(decision: &Decision) -> Option<Severity> {
    match decision.event {
        What::Held => Some(Severity::Warning),
        What::Decision => severity(decision.level),
    }
}

/// "192.0.2.0/24 withdrawn", "192.0.2.0/24 held by last site".
fn words(decision: &Decision) -> String {
    match decision.event {
        What::Held => format!(
            "{} held by {}",
            decision.prefix,
            plain(decision.guard.as_deref().unwrap_or("?"))
        ),
        What::Decision => format!("{} {}", decision.prefix, decision.level),
    }
}
