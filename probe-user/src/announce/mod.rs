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
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use ipnet::IpNet;
use probe_core::{Level, Timestamp, config::PrefixId};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::error::Error;
use self::{actor::Actor, conflict::Conflict, herald::Herald};

/// A [`set`](Announcer::set) gives up if the actor serves no wish at all for this
/// time; the actor goes on trying.
const SET_TIMEOUT: Duration = Duration::from_secs(3);
/// The metric of our routes: low, since BIRD takes the lowest before it filters, and
/// not 0, which IPv6 turns into 1024.
pub const METRIC: u32 = 32;
/// Room for some 10,000 route events: the kernel drops what does not fit.
pub const EVENT_BUFFER_BYTES: usize = 16 << 20;
/// Observations that the reader may be behind with; beyond that it gets only the
/// newest of each prefix.
const OBSERVATIONS: usize = 256;

/// What stands in a table, for whoever only looks.
pub async fn read_table(table: u32) -> std::io::Result<Vec<(IpNet, route::Route)>> {
    const LITTLE: usize = 1 << 16;
    netlink::Kernel::connect(table, LITTLE)?.dump().await
}

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

/// What the actor is to do from now on, without an answer.
enum Instruction {
    /// See [`Announcer::keep`].
    Keep { prefix: PrefixId, level: Level },
    /// See [`Announcer::let_go`].
    LetGo { prefix: PrefixId },
    /// See [`Announcer::own`].
    Own(Vec<(usize, IpNet)>),
}

/// The handle of the actor.
#[derive(Debug)]
pub struct Announcer {
    requests: mpsc::UnboundedSender<Request>,
    instructions: mpsc::UnboundedSender<Instruction>,
    /// Wishes that the actor has answered.
    served: Arc<AtomicU64>,
    conflicts: watch::Receiver<Arc<Vec<Conflict>>>,
    table: u32,
    /// Every prefix that was ever owned, by its [`PrefixId`] here.
    prefixes: Mutex<Vec<IpNet>>,
}

impl Announcer {
    /// Subscribes to the route events of IPv4 and IPv6 and reads the table. Nothing
    /// changes before the first [`set`](Self::set) or [`keep`](Self::keep) of a
    /// prefix. One observation per prefix comes at once.
    pub async fn start(options: Options) -> Result<(Self, mpsc::Receiver<Observation>), Error> {
        let (requests, inbox) = mpsc::unbounded_channel();
        let (observed, observations) = mpsc::channel(OBSERVATIONS.max(4 * options.prefixes.len()));
        let (conflicts_sender, conflicts) = watch::channel(Arc::default());
        let (ready, started) = oneshot::channel();
        let served = Arc::new(AtomicU64::new(0));
        let (instructions, instructed) = mpsc::unbounded_channel();
        let announcer = Self {
            requests,
            instructions,
            served: Arc::clone(&served),
            conflicts,
            table: options.table,
            prefixes: Mutex::new(options.prefixes.clone()),
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
                        actor.run(inbox, instructed, &served).await;
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

    /// From now on `prefix` is to be at `level`. The wish is on its way when this returns,
    /// so that thousands of them wait for nobody but the kernel; what is returned ends
    /// when the kernel has acknowledged it, at once if the table is so already. After an
    /// error the level is still wanted, and tried again.
    pub fn set(
        &self,
        prefix: PrefixId,
        level: Level,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let net = usize::try_from(prefix.0)
            .ok()
            .and_then(|index| self.known().get(index).copied())
            .ok_or(Error::UnknownPrefix(prefix));
        let (reply, answer) = oneshot::channel();
        let request = Request {
            prefix,
            level,
            reply,
        };
        let sent = net.and_then(|net| {
            let sent = self.requests.send(request);
            sent.map(|()| net).map_err(|_| Error::Stopped)
        });
        let (served, table) = (Arc::clone(&self.served), self.table);
        async move {
            let net = sent?;
            let mut answer = pin!(answer);
            // Behind thousands of others a wish waits longer, but not for nothing.
            let mut known = served.load(Ordering::Relaxed);
            loop {
                if let Ok(result) = tokio::time::timeout(SET_TIMEOUT, &mut answer).await {
                    return result.map_err(|_| Error::Stopped)?;
                }
                let before = core::mem::replace(&mut known, served.load(Ordering::Relaxed));
                if known == before {
                    return Err(Error::Timeout {
                        prefix: net,
                        table,
                        level,
                    });
                }
            }
        }
    }

    /// From now on `prefix` is to stay at `level`, which was found there, unless a
    /// [`set`](Self::set) says or has said otherwise.
    pub fn keep(&self, prefix: PrefixId, level: Level) {
        // Without an actor nothing is kept, and every `set` says so.
        let _ = self.instructions.send(Instruction::Keep { prefix, level });
    }

    /// From now on nothing is wanted of `prefix`: its route stays as it stands, whoever
    /// changes it, until the next [`set`](Self::set) or [`keep`](Self::keep).
    pub fn let_go(&self, prefix: PrefixId) {
        // As above.
        let _ = self.instructions.send(Instruction::LetGo { prefix });
    }

    /// From now on these prefixes are looked after, and no others: routes of one that is
    /// no longer among them stay as they stand, and nothing more is told about it. A new
    /// one begins as at the start, with an observation. Returns the number of each, which
    /// a prefix has for as long as the announcer lives. To be called while no
    /// [`set`](Self::set) is under way.
    pub fn own(&self, prefixes: &[IpNet]) -> Vec<PrefixId> {
        let mut known = self.known();
        let numbers: HashMap<IpNet, usize> = known.iter().copied().zip(0..).collect();
        let owned: Vec<(usize, IpNet)> = prefixes
            .iter()
            .map(|prefix| {
                let number = numbers.get(prefix).copied().unwrap_or_else(|| {
                    known.push(*prefix);
                    known.len() - 1
                });
                (number, *prefix)
            })
            .collect();
        let ids = owned.iter().filter_map(|(number, _)| table::id(*number));
        let ids = ids.collect();
        // As above.
        let _ = self.instructions.send(Instruction::Own(owned));
        ids
    }

    fn known(&self) -> MutexGuard<'_, Vec<IpNet>> {
        // Nothing can panic while it is held.
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands against the wanted levels now, by prefix: foreign routes that hide
    /// or block ours, programs that undo our changes, refusals of the kernel. Empty
    /// when all is well. The receiver tells each change of it.
    pub fn conflicts(&self) -> watch::Receiver<Arc<Vec<Conflict>>> {
        self.conflicts.clone()
    }
}
