//! Text on one line: pieces with a tone each, cut with "…" where there is no room.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::Span,
};

use crate::tui::{look::Tone, words};

/// A text in one tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// How it looks.
    pub style: Style,
}

impl Piece {
    /// One.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            style: tone.style(),
        }
    }

    /// One that is seen from afar.
    pub fn badge(text: impl Into<String>, tone: Tone) -> Self {
        let mut piece = Self::new(text, tone);
        piece.style = piece.style.add_modifier(Modifier::REVERSED);
        piece
    }

    /// How many columns it takes.
    pub fn width(&self) -> u16 {
        words::width(&self.text)
    }
}

/// Writes pieces one after the other; what does not fit ends with "…".
pub fn line(page: &mut Buffer, area: Rect, pieces: &[Piece]) {
    let end = area.x + area.width;
    let mut x = area.x;
    for piece in pieces {
        if x >= end {
            return;
        }
        x = put(
            page,
            Rect {
                x,
                width: end - x,
                ..area
            },
            piece,
        );
    }
}

/// Writes pieces, and a rule in the style of the last one to the end of the line.
pub fn title(page: &mut Buffer, area: Rect, mut pieces: Vec<Piece>) {
    let used = pieces.iter().map(Piece::width).fold(0, u16::saturating_add);
    let style = pieces.last().map(|last| last.style).unwrap_or_default();
    let text = "─".repeat(usize::from(area.width.saturating_sub(used)));
    pieces.push(Piece { text, style });
    line(page, area, &pieces);
}

/// Writes a piece; where it ends.
pub fn put(page: &mut Buffer, area: Rect, piece: &Piece) -> u16 {
    if area.is_empty() {
        return area.x;
    }
    let span = Span::styled(clip(&piece.text, area.width), piece.style);
    page.set_span(area.x, area.y, &span, area.width).0
}

/// The text itself, or as much of it as fits with "…" behind.
pub fn clip(text: &str, columns: u16) -> String {
    // What a terminal would obey is no text; a line break, least of all.
    let text: String = text.chars().filter(|letter| !letter.is_control()).collect();
    if words::width(&text) <= columns {
        return text;
    }
    let mut short = String::new();
    for letter in text.chars() {
        short.push(letter);
        if words::width(&short) >= columns {
            short.pop();
            break;
        }
    }
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_seen_to_be_cut() {
        for (text, columns, expected) in [
            ("withdrawn", 9, "withdrawn"),
            ("withdrawn", 8, "withdra…"),
            ("withdrawn", 1, "…"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("\u{1b}[2Jgone\n", 80, "[2Jgone"),
        ] {
            assert_eq!(clip(text, columns), expected, "{text:?} in {columns}");
        }
    }
}
