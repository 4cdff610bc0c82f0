//! The task that owns the netlink sockets.
//!
//! In flow wishes and the kernel's events; out flow changes, observations and the
//! list of conflicts. An event that agrees with what the actor knows costs nothing
//! more; any other one makes it read the table, which alone is believed, and then
//! repair what differs. So events may be late, doubled or lost: the slow reading
//! every [`DUMP_INTERVAL`] and the one after an overrun mend it.

use core::{mem, time::Duration};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::Arc,
};

use ipnet::IpNet;
use probe_core::{Level, Timestamp, config::PrefixId};
use tokio::sync::{mpsc, watch};

use super::{
    Error, Observation, Options, Request,
    netlink::{Event, Kernel},
    reconcile::{Change, Plan},
    route::Route,
    tracked::Tracked,
};
use crate::datapath::now;

/// The table is read at least so often.
const DUMP_INTERVAL: Duration = Duration::from_secs(30);
/// After a refusal, the next attempt comes so much later, or with the next event.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// A wish is tried so often when the table turns out to be other than known.
const SET_ATTEMPTS: usize = 4;
enum Occurrence {
    Request(Request),
    Event(Option<Event>, Timestamp),
    Wake,
}

pub(super) struct Actor {
    table: u32,
    kernel: Kernel,
    /// Whether the event socket still lives.
    connected: bool,
    tracked: Vec<Tracked>,
    index: HashMap<IpNet, usize>,
    next_dump: Timestamp,
    observed: mpsc::Sender<Observation>,
    /// The newest observations that found no room.
    late: BTreeMap<PrefixId, Observation>,
    conflicts: watch::Sender<Arc<Vec<String>>>,
}

impl Actor {
    /// Opens the sockets, reads the table and tells what stands there.
    pub async fn start(
        options: &Options,
        observed: mpsc::Sender<Observation>,
        conflicts: watch::Sender<Arc<Vec<String>>>,
    ) -> Result<Self, Error> {
        let tracked: Vec<Tracked> = options
            .prefixes
            .iter()
            .map(|net| Tracked::new(net.trunc(), options))
            .collect();
        let index = tracked
            .iter()
            .enumerate()
            .map(|(index, tracked)| (tracked.net, index))
            .collect();
        let kernel = Kernel::connect(options.table).map_err(|source| Error::Connect { source })?;
        let mut actor = Self {
            table: options.table,
            kernel,
            connected: true,
            tracked,
            index,
            next_dump: Timestamp::default(),
            observed,
            late: BTreeMap::new(),
            conflicts,
        };
        actor.read(now()).await.map_err(|source| Error::Read {
            table: options.table,
            source,
        })?;
        actor.publish_conflicts();
        Ok(actor)
    }

    /// Runs until the last sender of wishes is gone.
    pub async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            let wake = self.next_wake().since(now());
            let occurrence = tokio::select! {
                biased;
                request = requests.recv() => match request {
                    Some(request) => Occurrence::Request(request),
                    None => return,
                },
                event = self.kernel.next_event(), if self.connected => Occurrence::Event(event, now()),
                permit = self.observed.reserve(), if !self.late.is_empty() => {
                    if let Some((_, observation)) = self.late.pop_first()
                        && let Ok(permit) = permit
                    {
                        permit.send(observation);
                    }
                    continue;
                }
                () = tokio::time::sleep(wake) => Occurrence::Wake,
            };
            match occurrence {
                Occurrence::Request(request) => {
                    let result = self.set(request.prefix, request.level).await;
                    if result.is_err() {
                        self.publish_conflicts();
                    }
                    // The caller may have given up waiting.
                    let _ = request.reply.send(result);
                }
                Occurrence::Event(Some(event), at) => self.handle(event, at).await,
                Occurrence::Event(None, at) => self.lost(at),
                Occurrence::Wake => self.wake(now()).await,
            }
            self.publish_conflicts();
        }
    }

    fn next_wake(&self) -> Timestamp {
        self.tracked
            .iter()
            .filter_map(|tracked| tracked.retry_at)
            .fold(self.next_dump, Timestamp::min)
    }

    /// The sockets are of no use any more: open new ones at once.
    fn lost(&mut self, at: Timestamp) {
        tracing::warn!("the rtnetlink sockets are lost: reopening them");
        self.connected = false;
        self.next_dump = at;
    }

    /// Makes the table agree with a fresh wish.
    async fn set(&mut self, prefix: PrefixId, level: Level) -> Result<(), Error> {
        let index = prefix.0 as usize;
        let table = self.table;
        let Some(tracked) = self.tracked.get_mut(index) else {
            return Err(Error::UnknownPrefix(prefix));
        };
        let net = tracked.net;
        tracked.reconciler.want(level);
        tracked.refusal = None;
        tracked.retry_at = None;
        for attempt in 1..=SET_ATTEMPTS {
            match self.tracked[index].reconciler.plan() {
                Plan::Rest => return Ok(()),
                // What is known may be old: look before giving up.
                Plan::Blocked(route) if attempt > 1 => {
                    return Err(Error::Foreign {
                        prefix: net,
                        table,
                        route,
                    });
                }
                Plan::Blocked(_) | Plan::Wait(_) => self.read_or_retry(now()).await?,
                Plan::Make(changes) => {
                    if let Err(source) = self.make(index, changes).await {
                        if !differs(&source) {
                            let error = Error::Change {
                                prefix: net,
                                table,
                                level,
                                source,
                            };
                            self.refused(index, error.to_string());
                            return Err(error);
                        }
                        self.read_or_retry(now()).await?;
                    }
                }
            }
        }
        match self.tracked[index].reconciler.plan() {
            Plan::Rest => Ok(()),
            Plan::Blocked(route) => Err(Error::Foreign {
                prefix: net,
                table,
                route,
            }),
            Plan::Make(_) | Plan::Wait(_) => {
                self.tracked[index].retry_at = Some(now().after(RETRY_INTERVAL));
                Err(Error::Contended {
                    prefix: net,
                    table,
                    level,
                })
            }
        }
    }

    /// Takes an event and all that wait behind it.
    async fn handle(&mut self, first: Event, at: Timestamp) {
        let mut news = self.is_news(&first);
        while let Some(event) = self.kernel.next_event_now() {
            news |= self.is_news(&event);
        }
        if news && self.read_or_retry(at).await.is_ok() {
            self.repair_all().await;
        }
    }

    fn is_news(&self, event: &Event) -> bool {
        let knows = |prefix, route: &Route| {
            let index: &usize = self.index.get(prefix)?;
            Some(self.tracked[*index].reconciler.knows(route))
        };
        match event {
            Event::Appeared(prefix, route) => knows(prefix, route) == Some(false),
            Event::Gone(prefix, route) => knows(prefix, route) == Some(true),
            Event::Overrun => {
                tracing::warn!("the kernel lost route events: reading the table");
                true
            }
        }
    }

    async fn wake(&mut self, at: Timestamp) {
        if !self.connected {
            match Kernel::connect(self.table) {
                Ok(kernel) => {
                    self.kernel = kernel;
                    self.connected = true;
                }
                Err(error) => tracing::warn!(%error, "cannot reopen the rtnetlink sockets"),
            }
        }
        if self.next_dump > at || self.read_or_retry(at).await.is_ok() {
            self.repair_all().await;
        }
    }

    /// Repairs each prefix that is not as wanted and not waiting.
    async fn repair_all(&mut self) {
        for index in 0..self.tracked.len() {
            let now = now();
            let tracked = &mut self.tracked[index];
            let plan = tracked.reconciler.repair(now);
            tracked.contended = matches!(plan, Plan::Wait(_));
            tracked.retry_at = None;
            match plan {
                Plan::Rest | Plan::Blocked(_) => tracked.refusal = None,
                Plan::Wait(until) => tracked.retry_at = Some(until),
                Plan::Make(changes) => {
                    tracing::warn!(
                        prefix = %tracked.net,
                        wanted = tracked.reconciler.wanted().map(tracing::field::display),
                        ?changes,
                        "somebody changed the route: repairing it"
                    );
                    match self.make(index, changes).await {
                        Ok(()) => self.tracked[index].refusal = None,
                        Err(error) if differs(&error) => {
                            // The next round reads; the limit on repairs ends a spin.
                            self.tracked[index].retry_at = Some(now);
                            self.next_dump = now;
                        }
                        Err(source) => {
                            let tracked = &self.tracked[index];
                            let level = tracked.reconciler.wanted().unwrap_or(Level::Withdrawn);
                            let error = Error::Change {
                                prefix: tracked.net,
                                table: self.table,
                                level,
                                source,
                            };
                            self.refused(index, error.to_string());
                        }
                    }
                }
            }
        }
    }

    fn refused(&mut self, index: usize, error: String) {
        let tracked = &mut self.tracked[index];
        tracked.refusal = Some(error);
        tracked.retry_at = Some(now().after(RETRY_INTERVAL));
    }

    /// Makes the changes of one prefix and tells what they led to.
    async fn make(&mut self, index: usize, changes: Vec<Change>) -> io::Result<()> {
        for change in changes {
            let tracked = &mut self.tracked[index];
            let result = self.kernel.change(tracked.net, change).await;
            if let Err(error) = result {
                if error.kind() == io::ErrorKind::NotConnected
                    || error.kind() == io::ErrorKind::TimedOut
                {
                    self.lost(now());
                }
                return Err(error);
            }
            tracked.reconciler.made(change);
            self.tell(index, now());
        }
        Ok(())
    }

    /// Reads the table; on failure again a little later.
    async fn read_or_retry(&mut self, at: Timestamp) -> Result<(), Error> {
        self.read(at).await.map_err(|source| {
            let error = Error::Read {
                table: self.table,
                source,
            };
            tracing::error!(%error, "route control cannot see the table");
            self.next_dump = now().after(RETRY_INTERVAL);
            error
        })
    }

    /// Reads the table and tells what is new; it was so since `at` at the latest.
    async fn read(&mut self, at: Timestamp) -> io::Result<()> {
        let routes = self.kernel.dump().await?;
        let mut found: Vec<Vec<Route>> = vec![Vec::new(); self.tracked.len()];
        for (prefix, route) in routes {
            if let Some(index) = self.index.get(&prefix) {
                found[*index].push(route);
            }
        }
        for (index, routes) in found.into_iter().enumerate() {
            self.tracked[index].reconciler.observe(routes);
            self.tell(index, at);
        }
        self.next_dump = now().after(DUMP_INTERVAL);
        Ok(())
    }

    /// Sends an observation if the level of a prefix is other than the last one sent.
    fn tell(&mut self, index: usize, at: Timestamp) {
        let tracked = &mut self.tracked[index];
        let observed = tracked.reconciler.level();
        if tracked.told == Some(observed) {
            return;
        }
        tracked.told = Some(observed);
        let Ok(id) = u32::try_from(index) else { return };
        let observation = Observation {
            prefix: PrefixId(id),
            observed,
            at,
        };
        if let Some(waiting) = self.late.get_mut(&observation.prefix) {
            *waiting = observation;
            return;
        }
        match self.observed.try_send(observation) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(observation)) => {
                self.late.insert(observation.prefix, observation);
            }
        }
    }

    /// Lists what stands against the wanted levels, and logs what is new in it.
    fn publish_conflicts(&mut self) {
        let mut all: Vec<String> = self
            .tracked
            .iter()
            .flat_map(|tracked| tracked.conflicts(self.table))
            .collect();
        self.conflicts.send_if_modified(|published| {
            if **published == all {
                return false;
            }
            for conflict in all.iter().filter(|conflict| !published.contains(conflict)) {
                tracing::warn!("{conflict}");
            }
            if all.is_empty() {
                tracing::info!("nothing stands against the wanted routes any more");
            }
            *published = Arc::new(mem::take(&mut all));
            true
        });
    }
}

/// Whether an error says that the table is other than known, so that reading it
/// helps: it exists, or there is no such route.
fn differs(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EEXIST | libc::ESRCH | libc::ENOENT)
    )
}
