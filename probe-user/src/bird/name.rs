//! Names of BIRD's protocols and tables, as BIRD's own configuration writes them.

use core::fmt;

/// A name that can stand in a question: what BIRD's lexer takes as a symbol, plain or
/// between quotes. Anything else could be read as more of the question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let good = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte));
        good.then(|| Self(text.to_owned()))
    }

    /// As BIRD shows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a question writes it.
    pub fn quoted(&self) -> String {
        format!("'{}'", self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_bird_can_have_meant_is_a_name() {
        for (text, good) in [
            ("lapwing_kernel4", true),
            ("up-4.fra1:a", true),
            ("", false),
            ("a b", false),
            ("a'; configure; '", false),
            ("a\nconfigure", false),
            ("ö", false),
        ] {
            assert_eq!(Name::new(text).is_some(), good, "{text:?}");
        }
        assert_eq!(Name::new("up-4").unwrap().quoted(), "'up-4'");
    }
}
