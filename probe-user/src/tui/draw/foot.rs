//! The last line: what can be done, or the filter while it is typed.

use ratatui::{buffer::Buffer, layout::Rect};

use super::pen::{self, Piece};
use crate::tui::{look::Tone, state::State};

/// Lines below all others.
pub const LINES: u16 = 1;

/// Draws it.
pub fn draw(page: &mut Buffer, area: Rect, state: &State) {
    let mut pieces = Vec::new();
    let keys: &[(&str, &str)] = if state.filter.typing {
        pieces.push(Piece::new(format!("/{}", state.filter.text), Tone::Strong));
        pieces.push(Piece::badge(" ", Tone::Plain));
        pieces.push(Piece::new("  ", Tone::Plain));
        &[("Enter", "keep"), ("Esc", "clear"), ("↑↓", "move")]
    } else if state.opened.is_some() {
        &[("Esc", "close"), ("↑↓", "scroll"), ("q", "quit")]
    } else {
        if !state.filter.text.is_empty() {
            pieces.push(Piece::badge(
                format!(" only \"{}\" ", state.filter.text),
                Tone::Plain,
            ));
            pieces.push(Piece::new(" Esc shows all  ", Tone::Plain));
        }
        &[
            ("q", "quit"),
            ("?", "help"),
            ("Tab", "next pane"),
            ("↑↓", "move"),
            ("Enter", "details"),
            ("/", "filter"),
            (
                "a",
                if state.filter.attention {
                    "show all"
                } else {
                    "attention"
                },
            ),
        ]
    };
    for (key, what) in keys {
        pieces.push(Piece::new(*key, Tone::Strong));
        pieces.push(Piece::new(format!(" {what}  "), Tone::Soft));
    }
    pen::line(page, area, &pieces);
}
