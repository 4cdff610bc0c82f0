//! Joins a frame, the maps and the measurement of `probe_common`.

use probe_common::{
    cell::{Atomics, Shared},
    counters::Counters,
    gate::Gate,
    handshake::HandshakeSet,
    measure::{self, Direction, Tables},
    parse::Segment,
    service::ServiceTable,
    syn::ChecksumRule,
    trial::CohortRing,
};

use crate::{atomics, clock, cohorts, counters, gate, handshakes, packet::Frame, services, trace};

/// The maps of this object.
struct Maps;

impl Atomics for Maps {
    #[inline(always)]
    fn add(cell: &Shared<u32>, value: u32) {
        atomics::add(cell, value);
    }

    #[inline(always)]
    fn compare_exchange(cell: &Shared<u32>, expected: u32, new: u32) -> bool {
        atomics::compare_exchange(cell, expected, new)
    }
}

impl Tables for Maps {
    #[inline(always)]
    fn now_ns(&self) -> u64 {
        clock::now_ns()
    }

    #[inline(always)]
    fn checksum_rule(&self) -> ChecksumRule {
        services::checksum_rule()
    }

    #[inline(always)]
    fn services(&self) -> Option<&ServiceTable> {
        services::table()
    }

    #[inline(always)]
    fn count(&self, service: u32, change: impl FnOnce(&mut Counters)) -> Option<()> {
        counters::count(service, change)
    }

    #[inline(always)]
    fn add_latency(&self, service: u32, latency_ns: u64) {
        counters::add_latency(service, latency_ns);
    }

    #[inline(always)]
    fn add_verified(&self, service: u32, network_bucket: usize) {
        cohorts::add_verified(service, network_bucket);
    }

    #[inline(always)]
    fn gate(&self) -> Option<&Gate> {
        gate::gate()
    }

    #[inline(always)]
    fn handshakes(&self, index: u32) -> Option<&HandshakeSet> {
        handshakes::set(index)
    }

    #[inline(always)]
    fn ring(&self, index: u32) -> Option<&CohortRing> {
        cohorts::ring(index)
    }

    #[inline(always)]
    fn trace(&self, direction: Direction, segment: &Segment) {
        trace::log(direction, segment);
    }
}

/// Measures a packet on its way in.
#[inline(always)]
pub fn ingress(data: usize, end: usize, segments: u32) {
    // SAFETY: the hooks pass their context's own packet pointers.
    let frame = unsafe { Frame::new(data, end) };
    if let Err(reason) = measure::ingress(&Maps, &frame, segments) {
        counters::skip(reason);
    }
}

/// Measures a packet on its way out.
#[inline(always)]
pub fn egress(data: usize, end: usize, segments: u32) {
    // SAFETY: the hooks pass their context's own packet pointers.
    let frame = unsafe { Frame::new(data, end) };
    if let Err(reason) = measure::egress(&Maps, &frame, segments) {
        counters::skip(reason);
    }
}
