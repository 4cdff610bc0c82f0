//! Words for people about what went wrong: in one line, and never longer than a line
//! of a journal should be, whatever a server or a program said.

use std::error::Error;

/// So many characters of it are kept.
const LIMIT: usize = 200;

/// `what`, then the whole chain of an error: most libraries' own words stop at
/// "error". Causes that their effect has already told are not told again.
pub(super) fn chain(what: &str, error: &dyn Error) -> String {
    let mut words = what.to_owned();
    let mut next = Some(error);
    while let Some(error) = next {
        let cause = error.to_string();
        if !words.ends_with(&cause) {
            words.push_str(": ");
            words.push_str(&cause);
        }
        next = error.source();
    }
    line(&words)
}

/// `text` in one line.
pub(super) fn line(text: &str) -> String {
    let mut characters = text.chars();
    let mut line: String = characters
        .by_ref()
        .take(LIMIT)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if characters.next().is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_line_stays_one_and_short() {
        for (description, text, expected) in [
            ("plain", "as it was", "as it was".to_owned()),
            ("controls", "a\tb\x1b[0m\n", "a b [0m ".to_owned()),
            ("long", &"ä".repeat(300), "ä".repeat(200) + "…"),
        ] {
            assert_eq!(line(text), expected, "{description}");
        }
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = io::Error::other(io::Error::other("deep"));
        assert_eq!(chain("no luck", &error), "no luck: deep");
    }
}
