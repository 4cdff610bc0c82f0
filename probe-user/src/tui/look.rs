//! How things look: marks and tones flow in from the drawing, the terminal's own colours
//! flow out.
//!
//! The drawing always writes in Unicode and in colour; what the terminal or its user
//! cannot have is taken away afterwards, in one place. No tone is a colour alone: each
//! goes with a mark or a word.

use std::{env, ffi::OsString};

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

use crate::{colours, status::troubles::Severity};

/// What a text says beside its words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// It is of less weight.
    Soft,
    /// It is a title.
    Strong,
    /// All is well with it.
    Good,
    /// It protects less than it should.
    Warning,
    /// It is a fault.
    Fault,
}

impl Tone {
    /// In colours that the user's theme defines, so that they are readable on its ground.
    pub fn style(self) -> Style {
        let plain = Style::new();
        match self {
            Self::Plain => plain,
            Self::Soft => plain.add_modifier(Modifier::DIM),
            Self::Strong => plain.add_modifier(Modifier::BOLD),
            Self::Good => plain.fg(Color::Green),
            Self::Warning => plain.fg(Color::Yellow).add_modifier(Modifier::BOLD),
            Self::Fault => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    /// The tone of a trouble, and of what has none.
    pub fn of(severity: Option<Severity>) -> Self {
        match severity {
            None => Self::Good,
            Some(Severity::Fault) => Self::Fault,
            Some(Severity::Warning) => Self::Warning,
            Some(Severity::Advice) => Self::Plain,
        }
    }
}

/// The mark of a trouble, and of what has none; the same as on the page.
pub fn mark(severity: Option<Severity>) -> char {
    match severity {
        None => '✓',
        Some(Severity::Fault) => '✕',
        Some(Severity::Warning) => '!',
        Some(Severity::Advice) => 'i',
    }
}

/// What the terminal can show, and its user wants to see.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Whether there are colours.
    pub colours: bool,
    /// Whether there is more than ASCII.
    pub unicode: bool,
}

impl Look {
    /// As the environment says.
    pub fn of_environment() -> Self {
        Self {
            colours: colours::wanted_on(&std::io::stdout()),
            unicode: is_utf8(|name| env::var_os(name)),
        }
    }

    /// Takes away what cannot be shown.
    pub fn apply(self, buffer: &mut Buffer) {
        for cell in &mut buffer.content {
            if !self.colours {
                cell.fg = Color::Reset;
                cell.bg = Color::Reset;
            }
            if !self.unicode && !cell.symbol().is_ascii() {
                cell.set_char(ascii(cell.symbol()));
            }
        }
    }
}

/// Greys out what is old.
pub fn fade(buffer: &mut Buffer, area: Rect) {
    buffer.set_style(
        area,
        Style::new()
            .fg(Color::Reset)
            .remove_modifier(Modifier::BOLD)
            .add_modifier(Modifier::DIM),
    );
}

/// Whether the locale of characters is UTF-8: the first of these variables that is set
/// and not empty decides, as POSIX says.
fn is_utf8(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty())
        .is_some_and(|value| {
            let value = value.to_string_lossy().to_ascii_lowercase();
            value.contains("utf-8") || value.contains("utf8")
        })
}

/// The nearest character that every terminal has.
fn ascii(symbol: &str) -> char {
    match symbol {
        "✓" => '+',
        "✕" => 'x',
        "…" => '~',
        "─" | "–" => '-',
        "▸" => '>',
        "█" => '#',
        "░" | "·" => '.',
        "│" => '|',
        "↑" => '^',
        "↓" => 'v',
        "µ" => 'u',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_names_the_locale() {
        for (all, ctype, lang, expected) in [
            ("", "", "", false),
            ("", "", "en_GB.UTF-8", true),
            ("", "", "de_DE.utf8", true),
            ("", "", "C", false),
            ("C", "", "en_GB.UTF-8", false),
            ("", "C.UTF-8", "C", true),
            ("POSIX", "C.UTF-8", "en_GB.UTF-8", false),
            ("", "de_DE.ISO-8859-1", "en_GB.UTF-8", false),
        ] {
            let variable = |name: &str| {
                let value = match name {
                    "LC_ALL" => all,
                    "LC_CTYPE" => ctype,
                    _ => lang,
                };
                Some(OsString::from(value))
            };
            assert_eq!(is_utf8(variable), expected, "{all:?} {ctype:?} {lang:?}");
        }
        assert!(!is_utf8(|_| None), "nothing is set");
    }

    #[test]
    fn every_mark_is_another_one_in_ascii_too() {
        let marks = [
            None,
            Some(Severity::Fault),
            Some(Severity::Warning),
            Some(Severity::Advice),
        ]
        .map(mark);
        let shown = marks.map(|mark| {
            if mark.is_ascii() {
                mark
            } else {
                ascii(&mark.to_string())
            }
        });
        for marks in [marks, shown] {
            for (index, one) in marks.iter().enumerate() {
                assert!(!marks[..index].contains(one) && *one != '?', "{one}");
            }
        }
    }

    #[test]
    fn what_cannot_be_shown_is_taken_away() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 4, 1));
        buffer.set_string(0, 0, "✕ ü", Tone::Fault.style());
        Look {
            colours: false,
            unicode: false,
        }
        .apply(&mut buffer);
        let mut expected = Buffer::empty(Rect::new(0, 0, 4, 1));
        expected.set_string(0, 0, "x ?", Style::new().add_modifier(Modifier::BOLD));
        assert_eq!(buffer, expected);
    }
}
