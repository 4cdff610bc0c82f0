//! BIRD's line protocol: bytes flow in, whole replies flow out.
//!
//! ```text
//! 1007-Table lapwing4:          code, more follows
//!  192.0.2.0/24 blackhole ...   more of the same code
//! 1008-    Type: inherit univ
//! 0000                          code and a space: the end
//! +...                          a message that nobody asked for
//! ```

use core::fmt;

/// More than this is no answer to anything that is asked here.
pub const LIMIT: usize = 8 << 20;

/// One line of a reply, with the code that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// 0xxx: done; 1xxx: data; 2xxx: a heading; 8xxx: it cannot be; 9xxx: a wrong
    /// question.
    pub code: u16,
    /// What follows the code.
    pub text: String,
}

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// All lines but the last.
    pub lines: Vec<Line>,
    /// The line that ends it.
    pub end: Line,
}

impl Reply {
    /// Whether BIRD did not do or say what it was asked.
    pub fn is_refusal(&self) -> bool {
        self.end.code >= 8000
    }
}

/// Why bytes are no reply. Nothing after them can be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Garbled {
    /// A line of no known form.
    #[error("the line {0:?} has neither a code nor belongs to one")]
    Line(Excerpt),
    /// It does not end.
    #[error("a reply is longer than {LIMIT} bytes")]
    Endless,
}

/// The beginning of something that may be long.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    const LENGTH: usize = 60;

    fn of(bytes: &[u8]) -> Self {
        let head = bytes.get(..Self::LENGTH).unwrap_or(bytes);
        Self(String::from_utf8_lossy(head).into_owned())
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Takes a byte stream apart into replies.
#[derive(Debug, Default)]
pub struct Replies {
    pending: Vec<u8>,
    /// Bytes of `pending` in which no line ends.
    searched: usize,
    /// Lines of the reply that is not whole yet.
    lines: Vec<Line>,
    /// Their bytes.
    length: usize,
}

impl Replies {
    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole reply, if there is one. After an error the stream is of no use.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, Garbled> {
        let mut start = 0;
        let mut whole = None;
        while let Some(length) = self.pending[start + self.searched..]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            let end = start + self.searched + length;
            self.searched = 0;
            let line = &self.pending[start..end];
            self.length += line.len();
            start = end + 1;
            match Part::of(line, self.lines.last().map(|line| line.code))? {
                Part::Unasked => {}
                Part::Line(line) => self.lines.push(line),
                Part::End(end) => {
                    self.length = 0;
                    whole = Some(Reply {
                        lines: core::mem::take(&mut self.lines),
                        end,
                    });
                    break;
                }
            }
            if self.length > LIMIT {
                return Err(Garbled::Endless);
            }
        }
        self.pending.drain(..start);
        if whole.is_none() {
            self.searched = self.pending.len();
            if self.length + self.pending.len() > LIMIT {
                return Err(Garbled::Endless);
            }
        }
        Ok(whole)
    }
}

/// What one line is.
enum Part {
    Unasked,
    Line(Line),
    End(Line),
}

impl Part {
    /// Reads a line that follows one of code `last` in the same reply.
    fn of(line: &[u8], last: Option<u16>) -> Result<Self, Garbled> {
        let garbled = || Garbled::Line(Excerpt::of(line));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match line {
            [b'+', ..] => Ok(Self::Unasked),
            [b' ', more @ ..] => Ok(Self::Line(Line {
                code: last.ok_or_else(garbled)?,
                text: text(more),
            })),
            [a, b, c, d, separator @ (b' ' | b'-'), rest @ ..] => {
                let code = [a, b, c, d].into_iter().try_fold(0, |code, digit| {
                    digit
                        .is_ascii_digit()
                        .then(|| code * 10 + u16::from(digit - b'0'))
                });
                let line = Line {
                    code: code.ok_or_else(garbled)?,
                    text: text(rest),
                };
                Ok(if *separator == b' ' {
                    Self::End(line)
                } else {
                    Self::Line(line)
                })
            }
            _ => Err(garbled()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(code: u16, text: &str) -> Line {
        Line {
            code,
            text: text.to_owned(),
        }
    }

    fn all(bytes: &[u8]) -> Result<Vec<Reply>, Garbled> {
        let mut replies = Replies::default();
        replies.push(bytes);
        let mut found = Vec::new();
        while let Some(reply) = replies.next_reply()? {
            found.push(reply);
        }
        Ok(found)
    }

    #[test]
    fn lines_become_replies() {
        let text = b"0001 BIRD 2.0.12 ready.\n\
            1007-Table lapwing4:\n 192.0.2.0/24 blackhole\n+Reconfigured\n1008-\tType: inherit univ\n0000 \n\
            8001 Network not found\n";
        assert_eq!(
            all(text).unwrap(),
            [
                Reply {
                    lines: vec![],
                    end: line(1, "BIRD 2.0.12 ready.")
                },
                Reply {
                    lines: vec![
                        line(1007, "Table lapwing4:"),
                        line(1007, "192.0.2.0/24 blackhole"),
                        line(1008, "\tType: inherit univ"),
                    ],
                    end: line(0, "")
                },
                Reply {
                    lines: vec![],
                    end: line(8001, "Network not found")
                },
            ]
        );
    }

    #[test]
    fn what_is_no_reply_is_told() {
        for text in [
            " continues nothing\n",
            "HTTP/1.1 400 Bad Request\n",
            "12\n",
            "0000\n",
            "\n",
            "00x0 text\n",
        ] {
            assert!(
                matches!(all(text.as_bytes()), Err(Garbled::Line(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_reply_without_end_is_given_up() {
        let mut replies = Replies::default();
        replies.push(&vec![b'1'; LIMIT]);
        assert_eq!(replies.next_reply(), Ok(None));
        replies.push(b"11");
        assert_eq!(replies.next_reply(), Err(Garbled::Endless));
        let mut replies = Replies::default();
        replies.push(b"1000-\n");
        let many = b" a line\n".repeat(1 << 16);
        let mut given_up = false;
        for _ in 0..=LIMIT / (1 << 16) {
            replies.push(&many);
            given_up |= replies.next_reply().is_err();
        }
        assert!(given_up);
    }

    fn reply() -> impl Strategy<Value = Reply> {
        let text = "[ -~]{0,30}";
        let lines = prop::collection::vec((1000u16..3000, text), 0..8);
        (lines, 0u16..10_000, text).prop_map(|(lines, code, text)| Reply {
            lines: lines
                .into_iter()
                .map(|(code, text)| Line { code, text })
                .collect(),
            end: Line { code, text },
        })
    }

    fn written(reply: &Reply) -> String {
        let mut last = None;
        let mut lines: Vec<String> = Vec::new();
        for Line { code, text } in &reply.lines {
            lines.push(if last == Some(code) {
                format!(" {text}\n")
            } else {
                format!("{code:04}-{text}\n")
            });
            last = Some(code);
        }
        lines.push(format!("{:04} {}\n", reply.end.code, reply.end.text));
        lines.concat()
    }

    proptest! {
        #[test]
        fn replies_are_found_however_the_bytes_are_cut(
            sent in prop::collection::vec(reply(), 1..4),
            cut in 1usize..40,
        ) {
            let text: String = sent.iter().map(written).collect();
            let mut replies = Replies::default();
            let mut found = Vec::new();
            for part in text.as_bytes().chunks(cut) {
                replies.push(part);
                while let Some(reply) = replies.next_reply().unwrap() {
                    found.push(reply);
                }
            }
            prop_assert_eq!(found, sent);
        }

        #[test]
        fn no_bytes_make_it_panic(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8),
        ) {
            let mut replies = Replies::default();
            for part in parts {
                replies.push(&part);
                while let Ok(Some(_)) = replies.next_reply() {}
            }
        }

        #[test]
        fn nor_do_lines_that_look_nearly_right(text in "([0-9+ -]{0,6}[a-z \t]{0,6}\n){0,12}") {
            let _ = all(text.as_bytes());
        }
    }
}
