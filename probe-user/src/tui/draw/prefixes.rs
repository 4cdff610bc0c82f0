//! The pane of the prefixes.

use probe_core::Level;
use ratatui::{buffer::Buffer, layout::Rect};

use super::{
    pen::{self, Piece},
    row,
    table::{Column, Sight, table},
};
use crate::{
    status::{PrefixView, times, troubles::Severity, waiting::waits_for},
    tui::{
        known::Known,
        look::{Tone, mark},
        panes::{Pane, Rows},
        state::State,
        words::{plain, width},
    },
};

#[derive(Clone, Copy)]
enum Field {
    Prefix,
    Table,
    Decided,
    Waits,
    Export,
    Elsewhere,
    Withdrawn,
}

/// Draws it.
pub fn draw(page: &mut Buffer, area: Rect, state: &State, known: &Known, rows: &Rows) {
    let document = &known.told.document;
    if rows.places.is_empty() {
        let sentence = if document.prefixes.is_empty() {
            "No prefix is configured: Lapwing watches, and changes no route."
        } else if state.filter.text.is_empty() {
            "No prefix needs attention."
        } else {
            "No prefix is like that."
        };
        pen::line(page, row(area, 0), &[Piece::new(sentence, Tone::Soft)]);
        return;
    }
    let longest = document.prefixes.iter().map(|prefix| width(&prefix.prefix));
    let longest = longest
        .max()
        .unwrap_or(0)
        .clamp(6, (area.width / 4).max(18));
    let column = |field, title, width, from| Column {
        field,
        title,
        width,
        is_number: false,
        from,
    };
    let columns = [
        column(Field::Prefix, "PREFIX", Some(longest), 0),
        column(Field::Table, "IN THE TABLE", Some(12), 0),
        column(Field::Decided, "DECIDED", Some(21), 120),
        column(Field::Waits, "IT WAITS FOR", None, 60),
        column(Field::Export, "EXPORT", Some(14), 60),
        column(Field::Elsewhere, "ELSEWHERE", Some(24), 140),
        column(Field::Withdrawn, "WITHDRAWN", Some(9), 76),
    ];
    let sight = Sight {
        rows,
        is_chosen: state.pane == Pane::Prefixes,
    };
    table(page, area, &columns, sight, |place, field| {
        let prefix = &document.prefixes[place];
        match field {
            Field::Prefix => Piece::new(&*prefix.prefix, Tone::Plain),
            Field::Table => level(prefix.observed),
            Field::Decided => Piece::new(decided(prefix), Tone::Plain),
            Field::Waits => {
                let waits = waits_for(prefix, document);
                let is_held = prefix.held_by.is_some() || !prefix.orders.is_empty();
                let tone = if is_held { Tone::Warning } else { Tone::Plain };
                Piece::new(waits.unwrap_or_else(|| "nothing".to_owned()), tone)
            }
            Field::Export => export(prefix),
            Field::Elsewhere => Piece::new(elsewhere(prefix), Tone::Plain),
            Field::Withdrawn => Piece::new(times(prefix.withdrawals), Tone::Plain),
        }
    });
}

/// What stands in the kernel's table.
pub fn level(level: Option<Level>) -> Piece {
    match level {
        None => Piece::new("not read yet", Tone::Plain),
        Some(level) => {
            let severity = severity(level);
            let text = format!("{} {level}", mark(severity));
            Piece::new(text, Tone::of(severity))
        }
    }
}

/// How bad it is that a prefix has this level.
pub fn severity(level: Level) -> Option<Severity> {
    match level {
        Level::Full => None,
        Level::Degraded => Some(Severity::Warning),
        Level::Withdrawn => Some(Severity::Fault),
    }
}

/// What was decided, and why it stands there if that says more.
pub fn decided(prefix: &PrefixView) -> String {
    let Some(wanted) = prefix.wanted else {
        return "nothing yet".to_owned();
    };
    let (wanted, standing) = (wanted.to_string(), plain(prefix.standing.name()));
    if standing == wanted || standing == "announced" {
        wanted
    } else {
        format!("{wanted}, {standing}")
    }
}

/// What BIRD is known to do with it.
pub fn export(prefix: &PrefixView) -> Piece {
    match prefix.export.verified {
        None => Piece::new("not asked", Tone::Plain),
        Some(true) => Piece::new("✓ verified", Tone::Good),
        Some(false) => Piece::new("✕ not verified", Tone::Fault),
    }
}

fn elsewhere(prefix: &PrefixView) -> String {
    if prefix.others.is_empty() {
        return "not known".to_owned();
    }
    let others: Vec<String> = prefix
        .others
        .iter()
        .map(|other| {
            let level = other.level().map(|level| level.to_string());
            let level = level.as_deref().unwrap_or("stale");
            format!("{}/{} {level}", other.site, other.host)
        })
        .collect();
    others.join(", ")
}
