//! Who else announces our prefixes: in flow the kernel tables to which BIRD exports what
//! it hears of other hosts, and what BIRD says of its sessions with them; out flows, for
//! each prefix, the level of each of them, or why it cannot be believed.
//!
//! ```text
//! other host ──BGP──▶ BIRD ──▶ kernel table 4243, 4244 ... (one a host) ──events──▶ readings ─┐
//!                       └──── control socket: who lives, which sessions stand ────────────────┴─▶ News
//! ```
//!
//! One table a host, since BIRD exports only its best route of a prefix to a table, and
//! a rack neighbour must not hide another site. The kind of a route is its level:
//! blackhole full, unreachable degraded, none withdrawn. A BIRD that has died leaves its
//! routes where they are, and a session that is down looks like a withdraw: so a table
//! is believed only while BIRD lives, as its control socket shows, and the session
//! stands.
//!
//! All this has a thread of its own, since rtnetlink may block. Whoever reads the news
//! looks at their age as well: see [`STALE_AFTER`].

mod hearing;

use core::time::Duration;
use std::{io, sync::Arc, thread};

use futures_util::future::select_all;
use ipnet::IpNet;
use probe_core::{
    Level, Timestamp,
    witness::{Heard, Other},
};
use tokio::{sync::watch, time::Instant};

use self::hearing::{Sessions, levels, others};
use super::netlink::{Event, Kernel};
use crate::{
    bird::{Client, Name},
    datapath::now,
};

/// News older than this are not to be believed: the thread is stuck.
pub const STALE_AFTER: Duration = Duration::from_secs(5);
/// BIRD is asked so often, and once more after each change of a table.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// So long it has for its answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// The tables are read at least so often, should an event ever be lost.
const READ_INTERVAL: Duration = Duration::from_secs(10);
/// The routes of a few prefixes need little room.
const EVENT_BUFFER_BYTES: usize = 1 << 20;

/// A host that announces our prefixes, too, and how it is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The name of its site.
    pub site: String,
    /// Its own name.
    pub host: String,
    /// Whether its site is ours.
    pub is_neighbour: bool,
    /// The kernel table to which BIRD exports what it hears of this host.
    pub table: u32,
    /// BIRD's session with it for IPv4.
    pub session_v4: Option<Name>,
    /// BIRD's session with it for IPv6.
    pub session_v6: Option<Name>,
}

impl Witness {
    /// The session by which it is heard of a prefix.
    pub fn session(&self, prefix: IpNet) -> Option<&Name> {
        match prefix {
            IpNet::V4(_) => self.session_v4.as_ref(),
            IpNet::V6(_) => self.session_v6.as_ref(),
        }
    }

    /// Whether it is heard of a prefix.
    pub fn hears(&self, prefix: IpNet) -> bool {
        self.session(prefix).is_some()
    }
}

/// What is heard of all witnesses, by prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// When it was so.
    pub at: Timestamp,
    /// The other hosts, by the prefix's position.
    pub others: Vec<Vec<Other>>,
}

impl News {
    /// Whether the first look is still to come, at whichever witness.
    pub fn is_unread(&self) -> bool {
        let unread = |other: &Other| matches!(&other.heard, Heard::Stale(why) if why == UNREAD);
        self.others.iter().flatten().any(unread)
    }
}

/// What is to be heard.
#[derive(Clone, Debug)]
pub struct Options {
    /// BIRD's control socket.
    pub bird_socket: std::path::PathBuf,
    /// The other hosts.
    pub witnesses: Vec<Witness>,
    /// Our prefixes.
    pub prefixes: Vec<IpNet>,
}

/// Starts to listen. Until the first look is done, everything is stale. The thread ends
/// when nobody reads the news any more.
pub fn listen(options: Options) -> io::Result<watch::Receiver<Arc<News>>> {
    let listener = Listener::new(options);
    let (sender, news) = watch::channel(Arc::new(listener.news()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name("lapwing-witness".to_owned())
        .spawn(move || runtime.block_on(listener.run(&sender)))?;
    Ok(news)
}

/// What is said of a witness before the first look.
const UNREAD: &str = "not read yet";

/// The levels of our prefixes in one table.
type Table = Result<Vec<Level>, String>;

struct Listener {
    options: Options,
    /// One a witness; none while the kernel refuses.
    kernels: Vec<Option<Kernel>>,
    tables: Vec<Table>,
    client: Client,
    sessions: Sessions,
}

impl Listener {
    fn new(options: Options) -> Self {
        Self {
            client: Client::new(&options.bird_socket, ASK_TIMEOUT, ASK_INTERVAL),
            kernels: options.witnesses.iter().map(|_| None).collect(),
            tables: options
                .witnesses
                .iter()
                .map(|_| Err(UNREAD.to_owned()))
                .collect(),
            sessions: Err(UNREAD.to_owned()),
            options,
        }
    }

    async fn run(mut self, sender: &watch::Sender<Arc<News>>) {
        let mut read_at = Instant::now();
        let mut ask_at = Instant::now();
        let mut changed: Vec<usize> = Vec::new();
        while !sender.is_closed() {
            let due = read_at.min(ask_at);
            tokio::select! {
                table = next_event(&mut self.kernels) => changed.push(table),
                () = self.client.closed() => {
                    // At once: nothing that BIRD said holds any more.
                    self.sessions = Err("BIRD has closed its control socket: it ends or restarts".to_owned());
                    ask_at = Instant::now();
                }
                () = tokio::time::sleep_until(due) => {}
                () = sender.closed() => return,
            }
            if read_at <= Instant::now() {
                changed = (0..self.kernels.len()).collect();
                read_at = Instant::now() + READ_INTERVAL;
            }
            if !changed.is_empty() {
                changed.sort_unstable();
                changed.dedup();
                for table in changed.drain(..) {
                    self.read(table).await;
                }
                // A route that goes may be a session that went.
                ask_at = Instant::now();
            }
            // Before BIRD is asked: a level that is gone is gone whatever it says.
            self.publish(sender);
            if ask_at <= Instant::now() {
                self.sessions = hearing::sessions(self.client.protocols().await);
                ask_at = Instant::now() + ASK_INTERVAL;
                self.publish(sender);
            }
        }
    }

    /// Reads the table of one witness, and opens its sockets if there are none.
    async fn read(&mut self, index: usize) {
        let id = self.options.witnesses[index].table;
        let failed = |error: io::Error| format!("kernel table {id} cannot be read: {error}");
        if self.kernels[index].is_none() {
            match Kernel::connect(id, EVENT_BUFFER_BYTES) {
                Ok(kernel) => self.kernels[index] = Some(kernel),
                Err(error) => {
                    self.tables[index] = Err(failed(error));
                    return;
                }
            }
        }
        let Some(kernel) = &mut self.kernels[index] else {
            return;
        };
        // What came before the reading is in it.
        while kernel.next_event_now().is_some() {}
        self.tables[index] = match kernel.dump().await {
            Ok(routes) => Ok(levels(&routes, &self.options.prefixes)),
            Err(error) => {
                self.kernels[index] = None;
                Err(failed(error))
            }
        };
    }

    fn news(&self) -> News {
        News {
            at: now(),
            others: others(&self.options, &self.tables, &self.sessions),
        }
    }

    fn publish(&self, sender: &watch::Sender<Arc<News>>) {
        sender.send_replace(Arc::new(self.news()));
    }
}

/// Waits until one of the tables changes; says which. A socket that is lost is dropped,
/// and the next reading opens another.
async fn next_event(kernels: &mut [Option<Kernel>]) -> usize {
    let events: Vec<_> = kernels
        .iter_mut()
        .enumerate()
        .filter_map(|(index, kernel)| {
            let kernel = kernel.as_mut()?;
            Some(Box::pin(async move { (index, kernel.next_event().await) }))
        })
        .collect();
    if events.is_empty() {
        return core::future::pending().await;
    }
    let (index, event): (usize, Option<Event>) = select_all(events).await.0;
    if event.is_none() {
        kernels[index] = None;
    }
    index
}
