//! Whether text is coloured: one rule for every command and for the log.
//!
//! Only on a terminal, and not where `NO_COLOR` is set and not empty
//! (<https://no-color.org>).

use std::{env, ffi::OsStr, io::IsTerminal};

/// Whether what is written to `stream` is to be coloured.
pub fn wanted_on(stream: &impl IsTerminal) -> bool {
    wanted(stream.is_terminal(), env::var_os("NO_COLOR").as_deref())
}

fn wanted(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_and_for_who_has_not_said_no() {
        for (is_terminal, no_color, expected) in [
            (true, None, true),
            (true, Some(""), true),
            (true, Some("1"), false),
            (true, Some("0"), false),
            (false, None, false),
            (false, Some(""), false),
            (false, Some("1"), false),
        ] {
            assert_eq!(
                wanted(is_terminal, no_color.map(OsStr::new)),
                expected,
                "terminal {is_terminal}, NO_COLOR {no_color:?}"
            );
        }
    }
}
