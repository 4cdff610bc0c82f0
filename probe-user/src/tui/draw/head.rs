//! Who the daemon is, and the verdict about it.

use ratatui::{buffer::Buffer, layout::Rect};

use super::pen::{self, Piece};
use crate::{
    status::mode_words,
    tui::{
        look::{Tone, mark},
        state::{Silence, State},
        verdict,
        words::{clock, number, span, wrap},
    },
};

/// Lines above the verdict.
pub const LINES: u16 = 1;

/// Draws who it is.
pub fn draw(page: &mut Buffer, area: Rect, state: &State) {
    let mut pieces = vec![Piece::new("Lapwing", Tone::Strong)];
    if let Some(known) = &state.known {
        let document = &known.told.document;
        pieces.push(Piece::new(
            format!("  {} / {}", document.site, document.host),
            Tone::Plain,
        ));
        pieces.push(Piece::new(
            format!(
                "   version {}, mode {}, up {}",
                document.version,
                mode_words(document.mode),
                span(document.uptime_seconds)
            ),
            Tone::Soft,
        ));
    }
    pen::line(page, area, &pieces);
}

/// The lines of the verdict: a headline, and what is wrong in so many lines of sentences.
pub fn verdict(state: &State, width: u16, lines: u16) -> Vec<Vec<Piece>> {
    let room = usize::from(lines);
    let mut lines = vec![headline(state)];
    if let Some(Silence { why, .. }) = &state.silence {
        let why = wrap(why, width).into_iter().take(room);
        lines.extend(why.map(|line| vec![Piece::new(line, Tone::Plain)]));
        if state.known.is_some() {
            lines.push(vec![Piece::new("What is shown below is old.", Tone::Plain)]);
        }
        return lines;
    }
    let Some(known) = state.known.as_ref().filter(|_| room > 0) else {
        return lines;
    };
    let told = verdict::lines(&known.troubles);
    let mut shown = 0;
    for line in &told {
        let severity = Some(line.severity);
        let mut wrapped = wrap(&line.sentence, width.saturating_sub(2));
        wrapped.truncate(room);
        let is_last = shown + 1 == told.len();
        // A line is kept for how many are not shown.
        if lines.len() - 1 + wrapped.len() + usize::from(!is_last) > room && shown > 0 {
            break;
        }
        shown += 1;
        lines.extend(wrapped.into_iter().enumerate().map(|(index, text)| {
            let start = if index == 0 { mark(severity) } else { ' ' };
            vec![
                Piece::new(format!("{start} "), Tone::of(severity)),
                Piece::new(text, Tone::Plain),
            ]
        }));
    }
    if shown < told.len() {
        let left = number(told.len() - shown);
        let left = format!("… and {left} more: the panes below show them");
        lines.push(vec![Piece::new(left, Tone::Soft)]);
    }
    lines
}

fn headline(state: &State) -> Vec<Piece> {
    if let Some(Silence { since, .. }) = &state.silence {
        let words = since.map_or_else(
            || "No answer yet".to_owned(),
            |since| format!("No answer since {}", clock(since)),
        );
        return vec![Piece::badge(format!(" ? {words} "), Tone::Strong)];
    }
    let Some(known) = &state.known else {
        return vec![Piece::new(" Waiting for the first answer ", Tone::Soft)];
    };
    let (worst, words) = verdict::headline(&known.troubles);
    let words = format!(" {} {words} ", mark(worst));
    vec![match worst {
        Some(_) => Piece::badge(words, Tone::of(worst)),
        None => Piece::new(words, Tone::Good),
    }]
}
