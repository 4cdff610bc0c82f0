//! Route control: makes the kernel's table say what was decided.
//!
//! In flows the wanted [`Level`] of each prefix; out flow routes in one dedicated
//! kernel table, from which BIRD learns, and [`Observation`]s of what that table
//! holds, whoever changed it. A route that somebody deletes or changes comes back;
//! routes of other programs are never touched and reported where they matter.
//!
//! ```text
//! daemon ── set ──▶ actor (own thread) ── Change ──▶ kernel table ──▶ BIRD
//!        ◀─ Observation, Conflict ─┘ ▲ └─ reconcile (pure)  │
//!                                    └──── events, readings ┘
//! ```
//!
//! The actor has a thread of its own, because a request to rtnetlink blocks while
//! anybody holds the kernel's RTNL lock: that must neither stop the measurement
//! nor outlast a deadline of ours. When the [`Announcer`] is dropped, the thread
//! ends and the routes stay.

mod actor;
pub mod conflict;
pub mod contest;
mod error;
mod herald;
mod netlink;
pub mod reconcile;
pub mod route;
mod table;
mod tracked;
mod wishes;
pub mod witness;

use core::{
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use std::{sync::Arc, thread};

use ipnet::IpNet;
use probe_core::{Level, Timestamp, config::PrefixId};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::error::Error;
use self::{actor::Actor, conflict::Conflict, herald::Herald};

/// A [`set`](Announcer::set) gives up if the actor serves no wish at all for this
/// time; the actor goes on trying.
const SET_TIMEOUT: Duration = Duration::from_secs(3);
/// Wishes that wait for the actor.
const REQUESTS: usize = 1024;
/// Room for some 10,000 route events: the kernel drops what does not fit.
pub const EVENT_BUFFER_BYTES: usize = 16 << 20;
/// Observations that the reader may be behind with; beyond that it gets only the
/// newest of each prefix.
const OBSERVATIONS: usize = 256;

/// What to announce, and how it looks in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The kernel table that BIRD reads and nothing else uses.
    pub table: u32,
    /// The route protocol number of the level `full`.
    pub protocol_full: u8,
    /// The route protocol number of the level `degraded`.
    pub protocol_degraded: u8,
    /// The routes' metric; low, as BIRD takes the lowest.
    pub metric: u32,
    /// Room for the kernel's events, see [`EVENT_BUFFER_BYTES`].
    pub event_buffer_bytes: usize,
    /// The prefixes; the position is the [`PrefixId`].
    pub prefixes: Vec<IpNet>,
}

/// What the kernel's table holds for a prefix since `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Which prefix.
    pub prefix: PrefixId,
    /// What BIRD can learn there.
    pub observed: Level,
    /// When the kernel told us.
    pub at: Timestamp,
}

/// A wish on its way to the actor.
struct Request {
    prefix: PrefixId,
    level: Level,
    reply: oneshot::Sender<Result<(), Error>>,
}

/// A level that is to stay, see [`Announcer::keep`].
struct Kept {
    prefix: PrefixId,
    level: Level,
}

/// The handle of the actor.
#[derive(Debug)]
pub struct Announcer {
    requests: mpsc::Sender<Request>,
    kept: mpsc::UnboundedSender<Kept>,
    /// Wishes that the actor has answered.
    served: Arc<AtomicU64>,
    conflicts: watch::Receiver<Arc<Vec<Conflict>>>,
    table: u32,
    prefixes: Vec<IpNet>,
}

impl Announcer {
    /// Subscribes to the route events of IPv4 and IPv6 and reads the table. Nothing
    /// changes before the first [`set`](Self::set) or [`keep`](Self::keep) of a
    /// prefix. One observation per prefix comes at once.
    pub async fn start(options: Options) -> Result<(Self, mpsc::Receiver<Observation>), Error> {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let (observed, observations) = mpsc::channel(OBSERVATIONS.max(4 * options.prefixes.len()));
        let (conflicts_sender, conflicts) = watch::channel(Arc::default());
        let (ready, started) = oneshot::channel();
        let served = Arc::new(AtomicU64::new(0));
        let (keep, kept) = mpsc::unbounded_channel();
        let announcer = Self {
            requests,
            kept: keep,
            served: Arc::clone(&served),
            conflicts,
            table: options.table,
            prefixes: options.prefixes.clone(),
        };
        let actor = move || -> Result<(), Error> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|source| Error::Thread { source })?;
            runtime.block_on(async {
                match Actor::start(&options, Herald::new(observed, conflicts_sender)).await {
                    Ok(actor) => {
                        // A caller who has gone away also drops the inbox's sender.
                        let _ = ready.send(Ok(()));
                        actor.run(inbox, kept, &served).await;
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            });
            Ok(())
        };
        thread::Builder::new()
            .name("lapwing-routes".to_owned())
            .spawn(move || {
                if let Err(error) = actor() {
                    tracing::error!(%error, "route control ends");
                }
            })
            .map_err(|source| Error::Thread { source })?;
        started.await.map_err(|_| Error::Stopped)??;
        Ok((announcer, observations))
    }

    /// From now on `prefix` is to be at `level`. Returns when the kernel has
    /// acknowledged it, at once if the table is so already. After an error the
    /// level is still wanted, and tried again.
    pub async fn set(&self, prefix: PrefixId, level: Level) -> Result<(), Error> {
        let net = usize::try_from(prefix.0)
            .ok()
            .and_then(|index| self.prefixes.get(index))
            .copied()
            .ok_or(Error::UnknownPrefix(prefix))?;
        let (reply, answer) = oneshot::channel();
        let request = Request {
            prefix,
            level,
            reply,
        };
        let mut exchange = pin!(async {
            self.requests
                .send(request)
                .await
                .map_err(|_| Error::Stopped)?;
            answer.await.map_err(|_| Error::Stopped)?
        });
        // Behind thousands of others a wish waits longer, but not for nothing.
        let mut served = self.served.load(Ordering::Relaxed);
        loop {
            if let Ok(result) = tokio::time::timeout(SET_TIMEOUT, &mut exchange).await {
                return result;
            }
            let before = core::mem::replace(&mut served, self.served.load(Ordering::Relaxed));
            if served == before {
                return Err(Error::Timeout {
                    prefix: net,
                    table: self.table,
                    level,
                });
            }
        }
    }

    /// From now on `prefix` is to stay at `level`, which was found there, unless a
    /// [`set`](Self::set) says or has said otherwise.
    pub fn keep(&self, prefix: PrefixId, level: Level) {
        // Without an actor nothing is kept, and every `set` says so.
        let _ = self.kept.send(Kept { prefix, level });
    }

    /// What stands against the wanted levels now, by prefix: foreign routes that hide
    /// or block ours, programs that undo our changes, refusals of the kernel. Empty
    /// when all is well. The receiver tells each change of it.
    pub fn conflicts(&self) -> watch::Receiver<Arc<Vec<Conflict>>> {
        self.conflicts.clone()
    }
}
