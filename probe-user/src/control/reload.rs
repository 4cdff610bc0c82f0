//! A request to apply another configuration, as it travels over the socket and as it
//! reaches the loop.

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Answer;

/// How a reload is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Reload {
    /// Read the file and apply it; with `check` only tell what would change.
    Reload {
        /// Whether nothing is to be applied.
        #[serde(default)]
        check: bool,
    },
}

/// Who asked for a reload.
#[derive(Debug)]
pub struct Asker {
    /// The user, or the signal.
    pub by: String,
    /// Whether it is only to be told what would change.
    pub check: bool,
    /// Where the answer goes, if one is waited for.
    pub answer: Option<oneshot::Sender<Answer>>,
}

impl Asker {
    /// The signal SIGHUP.
    pub fn hangup() -> Self {
        Self {
            by: "SIGHUP".to_owned(),
            check: false,
            answer: None,
        }
    }

    /// Answers.
    pub fn answer(self, answer: Answer) {
        if let Some(to) = self.answer {
            // Who asked may have gone.
            let _ = to.send(answer);
        }
    }
}
