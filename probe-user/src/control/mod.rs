//! The control socket: one line of JSON in, one line of JSON out.
//!
//! ```text
//! {"cmd":"status"}\n                                  ─▶  the status document\n
//! {"cmd":"decisions","limit":20}\n                    ─▶  {"decisions":[...]}\n, newest last
//! {"cmd":"pin","prefix":"192.0.2.0/24","level":"full"}\n ─▶  {"done":"..."}\n
//! {"cmd":"attach_native","force":false}\n             ─▶  {"done":"..."}\n
//! {"cmd":"reload","check":true}\n                     ─▶  {"reloaded":{...}}\n, {"mistake":"..."}\n
//! anything else\n                                     ─▶  {"error":"..."}\n
//! ```
//!
//! Only owner and group of the socket may connect (mode 0660). An order is journalled
//! with the user who gave it, as the kernel knows him.

mod client;
mod hooks;
mod order;
mod reload;
mod server;

use std::{io, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::journal::recent::Decision;

pub use self::{
    client::{attach_native, decisions, order, reload, status},
    hooks::NativeAsked,
    order::{OrderRequest, Verb},
    reload::{Asker, Reloaded},
    server::{Asked, Control, Demand, SocketFile, Sources},
};

/// How long one request may take, on either side.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long one may take that changes something: it waits for files, for the kernel, and
/// for all of ten thousand prefixes.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Request {
    /// Something to read.
    Question(Question),
    /// Something to change.
    Order(OrderRequest),
    /// Another configuration to apply.
    Reload(reload::Reload),
    /// Other hooks to take.
    Hooks(hooks::Hooks),
}

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case", deny_unknown_fields)]
enum Question {
    /// The status document.
    Status,
    /// The newest decisions and holds.
    Decisions {
        /// At most so many; none: all that are kept.
        #[serde(default)]
        limit: Option<usize>,
    },
}

/// The answer to [`Question::Decisions`], oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DecisionList {
    decisions: Vec<Decision>,
}

/// What an order is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was carried out; in words.
    Done(String),
    /// It was not; why, and what to do.
    Error(String),
    /// The configuration was read, and applied unless it was only to be checked.
    Reloaded(Reloaded),
    /// The configuration is not what can be applied: the whole report.
    Mistake(String),
}

/// Why there is no control socket, or no answer from it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another daemon answers there.
    #[error(
        "another lapwing already listens on {}\nhelp: stop it first (`systemctl stop lapwing`), or give this one its own `control` and `state_dir`",
        .0.display()
    )]
    InUse(PathBuf),
    /// The socket cannot be made.
    #[error(
        "cannot listen on the control socket {}: {source}\nhelp: check the directory, or choose another path with `control` in [daemon]",
        path.display()
    )]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody answers.
    #[error(
        "no lapwing is running here: nobody answers on {}\nhelp: start it with `lapwing run`, or name its socket with `--control PATH`",
        .0.display()
    )]
    NotRunning(PathBuf),
    /// The socket may not be used.
    #[error(
        "this user may not talk to lapwing on {}\nhelp: run the command as root or as a member of the socket's group",
        .0.display()
    )]
    Denied(PathBuf),
    /// The conversation failed.
    #[error("lapwing does not answer on {}: {source}", path.display())]
    Talk {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The daemon did not do it.
    #[error("{0}")]
    Refused(String),
    /// The configuration cannot be applied.
    #[error("{0}")]
    Mistake(String),
    /// The answer is not understood.
    #[error(
        "lapwing's answer on {} is not understood: {why}\nhelp: use the command of the same version as the daemon",
        path.display()
    )]
    Answer {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

#[cfg(test)]
mod tests;
