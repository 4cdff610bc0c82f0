//! The closed loop: follows each change of a route from the kernel's acknowledgement
//! through BIRD's table to every BGP session, looks again and again whether what
//! stands is still so, and says where not.
//!
//! ```text
//! daemon ── stands, ordered ──▶ follower (own thread) ── questions ──▶ BIRD
//!        ◀─ Finding, Picture ──┘   ├─ landscape: protocols, sessions
//!                                  ├─ sight: one prefix in BIRD (questions)
//!                                  ├─ judge: right or wrong, in words (pure)
//!                                  └─ chase: phases, help, alerts (pure)
//! ```
//!
//! Nothing of it is on the way of a decision: the daemon hands in what happened
//! without waiting, and hears what was found like any other end of a task. BIRD is
//! asked while a change is not where it belongs, at growing pauses, and else every ten
//! seconds; never for more than half of the time.

mod chase;
mod judge;
mod landscape;
mod picture;
mod sight;
mod task;
pub mod traffic;

use core::time::Duration;
use std::{io, path::PathBuf, sync::Arc, thread};

use ipnet::IpNet;
use probe_core::{Level, Timestamp, config::PrefixId};
use tokio::sync::{mpsc, watch};

use self::task::Task;
pub use self::{
    judge::{AlertKind, Numbers},
    picture::{BirdState, Picture, PrefixPicture, SessionPicture},
};

/// What the daemon may be ahead of the follower, beside four for every prefix.
const QUEUE: usize = 1024;

/// What to follow, and whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// BIRD's control socket.
    pub socket: PathBuf,
    /// Whether the operator named it. One that was not named may be missing.
    pub named: bool,
    /// Lapwing's marks on its routes.
    pub numbers: Numbers,
    /// The prefixes; the position is the [`PrefixId`].
    pub prefixes: Vec<IpNet>,
}

/// A change that the kernel acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of which prefix.
    pub prefix: PrefixId,
    /// To which level.
    pub level: Level,
    /// When it was decided.
    pub decided: Timestamp,
    /// When the kernel acknowledged it.
    pub acknowledged: Timestamp,
}

/// What the daemon tells.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    /// The kernel's table holds this, whoever made it so.
    Stands(PrefixId, Level),
    /// The daemon made it so.
    Ordered(Change),
}

impl Told {
    /// Of which prefix.
    pub fn prefix(&self) -> PrefixId {
        match self {
            Self::Stands(prefix, _) => *prefix,
            Self::Ordered(change) => change.prefix,
        }
    }
}

/// What the follower found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// BIRD answers.
    BirdUp {
        /// Its version.
        version: String,
    },
    /// BIRD does not answer.
    BirdDown {
        /// Why, and what to do.
        sentence: String,
    },
    /// A change has arrived everywhere, or another one came before it did.
    Followed(Followed),
    /// Something is wrong, or no longer.
    Alert(Alert),
    /// BIRD had not learned a change and was told to read its kernel table again.
    Helped {
        /// Which prefix was missing.
        prefix: PrefixId,
        /// Which of BIRD's protocols.
        protocol: String,
        /// Why it would not.
        error: Option<String>,
    },
}

/// The way of a change. Times count from the kernel's acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Of which prefix.
    pub prefix: PrefixId,
    /// To which level.
    pub level: Level,
    /// When it was decided.
    pub decided: Timestamp,
    /// When the kernel acknowledged it.
    pub acknowledged: Timestamp,
    /// Until BIRD's table said so.
    pub learned: Option<Duration>,
    /// Until every session had passed it on; none if another change came first.
    pub exported: Option<Duration>,
    /// The sessions.
    pub sessions: Vec<SessionTime>,
    /// How often BIRD was told to read its kernel table again.
    pub helps: u32,
}

/// One session's part in a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTime {
    /// Which.
    pub session: String,
    /// Until it exported the prefix, or no longer did; none if that was not seen.
    pub took: Option<Duration>,
}

/// Something that is wrong with a prefix beyond the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Which prefix.
    pub prefix: PrefixId,
    /// What kind of thing.
    pub kind: AlertKind,
    /// Whether it stands now.
    pub stands: bool,
    /// All of it: what, why, and what to do.
    pub sentence: String,
}

/// The handle of the follower. When it is dropped, the thread ends.
#[derive(Debug)]
pub struct Follower {
    told: mpsc::Sender<Told>,
    picture: watch::Receiver<Arc<Picture>>,
}

impl Follower {
    /// Starts the thread.
    pub fn start(options: Options) -> io::Result<(Self, mpsc::Receiver<Finding>)> {
        let room = QUEUE.max(4 * options.prefixes.len());
        let (told, inbox) = mpsc::channel(room);
        let (findings, found) = mpsc::channel(room);
        let (publish, picture) = watch::channel(Arc::new(Picture::default()));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("lapwing-bird".to_owned())
            .spawn(move || {
                runtime.block_on(Task::new(options, inbox, findings, publish).run());
            })?;
        Ok((Self { told, picture }, found))
    }

    /// Hands in what happened. Given back if there is no room: to be tried again.
    pub fn tell(&self, told: Told) -> Result<(), Told> {
        match self.told.try_send(told) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(told)) => Err(told),
        }
    }

    /// What is known of BIRD and the prefixes, as soon as it changes.
    pub fn picture(&self) -> watch::Receiver<Arc<Picture>> {
        self.picture.clone()
    }
}
