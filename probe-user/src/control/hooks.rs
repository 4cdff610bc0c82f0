//! A request for native XDP, as it travels over the socket and as it reaches the loop.

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Answer;

/// How native XDP is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Hooks {
    /// Put native XDP on every interface.
    AttachNative {
        /// Even where a prefix is announced.
        #[serde(default)]
        force: bool,
    },
}

/// A request that waits for the loop.
#[derive(Debug)]
pub struct NativeAsked {
    /// Even where a prefix is announced.
    pub force: bool,
    /// Who wants it.
    pub by: String,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}
