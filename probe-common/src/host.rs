//! The tables in plain memory, for tests and tools on the host: the same
//! measurement as in the kernel, on one CPU, with a clock that is set by hand.

extern crate std;

use core::{
    cell::{Cell, RefCell},
    sync::atomic::{AtomicU32, Ordering},
};
use std::{boxed::Box, vec::Vec};

use crate::{
    cell::{Atomics, Shared},
    counters::Counters,
    gate::Gate,
    handshake::{HandshakeSet, SETS},
    latency::{Histogram, bucket},
    measure::{Direction, Measured, Tables, egress, ingress},
    parse::Segment,
    service::{NETWORK_BUCKETS, Service, ServiceTable, place},
    skip::Skip,
    syn::ChecksumRule,
    trial::{BUCKETS, CohortBucket, CohortRing, width_shift},
};

/// Everything a hook needs, in memory.
pub struct HostTables {
    now_ns: Cell<u64>,
    services: Box<ServiceTable>,
    gate: Box<Gate>,
    handshakes: Vec<HandshakeSet>,
    counters: RefCell<Vec<Counters>>,
    latency: RefCell<Vec<Histogram>>,
    verified: RefCell<Vec<[u32; NETWORK_BUCKETS]>>,
    rings: Vec<CohortRing>,
    skips: RefCell<[u64; Skip::COUNT]>,
}

impl HostTables {
    /// Tables for these services; each uses the ring with the index of its id.
    /// No more than [`MAX_SERVICES`](crate::service::MAX_SERVICES) of them.
    pub fn new(services: &[Service], deadline_ns: u64) -> Self {
        // SAFETY: the table and the gate are made of integers, for which zero is a
        // value; it also is the empty table and the unused gate.
        let (mut table, gate) = unsafe {
            (
                Box::<ServiceTable>::new_zeroed().assume_init(),
                Box::<Gate>::new_zeroed().assume_init(),
            )
        };
        table.flow_seed.store(1);
        while place(
            &mut table.copies[0],
            table.seeds[0],
            services.iter().copied(),
        )
        .is_err()
        {
            table.seeds[0] += 1;
        }
        Self {
            now_ns: Cell::new(0),
            services: table,
            gate,
            handshakes: (0..SETS).map(|_| HandshakeSet::default()).collect(),
            counters: RefCell::new(services.iter().map(|_| Counters::default()).collect()),
            latency: RefCell::new(services.iter().map(|_| Histogram::default()).collect()),
            verified: RefCell::new(services.iter().map(|_| [0; NETWORK_BUCKETS]).collect()),
            rings: services
                .iter()
                .map(|_| CohortRing {
                    deadline_ns: Shared::new(deadline_ns),
                    width_shift: Shared::new(width_shift(deadline_ns)),
                    after_deadline: Shared::new(0),
                    buckets: [const { CohortBucket::new() }; BUCKETS],
                })
                .collect(),
            skips: RefCell::new([0; Skip::COUNT]),
        }
    }

    /// Sets the clock.
    pub fn set_now(&self, now_ns: u64) {
        self.now_ns.set(now_ns);
    }

    /// Measures a frame on its way in.
    pub fn ingress(&self, frame: &[u8]) {
        self.count_skip(ingress(self, frame, 1));
    }

    /// Measures a frame on its way out.
    pub fn egress(&self, frame: &[u8]) {
        self.count_skip(egress(self, frame, 1));
    }

    fn count_skip(&self, measured: Result<Measured, Skip>) {
        if let Err(reason) = measured {
            self.skips.borrow_mut()[reason as usize] += 1;
        }
    }

    /// A service's counters.
    pub fn counters(&self, service: usize) -> Counters {
        self.counters.borrow()[service]
    }

    /// A service's latencies from SYN to SYN-ACK.
    pub fn latency(&self, service: usize) -> Histogram {
        self.latency.borrow()[service]
    }

    /// A service's verified handshakes by network bucket.
    pub fn verified(&self, service: usize) -> [u32; NETWORK_BUCKETS] {
        self.verified.borrow()[service]
    }

    /// A service's cohort ring.
    pub fn cohorts(&self, service: usize) -> &CohortRing {
        &self.rings[service]
    }

    /// Frames that were not measured, by reason.
    pub fn skips(&self) -> [u64; Skip::COUNT] {
        *self.skips.borrow()
    }
}

impl Atomics for HostTables {
    fn add(cell: &Shared<u32>, value: u32) {
        // SAFETY: the pointer is that of a live, aligned word.
        let cell = unsafe { AtomicU32::from_ptr(cell.as_ptr()) };
        cell.fetch_add(value, Ordering::Relaxed);
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

    fn checksum_rule(&self) -> ChecksumRule {
        ChecksumRule::Full
    }

    fn services(&self) -> Option<&ServiceTable> {
        Some(&self.services)
    }

    fn count(&self, service: u32, change: impl FnOnce(&mut Counters)) -> Option<()> {
        self.counters
            .borrow_mut()
            .get_mut(service as usize)
            .map(change)
    }

    fn add_latency(&self, service: u32, latency_ns: u64) {
        if let Some(histogram) = self.latency.borrow_mut().get_mut(service as usize) {
            histogram.sum_ns += latency_ns;
            histogram.buckets[bucket(latency_ns)] += 1;
        }
    }

    fn add_verified(&self, service: u32, network_bucket: usize) {
        if let Some(networks) = self.verified.borrow_mut().get_mut(service as usize) {
            networks[network_bucket] += 1;
        }
    }

    fn gate(&self) -> Option<&Gate> {
        Some(&self.gate)
    }

    fn handshakes(&self, index: u32) -> Option<&HandshakeSet> {
        self.handshakes.get(index as usize)
    }

    fn ring(&self, index: u32) -> Option<&CohortRing> {
        self.rings.get(index as usize)
    }

    fn trace(&self, _direction: Direction, _segment: &Segment) {}
}
