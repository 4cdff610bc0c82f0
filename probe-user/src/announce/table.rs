//! The kernel's table and what is known of it.
//!
//! In flow changes to make and the kernel's events; out flow acknowledgements, and
//! through the [`Herald`] what is new. An event that agrees with what is known costs
//! nothing more; any other one asks for a reading, which alone is believed. So
//! events may be late, doubled or lost: the slow reading every [`READING_INTERVAL`]
//! and the one after an overrun mend it.

use core::{mem, time::Duration};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
};

use futures_util::{StreamExt, stream};
use ipnet::IpNet;
use probe_core::{Timestamp, config::PrefixId};

use super::{
    Error, Observation, Options, conflict,
    herald::Herald,
    netlink::{Event, Kernel},
    reconcile::Change,
    route::Route,
    tracked::Tracked,
};
use crate::datapath::now;

/// The table is read at least so often.
const READING_INTERVAL: Duration = Duration::from_secs(30);
/// A reading that failed is tried again after this time.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// After a reading, the next one waits so many times as long as it took: a storm of
/// events costs a fifth of the time, whatever the size of the table.
const REST_PER_READING: u32 = 4;
/// Prefixes whose changes are under way at once. The kernel's answers to all of them
/// must fit into the socket's buffer, which by default holds some 260.
const WINDOW: usize = 64;

/// The changes of one prefix, by its place in the configuration, in their order.
pub(super) type Work = (usize, Vec<Change>);

pub(super) struct Table {
    id: u32,
    event_buffer_bytes: usize,
    /// What our routes look like, for prefixes that come later.
    options: Options,
    pub kernel: Kernel,
    /// Whether the sockets still live.
    pub connected: bool,
    pub tracked: Vec<Tracked>,
    index: HashMap<IpNet, usize>,
    pub herald: Herald,
    /// Since when an event waits for a reading.
    news_since: Option<Timestamp>,
    /// Not before this time is the table read because of events.
    rest_until: Timestamp,
    next_reading: Timestamp,
    /// Prefixes whose conflicts may be others than told.
    touched: BTreeSet<usize>,
}

impl Table {
    /// Opens the sockets, reads the table and tells what stands there.
    pub async fn open(options: &Options, herald: Herald) -> Result<Self, Error> {
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
        let kernel = Kernel::connect(options.table, options.event_buffer_bytes)
            .map_err(|source| Error::Connect { source })?;
        let mut table = Self {
            id: options.table,
            event_buffer_bytes: options.event_buffer_bytes,
            options: options.clone(),
            kernel,
            connected: true,
            tracked,
            index,
            herald,
            news_since: None,
            rest_until: Timestamp::default(),
            next_reading: Timestamp::default(),
            touched: BTreeSet::new(),
        };
        table.read(now()).await.map_err(|source| Error::Read {
            table: options.table,
            source,
        })?;
        table.publish();
        Ok(table)
    }

    /// Looks after these prefixes from `now` on, and no others. One that comes, or comes
    /// back, begins with an observation: the table is read for it.
    pub fn own(&mut self, prefixes: &[(usize, IpNet)], now: Timestamp) {
        for (index, net) in prefixes {
            if *index == self.tracked.len() {
                let net = net.trunc();
                self.tracked.push(Tracked::new(net, &self.options));
                self.index.insert(net, *index);
                self.news_since.get_or_insert(now);
            }
        }
        let owned: HashSet<usize> = prefixes.iter().map(|(index, _)| *index).collect();
        for index in 0..self.tracked.len() {
            let before = mem::replace(&mut self.tracked[index].owned, owned.contains(&index));
            match (before, self.tracked[index].owned) {
                (true, false) => self.let_go(index),
                (false, true) => {
                    self.tracked[index].told = None;
                    self.news_since.get_or_insert(now);
                    self.touch(index);
                }
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Wants nothing of a prefix any more.
    pub fn let_go(&mut self, index: usize) {
        if let Some(tracked) = self.tracked.get_mut(index) {
            tracked.reconciler.let_go();
            tracked.refusal = None;
            tracked.due = None;
            self.touch(index);
        }
    }

    /// The table's number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// When to read it, events or not.
    pub fn reading_due(&self) -> Timestamp {
        match self.news_since {
            Some(_) => self.rest_until,
            None => self.next_reading,
        }
    }

    /// Since when there is something to read, if there is.
    pub fn news_since(&self) -> Option<Timestamp> {
        self.news_since
    }

    /// Whether the last reading is as good as one made now: nothing was heard since,
    /// and it ended less than a few times as long ago as it took.
    pub fn is_fresh(&self) -> bool {
        self.news_since.is_none() && now() < self.rest_until
    }

    /// Takes the events that have come already.
    pub fn take_waiting(&mut self, at: Timestamp) {
        while let Some(event) = self.kernel.next_event_now() {
            self.take(&event, at);
        }
    }

    /// Takes an event of `at`.
    pub fn take(&mut self, event: &Event, at: Timestamp) {
        let knows = |prefix, route: &Route| {
            let index: &usize = self.index.get(prefix)?;
            Some(self.tracked[*index].reconciler.knows(route))
        };
        let news = match event {
            Event::Appeared(prefix, route) => knows(prefix, route) == Some(false),
            Event::Gone(prefix, route) => knows(prefix, route) == Some(true),
            Event::Overrun => {
                tracing::warn!("the kernel lost route events: reading the table");
                true
            }
        };
        if news {
            self.news_since.get_or_insert(at);
        }
    }

    /// The sockets are of no use any more.
    pub fn lost(&mut self, at: Timestamp) {
        tracing::warn!("the rtnetlink sockets are lost: reopening them");
        self.connected = false;
        self.news_since.get_or_insert(at);
    }

    /// Opens new sockets if the old ones are lost.
    pub fn reconnect(&mut self) {
        if self.connected {
            return;
        }
        match Kernel::connect(self.id, self.event_buffer_bytes) {
            Ok(kernel) => {
                self.kernel = kernel;
                self.connected = true;
            }
            Err(error) => tracing::warn!(%error, "cannot reopen the rtnetlink sockets"),
        }
    }

    /// Reads the table and tells what is new; it was so since `at` at the latest. On
    /// failure it is read again a little later.
    pub async fn read(&mut self, at: Timestamp) -> io::Result<()> {
        let start = now();
        let result = self.kernel.dump().await;
        let end = now();
        let routes = result.inspect_err(|error| {
            tracing::error!(
                "route control cannot read routing table {}: {error}",
                self.id
            );
            self.next_reading = end.after(RETRY_INTERVAL);
            self.rest_until = self.next_reading;
        })?;
        let mut found: Vec<Vec<Route>> = vec![Vec::new(); self.tracked.len()];
        for (prefix, route) in routes {
            if let Some(index) = self.index.get(&prefix) {
                found[*index].push(route);
            }
        }
        for (index, routes) in found.into_iter().enumerate() {
            if self.tracked[index].reconciler.observe(routes) {
                self.touched.insert(index);
            }
            tell(&mut self.tracked[index], &mut self.herald, index, at);
        }
        self.news_since = None;
        self.rest_until = end.after(end.since(start).saturating_mul(REST_PER_READING));
        self.next_reading = end.after(READING_INTERVAL);
        Ok(())
    }

    /// Makes the changes of several prefixes, many at once, and tells what they led
    /// to. Of a prefix, the first failure ends its changes.
    pub async fn make(&mut self, work: Vec<Work>) -> Vec<(usize, io::Result<()>)> {
        let mut results = Vec::with_capacity(work.len());
        let (kernel, tracked) = (&self.kernel, &mut self.tracked);
        let work: Vec<_> = work
            .into_iter()
            .map(|(index, changes)| (index, tracked[index].net, changes))
            .collect();
        let mut under_way = stream::iter(work)
            .map(|(index, net, changes)| async move {
                let mut made = Vec::with_capacity(changes.len());
                for change in changes {
                    if let Err(error) = kernel.change(net, change).await {
                        return (index, made, Err(error));
                    }
                    made.push((change, now()));
                }
                (index, made, Ok(()))
            })
            .buffer_unordered(WINDOW);
        while let Some((index, made, result)) = under_way.next().await {
            let tracked = &mut tracked[index];
            self.touched.insert(index);
            for (change, at) in made {
                tracked.reconciler.made(change);
                tell(tracked, &mut self.herald, index, at);
            }
            results.push((index, result));
        }
        drop(under_way);
        let lost = results.iter().any(|(_, result)| match result {
            Ok(()) => false,
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::NotConnected | io::ErrorKind::TimedOut
            ),
        });
        if lost {
            self.lost(now());
        }
        results
    }

    /// The conflicts of a prefix may be others than told.
    pub fn touch(&mut self, index: usize) {
        self.touched.insert(index);
    }

    /// Tells the conflicts that are new, and those that are over.
    pub fn publish(&mut self) {
        for index in mem::take(&mut self.touched) {
            if let Some(id) = id(index) {
                let tracked = &self.tracked[index];
                let conflicts = if tracked.owned {
                    conflict::conflicts(id, tracked, self.id)
                } else {
                    Vec::new()
                };
                self.herald.stand(id, conflicts);
            }
        }
        self.herald.publish();
    }
}

/// The number of a prefix by its place here.
pub(super) fn id(index: usize) -> Option<PrefixId> {
    u32::try_from(index).ok().map(PrefixId)
}

/// Sends an observation if the level of a prefix is other than the last one sent.
fn tell(tracked: &mut Tracked, herald: &mut Herald, index: usize, at: Timestamp) {
    let observed = tracked.reconciler.level();
    if !tracked.owned || tracked.told == Some(observed) {
        return;
    }
    tracked.told = Some(observed);
    if let Some(prefix) = id(index) {
        herald.observed(Observation {
            prefix,
            observed,
            at,
        });
    }
}

/// Whether an error says that the table is other than known, so that reading it
/// helps: it exists, or there is no such route.
pub(super) fn differs(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EEXIST | libc::ESRCH | libc::ENOENT)
    )
}
