//! Keys flow in, what they ask for flows out.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::list::Move;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// End.
    Quit,
    /// Out of what was opened last; at last, end.
    Back,
    /// Another row.
    Go(Move),
    /// The next pane.
    NextPane,
    /// The one before.
    PreviousPane,
    /// All about the selected row.
    Open,
    /// Type a filter.
    Filter,
    /// Only what needs attention, or all again.
    Attention,
    /// The keys.
    Help,
    /// Draw all of it again: something else wrote on the screen.
    Redraw,
    /// A letter of the filter.
    Letter(char),
    /// Take the last letter back.
    Erase,
    /// Take all letters back.
    EraseAll,
}

/// The keys for people.
pub const HELP: [(&str, &str); 9] = [
    (
        "q, Esc, Ctrl-C",
        "quit; Esc first closes what is open and clears the filter",
    ),
    (
        "Tab, Shift-Tab",
        "the next pane, the one before; the chosen one gets the room",
    ),
    ("↑ ↓, j k", "a row up, down"),
    ("PageUp, PageDown", "a screenful up, down"),
    ("Home, End, g G", "the first row, the last"),
    (
        "Enter",
        "all about the selected prefix, service or decision",
    ),
    (
        "/",
        "show only what has this text in it: names, endpoints, states, reasons",
    ),
    ("a", "show only what needs attention, or all again"),
    ("Ctrl-L", "draw the screen again"),
];

/// What a key asks for, if anything; while a filter is typed, letters are letters.
pub fn wish(key: KeyEvent, typing: bool) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Wish::Quit),
            KeyCode::Char('l') => Some(Wish::Redraw),
            KeyCode::Char('u') if typing => Some(Wish::EraseAll),
            // What a terminal may send for the key Backspace.
            KeyCode::Char('h') if typing => Some(Wish::Erase),
            _ => None,
        };
    }
    match alias(key.code, typing) {
        KeyCode::Up => Some(Wish::Go(Move::Up)),
        KeyCode::Down => Some(Wish::Go(Move::Down)),
        KeyCode::PageUp => Some(Wish::Go(Move::PageUp)),
        KeyCode::PageDown => Some(Wish::Go(Move::PageDown)),
        KeyCode::Home => Some(Wish::Go(Move::First)),
        KeyCode::End => Some(Wish::Go(Move::Last)),
        KeyCode::Tab => Some(Wish::NextPane),
        KeyCode::BackTab => Some(Wish::PreviousPane),
        KeyCode::Enter => Some(Wish::Open),
        KeyCode::Esc => Some(Wish::Back),
        KeyCode::Backspace if typing => Some(Wish::Erase),
        KeyCode::Char(letter) if typing => Some(Wish::Letter(letter)),
        KeyCode::Char('q') => Some(Wish::Quit),
        KeyCode::Char('/') => Some(Wish::Filter),
        KeyCode::Char('a') => Some(Wish::Attention),
        KeyCode::Char('?') => Some(Wish::Help),
        _ => None,
    }
}

/// The key that a letter stands for, as in other programs that show text.
fn alias(code: KeyCode, typing: bool) -> KeyCode {
    match code {
        code if typing => code,
        KeyCode::Char('k') => KeyCode::Up,
        KeyCode::Char('j') => KeyCode::Down,
        KeyCode::Char('g') => KeyCode::Home,
        KeyCode::Char('G') => KeyCode::End,
        KeyCode::Char(' ') => KeyCode::PageDown,
        code => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_letters_while_a_filter_is_typed() {
        let control = KeyModifiers::CONTROL;
        let none = KeyModifiers::NONE;
        for (code, modifiers, otherwise, typing) in [
            (
                KeyCode::Char('q'),
                none,
                Some(Wish::Quit),
                Some(Wish::Letter('q')),
            ),
            (
                KeyCode::Char('c'),
                control,
                Some(Wish::Quit),
                Some(Wish::Quit),
            ),
            (KeyCode::Esc, none, Some(Wish::Back), Some(Wish::Back)),
            (KeyCode::Backspace, none, None, Some(Wish::Erase)),
            (KeyCode::Char('u'), control, None, Some(Wish::EraseAll)),
            (
                KeyCode::Char('?'),
                none,
                Some(Wish::Help),
                Some(Wish::Letter('?')),
            ),
            (
                KeyCode::Char('G'),
                KeyModifiers::SHIFT,
                Some(Wish::Go(Move::Last)),
                Some(Wish::Letter('G')),
            ),
            (
                KeyCode::Down,
                none,
                Some(Wish::Go(Move::Down)),
                Some(Wish::Go(Move::Down)),
            ),
            (KeyCode::F(1), none, None, None),
        ] {
            let key = KeyEvent::new(code, modifiers);
            assert_eq!(wish(key, false), otherwise, "{key:?}");
            assert_eq!(wish(key, true), typing, "{key:?} while typing");
        }
        let mut released = KeyEvent::new(KeyCode::Char('q'), none);
        released.kind = KeyEventKind::Release;
        assert_eq!(wish(released, false), None);
    }
}
