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

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reloaded {
    /// Whether the file is in force now; not with `--check`, nor if it was refused.
    pub applied: bool,
    /// What is or would be other than before, one line each: `+` is new, `-` is gone, `~`
    /// has changed, `!` needs somebody's attention.
    pub changes: Vec<String>,
    /// Why the file was refused, if it was: the whole report. Then nothing has changed.
    pub refused: Option<String>,
}

impl Reloaded {
    /// The file was refused.
    pub fn refused(report: &str) -> Self {
        Self {
            applied: false,
            changes: Vec::new(),
            refused: Some(report.to_owned()),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let what = match (&self.refused, self.changes.is_empty(), self.applied) {
            (Some(report), _, _) => report,
            (None, true, false) => "the file is good and would change nothing",
            (None, true, true) => "reloaded: nothing has changed",
            (None, false, false) => "the file is good and would change this:",
            (None, false, true) => "reloaded:",
        };
        let lines = std::iter::once(what).chain(self.changes.iter().map(String::as_str));
        lines.flat_map(|line| [line, "\n"]).collect()
    }
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
