//! Route control: makes the kernel's table say what was decided.
//!
//! In flows the wanted [`Level`] of each prefix; out flow routes in one dedicated
//! kernel table, from which BIRD learns, and [`Observation`]s of what that table
//! holds, whoever changed it. A route that somebody deletes or changes comes back;
//! routes of other programs are never touched and reported where they matter.
//!
//! ```text
//! daemon ── set ──▶ actor (own thread) ── Change ──▶ kernel table ──▶ BIRD
//!        ◀─ Observation ─┘  ▲ └─ reconcile (pure)        │
//!                           └──── events, dumps ─────────┘
//! ```
//!
//! The actor has a thread of its own, because a request to rtnetlink blocks while
//! anybody holds the kernel's RTNL lock: that must neither stop the measurement
//! nor outlast a deadline of ours. When the [`Announcer`] is dropped, the thread
//! ends and the routes stay.

mod actor;
mod netlink;
pub mod reconcile;
pub mod route;
mod tracked;

use core::time::Duration;
use std::{io, sync::Arc, thread};

use ipnet::IpNet;
use probe_core::{Level, Timestamp, config::PrefixId};
use tokio::sync::{mpsc, oneshot, watch};

use self::{actor::Actor, route::Route};

/// A [`set`](Announcer::set) gives up waiting after this time; the actor goes on
/// trying.
const SET_TIMEOUT: Duration = Duration::from_secs(3);
/// Wishes under way.
const REQUESTS: usize = 64;
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

/// Why the table is not as wanted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No actor.
    #[error("cannot start the route control thread: {source}")]
    Thread {
        /// The kernel's answer.
        source: io::Error,
    },
    /// No netlink.
    #[error("cannot open an rtnetlink socket: {source}{}", remedy(source, None))]
    Connect {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The table cannot be read.
    #[error("cannot read routing table {table}: {source}{}", remedy(source, None))]
    Read {
        /// Which table.
        table: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused a change.
    #[error(
        "cannot make {prefix} {level} in routing table {table}: {source}{}",
        remedy(source, Some(*prefix))
    )]
    Change {
        /// Which prefix.
        prefix: IpNet,
        /// In which table.
        table: u32,
        /// The level that was wanted.
        level: Level,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Another program's route holds the key of ours.
    #[error(
        "cannot make {prefix} full in routing table {table}: another program's {route} stands \
         there; remove it (ip route del {prefix} table {table} metric {metric}) or give lapwing \
         a table of its own: it goes in as soon as that one goes",
        metric = route.metric
    )]
    Foreign {
        /// Which prefix.
        prefix: IpNet,
        /// In which table.
        table: u32,
        /// The route that stands there.
        route: Route,
    },
    /// Another program undoes each change.
    #[error(
        "cannot make {prefix} {level} in routing table {table}: another program changes the route \
         as fast as lapwing does; find it with: ip -ts monitor route"
    )]
    Contended {
        /// Which prefix.
        prefix: IpNet,
        /// In which table.
        table: u32,
        /// The level that was wanted.
        level: Level,
    },
    /// The kernel did not answer.
    #[error(
        "the kernel did not acknowledge {prefix} {level} in routing table {table} within \
         {SET_TIMEOUT:?} (another program holds its routing lock?); lapwing goes on trying"
    )]
    Timeout {
        /// Which prefix.
        prefix: IpNet,
        /// In which table.
        table: u32,
        /// The level that was wanted.
        level: Level,
    },
    /// A prefix that the options do not have.
    #[error("there is no prefix number {}", .0.0)]
    UnknownPrefix(PrefixId),
    /// The actor is gone.
    #[error("route control has stopped; restart lapwing (the routes stay as they are)")]
    Stopped,
}

/// What an operator can do about a refusal, as the end of a sentence.
fn remedy(error: &io::Error, prefix: Option<IpNet>) -> &'static str {
    match (error.raw_os_error(), prefix) {
        (Some(libc::EPERM), _) => "; run lapwing as root or give it CAP_NET_ADMIN",
        (Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP), Some(IpNet::V6(_))) => {
            "; this kernel runs without IPv6: boot without ipv6.disable=1"
        }
        (Some(libc::ENOBUFS | libc::ENOMEM | libc::EMFILE | libc::ENFILE), _) => {
            "; the host lacks memory or file descriptors"
        }
        (Some(libc::ENOPROTOOPT), _) => "; lapwing needs Linux 4.20 or newer",
        _ => "",
    }
}

/// A wish on its way to the actor.
struct Request {
    prefix: PrefixId,
    level: Level,
    reply: oneshot::Sender<Result<(), Error>>,
}

/// The handle of the actor.
#[derive(Debug)]
pub struct Announcer {
    requests: mpsc::Sender<Request>,
    conflicts: watch::Receiver<Arc<Vec<String>>>,
    table: u32,
    prefixes: Vec<IpNet>,
}

impl Announcer {
    /// Subscribes to the route events of IPv4 and IPv6 and reads the table. What
    /// stands there is adopted: nothing changes before the first
    /// [`set`](Self::set) of a prefix. One observation per prefix comes at once.
    pub async fn start(options: Options) -> Result<(Self, mpsc::Receiver<Observation>), Error> {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let (observed, observations) = mpsc::channel(OBSERVATIONS.max(4 * options.prefixes.len()));
        let (conflicts_sender, conflicts) = watch::channel(Arc::default());
        let (ready, started) = oneshot::channel();
        let announcer = Self {
            requests,
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
                match Actor::start(&options, observed, conflicts_sender).await {
                    Ok(actor) => {
                        // A caller who has gone away also drops the inbox's sender.
                        let _ = ready.send(Ok(()));
                        actor.run(inbox).await;
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
        let exchange = async {
            self.requests
                .send(request)
                .await
                .map_err(|_| Error::Stopped)?;
            answer.await.map_err(|_| Error::Stopped)?
        };
        tokio::time::timeout(SET_TIMEOUT, exchange)
            .await
            .unwrap_or(Err(Error::Timeout {
                prefix: net,
                table: self.table,
                level,
            }))
    }

    /// What stands against the wanted levels now, one sentence each: foreign routes
    /// that hide or block ours, programs that undo our changes, refusals of the
    /// kernel. Empty when all is well.
    pub fn conflicts(&self) -> Vec<String> {
        self.conflicts.borrow().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::route::Kind;

    #[test]
    fn errors_name_prefix_table_cause_and_remedy() {
        let prefix: IpNet = "192.0.2.0/24".parse().unwrap();
        let change = |prefix: &str, errno| Error::Change {
            prefix: prefix.parse().unwrap(),
            table: 4242,
            level: Level::Full,
            source: io::Error::from_raw_os_error(errno),
        };
        for (error, expected) in [
            (
                change("192.0.2.0/24", libc::EPERM),
                "cannot make 192.0.2.0/24 full in routing table 4242: Operation not permitted \
                 (os error 1); run lapwing as root or give it CAP_NET_ADMIN",
            ),
            (
                change("2001:db8::/32", libc::EOPNOTSUPP),
                "cannot make 2001:db8::/32 full in routing table 4242: Operation not supported \
                 (os error 95); this kernel runs without IPv6: boot without ipv6.disable=1",
            ),
            (
                Error::Foreign {
                    prefix,
                    table: 4242,
                    route: Route {
                        metric: 32,
                        protocol: 4,
                        kind: Kind::Unicast,
                    },
                },
                "cannot make 192.0.2.0/24 full in routing table 4242: another program's unicast \
                 route of protocol 4, metric 32 stands there; remove it (ip route del \
                 192.0.2.0/24 table 4242 metric 32) or give lapwing a table of its own: it goes \
                 in as soon as that one goes",
            ),
        ] {
            assert_eq!(error.to_string(), expected);
        }
    }
}
