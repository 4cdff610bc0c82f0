//! What can go wrong between us and BIRD.

use std::{io, path::PathBuf, time::Duration};

use super::reply::Garbled;

/// BIRD understood, and says no. The connection is still good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("BIRD refuses `{question}`: {code} {text}")]
pub struct Refusal {
    /// What was asked.
    pub question: String,
    /// BIRD's code: 8xxx, it cannot be done; 9xxx, it is not understood.
    pub code: u16,
    /// BIRD's words.
    pub text: String,
}

/// Why BIRD does not tell.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no socket.
    #[error(
        "there is no BIRD control socket {}: start BIRD, or name its socket with `bird_socket` in [route]",
        .0.display()
    )]
    Missing(PathBuf),
    /// There is one, and nobody behind it.
    #[error("nobody listens at the BIRD control socket {}: BIRD has died; start it", .0.display())]
    Dead(PathBuf),
    /// We may not ask.
    #[error(
        "no permission for the BIRD control socket {}: let lapwing's user be a member of the socket's group (on Debian `bird`)",
        .0.display()
    )]
    Denied(PathBuf),
    /// Nothing came in time.
    #[error(
        "BIRD at {} has not answered `{question}` within {timeout:?}: it hangs, or its host is overloaded",
        path.display()
    )]
    Silent {
        /// Where.
        path: PathBuf,
        /// What was asked.
        question: String,
        /// How long it had.
        timeout: Duration,
    },
    /// The other end went away.
    #[error("BIRD at {} has closed its control socket: it ends or restarts", .0.display())]
    Closed(PathBuf),
    /// What came is no answer of BIRD's.
    #[error("{} does not speak as BIRD does: {source}", path.display())]
    Garbled {
        /// Where.
        path: PathBuf,
        /// In what way.
        source: Garbled,
    },
    /// The system refuses.
    #[error("cannot talk to BIRD at {}: {source}", path.display())]
    Talk {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// BIRD says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Error {
    /// Whether the connection can be used on.
    pub fn keeps_connection(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Missing(_)
            | Self::Dead(_)
            | Self::Denied(_)
            | Self::Silent { .. }
            | Self::Closed(_)
            | Self::Garbled { .. }
            | Self::Talk { .. } => false,
        }
    }
}
