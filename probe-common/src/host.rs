//! The tables in plain memory, for tests and tools on the host: the same
//! measurement as in the kernel, on one CPU, with a clock that is set by hand.

extern crate std;

use core::{
    cell::{Cell as Slot, RefCell},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};
use std::{boxed::Box, vec::Vec};

use crate::{
    address::NETWORK_BUCKETS,
    cell::{Atomics, Shared},
    cohort::{CohortHead, CohortRing, Cohorts},
    counters::{Counters, Traffic},
    ends::FlowHashKey,
    flow::{DEFAULT_HANDSHAKE_SETS, DEFAULT_QUERY_SETS, Set, set_index},
    gate::generation_shift,
    latency::{Histogram, SharedHistogram},
    measure::{Event, Measured, Tables, egress, ingress},
    parse::tunnel::Tunnels,
    sample::{Cell, DEFAULT_CELLS, Holder, Holders, cell_index, holders, holders_index},
    service::{Options, REPLAY_FLOW_WORD, Service, ring_index},
    skip::Skip,
    state::State,
    syn::ChecksumRule,
    trial::{Begun, Kind, RINGS_PER_BLOCK, RINGS_PER_SERVICE},
    uplink::Uplink,
};

/// Counts by hash bucket.
pub type Buckets = [u32; NETWORK_BUCKETS];

/// Interfaces that are told apart.
const UPLINKS: u32 = 4;

/// How much room the tables have; powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostSizes {
    /// Sets of the table of TCP connections.
    pub connection_sets: u32,
    /// Sets of the table of UDP exchanges.
    pub exchange_sets: u32,
    /// Sample cells of a service.
    pub cells: u32,
}

/// As in the kernel, unless configured.
impl Default for HostSizes {
    fn default() -> Self {
        Self {
            connection_sets: DEFAULT_HANDSHAKE_SETS,
            exchange_sets: DEFAULT_QUERY_SETS,
            cells: DEFAULT_CELLS,
        }
    }
}

/// Everything a hook needs, in memory.
pub struct HostTables {
    now_ns: Slot<u64>,
    tunnels: Tunnels,
    state: Box<State>,
    sizes: HostSizes,
    options: Vec<Options>,
    connections: Vec<Set>,
    exchanges: Vec<Set>,
    holders: Vec<Holders>,
    cells: Vec<Cell>,
    traffic: RefCell<Vec<Traffic>>,
    counters: RefCell<Vec<Counters>>,
    latencies: Vec<SharedHistogram>,
    verified: RefCell<Vec<Buckets>>,
    begun: RefCell<Vec<Buckets>>,
    servfails: RefCell<Vec<Buckets>>,
    interface: Slot<u32>,
    uplinks: Vec<Uplink>,
    heads: Vec<CohortHead>,
    cohorts: Vec<Cohorts>,
    skips: RefCell<[u64; Skip::COUNT]>,
    wakes: Slot<u64>,
    checksum_rule: ChecksumRule,
}

/// State without services.
pub fn empty_state() -> Box<State> {
    // SAFETY: the state is made of integers, for which zero is a value; it also is
    // an empty table, an unused gate and so on.
    unsafe { Box::<State>::new_zeroed().assume_init() }
}

impl HostTables {
    /// Tables for these services, whose ids must be their positions. No more than
    /// [`MAX_SERVICES`](crate::service::MAX_SERVICES) of them. `deadline_ns` tells
    /// the deadline of each service's trials by kind.
    pub fn new(
        services: &[Service],
        tunnels: Tunnels,
        deadline_ns: impl Fn(usize, Kind) -> u64,
    ) -> Self {
        let mut state = empty_state();
        state.flow_key = FlowHashKey::from_random(REPLAY_FLOW_WORD);
        assert!(
            state.services.replace(services, 1),
            "more than MAX_SERVICES, or one twice"
        );
        let kinds_of = |service: &Service| {
            if service.port_protocol & 0xff == u32::from(crate::service::TCP) {
                Kind::TCP
            } else {
                Kind::UDP
            }
        };
        let rings = services.len() * RINGS_PER_SERVICE;
        let mut heads: Vec<CohortHead> = (0..rings).map(|_| CohortHead::new(0)).collect();
        let mut longest_ns = 0;
        for (id, service) in services.iter().enumerate() {
            let options = Options(service.options.load());
            for kind in kinds_of(service) {
                let index = ring_index(service.id, options, *kind) as usize;
                heads[index] = CohortHead::new(deadline_ns(id, *kind));
                longest_ns = deadline_ns(id, *kind).max(longest_ns);
            }
        }
        state
            .gate
            .generation_shift
            .store(generation_shift(longest_ns));
        let sizes = HostSizes::default();
        Self {
            now_ns: Slot::new(0),
            tunnels,
            state,
            sizes,
            options: services
                .iter()
                .map(|service| Options(service.options.load()))
                .collect(),
            connections: empty(sizes.connection_sets),
            exchanges: empty(sizes.exchange_sets),
            holders: empty(holders(cells(services.len(), sizes.cells))),
            cells: empty(cells(services.len(), sizes.cells)),
            traffic: RefCell::new(services.iter().map(|_| Traffic::default()).collect()),
            counters: RefCell::new(services.iter().map(|_| Counters::default()).collect()),
            latencies: (0..services.len() * RINGS_PER_BLOCK)
                .map(|_| SharedHistogram::default())
                .collect(),
            verified: RefCell::new(services.iter().map(|_| [0; NETWORK_BUCKETS]).collect()),
            begun: RefCell::new(std::vec![[0; NETWORK_BUCKETS]; services.len() * Begun::COUNT]),
            servfails: RefCell::new(services.iter().map(|_| [0; NETWORK_BUCKETS]).collect()),
            interface: Slot::new(0),
            uplinks: empty(UPLINKS),
            heads,
            cohorts: (0..rings).map(|_| Cohorts::new()).collect(),
            skips: RefCell::new([0; Skip::COUNT]),
            wakes: Slot::new(0),
            checksum_rule: ChecksumRule::Full,
        }
    }

    /// Accepts SYNs with a checksum that is still to be completed.
    #[must_use]
    pub fn with_partial_checksums(mut self) -> Self {
        self.checksum_rule = ChecksumRule::FullOrPartial;
        self
    }

    /// The same with other room; what was measured is forgotten.
    #[must_use]
    pub fn with_sizes(mut self, sizes: HostSizes) -> Self {
        self.sizes = sizes;
        self.forget();
        self
    }

    /// Forgets whatever was measured. Much cheaper than tables anew, if they are
    /// small.
    pub fn forget(&mut self) {
        let services = self.options.len();
        self.now_ns.set(0);
        let shift = self.state.gate.generation_shift.load();
        // SAFETY: the gate is made of integers, for which zero is a value; it also is
        // an unused gate. It is borrowed by nobody else.
        unsafe { core::ptr::write_bytes(&raw mut self.state.gate, 0, 1) };
        self.state.gate.generation_shift.store(shift);
        self.connections = empty(self.sizes.connection_sets);
        self.exchanges = empty(self.sizes.exchange_sets);
        let cells = cells(services, self.sizes.cells);
        self.holders = empty(holders(cells));
        self.cells = empty(cells);
        self.traffic.get_mut().fill(Traffic::default());
        self.counters.get_mut().fill(Counters::default());
        self.latencies.iter().for_each(SharedHistogram::clear);
        self.verified.get_mut().fill([0; NETWORK_BUCKETS]);
        self.begun.get_mut().fill([0; NETWORK_BUCKETS]);
        self.servfails.get_mut().fill([0; NETWORK_BUCKETS]);
        self.uplinks = empty(UPLINKS);
        for head in &mut self.heads {
            *head = CohortHead::new(head.deadline_ns.load());
        }
        self.cohorts.fill_with(Cohorts::new);
        *self.skips.get_mut() = [0; Skip::COUNT];
        self.wakes.set(0);
    }

    /// Sets the clock.
    pub fn set_now(&self, now_ns: u64) {
        self.now_ns.set(now_ns);
    }

    /// Sets the interface of the frames that follow: one of the first few.
    pub fn set_interface(&self, interface: u32) {
        self.interface.set(interface);
    }

    /// Measures a frame on its way in.
    pub fn ingress(&self, frame: &[u8]) {
        self.count_skip(ingress(self, frame));
    }

    /// Measures a frame on its way out.
    pub fn egress(&self, frame: &[u8]) {
        self.count_skip(egress(self, frame));
    }

    fn count_skip(&self, measured: Result<Measured, Skip>) {
        if let Err(reason) = measured {
            self.skips.borrow_mut()[reason as usize] += 1;
        }
    }

    /// What every packet of a service adds to.
    pub fn traffic(&self, service: usize) -> Traffic {
        self.traffic.borrow()[service]
    }

    /// A service's counters.
    pub fn counters(&self, service: usize) -> Counters {
        self.counters.borrow()[service]
    }

    /// A service's latencies of a kind of trial.
    pub fn latency(&self, service: usize, kind: Kind) -> Histogram {
        self.latencies[service * RINGS_PER_BLOCK + kind.slot()].read()
    }

    /// A service's verified handshakes by network bucket.
    pub fn verified(&self, service: usize) -> Buckets {
        self.verified.borrow()[service]
    }

    /// A service's trials that began, by network bucket.
    pub fn begun(&self, service: usize, begun: Begun) -> Buckets {
        self.begun.borrow()[service * Begun::COUNT + begun as usize]
    }

    /// What became of connections by this interface.
    pub fn uplink_of(&self, interface: u32) -> &Uplink {
        &self.uplinks[interface as usize % UPLINKS as usize]
    }

    /// A service's SERVFAIL responses by name bucket.
    pub fn servfails(&self, service: usize) -> Buckets {
        self.servfails.borrow()[service]
    }

    /// A service's cohort ring of a kind of trial.
    pub fn cohorts(&self, service: usize, kind: Kind) -> CohortRing<'_> {
        let id = u32::try_from(service).unwrap_or(u32::MAX);
        let index = ring_index(id, self.options[service], kind) as usize;
        CohortRing {
            head: &self.heads[index],
            cohorts: &self.cohorts[index],
        }
    }

    /// Frames that were not measured, by reason.
    pub fn skips(&self) -> [u64; Skip::COUNT] {
        *self.skips.borrow()
    }

    /// How often user space would have been woken.
    pub fn wakes(&self) -> u64 {
        self.wakes.get()
    }
}

/// As the kernel makes them: all zero.
fn empty<T: Default>(count: u32) -> Vec<T> {
    (0..count).map(|_| T::default()).collect()
}

/// Cells of so many services.
fn cells(services: usize, each: u32) -> u32 {
    u32::try_from(services).unwrap_or(u32::MAX) * each
}

impl Atomics for HostTables {
    fn add(cell: &Shared<u32>, value: u32) {
        // SAFETY: the pointer is that of a live, aligned word.
        let cell = unsafe { AtomicU32::from_ptr(cell.as_ptr()) };
        cell.fetch_add(value, Ordering::Relaxed);
    }

    fn add_wide(cell: &Shared<u64>, value: u64) {
        // SAFETY: the pointer is that of a live, aligned word.
        let cell = unsafe { AtomicU64::from_ptr(cell.as_ptr()) };
        cell.fetch_add(value, Ordering::Relaxed);
    }

    fn compare_exchange_wide(cell: &Shared<u64>, expected: u64, new: u64) -> bool {
        // SAFETY: the pointer is that of a live, aligned word.
        let cell = unsafe { AtomicU64::from_ptr(cell.as_ptr()) };
        cell.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    fn compare_exchange(cell: &Shared<u32>, expected: u32, new: u32) -> bool {
        // SAFETY: the pointer is that of a live, aligned word.
        let cell = unsafe { AtomicU32::from_ptr(cell.as_ptr()) };
        cell.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

impl Tables for HostTables {
    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    fn coarse_now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    fn checksum_rule(&self) -> ChecksumRule {
        self.checksum_rule
    }

    fn tunnels(&self, _state: &State) -> Tunnels {
        self.tunnels
    }

    fn state(&self) -> Option<&State> {
        Some(&self.state)
    }

    fn count_traffic(&self, service: u32, change: impl FnOnce(&mut Traffic)) -> Option<()> {
        self.traffic
            .borrow_mut()
            .get_mut(service as usize)
            .map(change)
    }

    fn count(&self, service: u32, change: impl FnOnce(&mut Counters)) -> Option<()> {
        self.counters
            .borrow_mut()
            .get_mut(service as usize)
            .map(change)
    }

    fn latencies(&self, index: u32) -> Option<&SharedHistogram> {
        self.latencies.get(index as usize)
    }

    fn add_verified(&self, service: u32, network_bucket: usize) {
        if let Some(networks) = self.verified.borrow_mut().get_mut(service as usize) {
            networks[network_bucket] += 1;
        }
    }

    fn add_begun(&self, service: u32, begun: Begun, network_bucket: usize) {
        let index = begun.index(service) as usize;
        if let Some(networks) = self.begun.borrow_mut().get_mut(index) {
            networks[network_bucket] += 1;
        }
    }

    fn add_servfail(&self, service: u32, name_bucket: usize) {
        if let Some(names) = self.servfails.borrow_mut().get_mut(service as usize) {
            names[name_bucket] += 1;
        }
    }

    fn segments(&self) -> u32 {
        1
    }

    fn interface(&self) -> u32 {
        self.interface.get()
    }

    fn uplink(&self, interface: u32) -> Option<&Uplink> {
        Some(self.uplink_of(interface))
    }

    fn connections(&self, hash: u64) -> Option<&Set> {
        self.connections
            .get(set_index(hash, self.sizes.connection_sets) as usize)
    }

    fn exchanges(&self, hash: u64) -> Option<&Set> {
        self.exchanges
            .get(set_index(hash, self.sizes.exchange_sets) as usize)
    }

    fn holder(&self, service: u32, hash: u64) -> Option<&Holder> {
        let cell = cell_index(service, hash, self.sizes.cells);
        let holders = self.holders.get(holders_index(cell) as usize)?;
        Some(holders.of(cell))
    }

    fn cell(&self, service: u32, hash: u64) -> Option<&Cell> {
        self.cells
            .get(cell_index(service, hash, self.sizes.cells) as usize)
    }

    fn ring(&self, index: u32) -> Option<CohortRing<'_>> {
        let index = index as usize;
        Some(CohortRing {
            head: self.heads.get(index)?,
            cohorts: self.cohorts.get(index)?,
        })
    }

    fn wake(&self) {
        self.wakes.set(self.wakes.get() + 1);
    }

    fn trace(&self, _event: &Event) {}
}
