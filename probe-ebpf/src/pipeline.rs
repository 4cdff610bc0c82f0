//! Joins a frame, the maps and the measurement of `probe_common`.

use probe_common::{
    cell::{Atomics, Shared},
    cohort::CohortRing,
    counters::{Counters, Traffic},
    flow::Set,
    latency::SharedHistogram,
    measure::{self, Direction, Event, Tables},
    parse::tunnel::Tunnels,
    sample::{Cell, Holder},
    state::State,
    syn::ChecksumRule,
    trial::Begun,
    uplink::Uplink,
};

use crate::{atomics, bell, clock, counters, flows, packet::Frame, state, trace, trials, uplinks};

/// The maps of this object, for one packet.
pub struct Maps<I, S> {
    /// Tells the interface's index, which is asked only where there may be tunnels, and
    /// where a connection is answered.
    pub interface: I,
    /// Tells how many packets the buffer is, when they are counted.
    pub segments: S,
}

impl<I, S> Atomics for Maps<I, S> {
    #[inline(always)]
    fn add(cell: &Shared<u32>, value: u32) {
        atomics::add(cell, value);
    }

    #[inline(always)]
    fn add_wide(cell: &Shared<u64>, value: u64) {
        atomics::add_wide(cell, value);
    }

    #[inline(always)]
    fn compare_exchange(cell: &Shared<u32>, expected: u32, new: u32) -> bool {
        atomics::compare_exchange(cell, expected, new)
    }

    #[inline(always)]
    fn compare_exchange_wide(cell: &Shared<u64>, expected: u64, new: u64) -> bool {
        atomics::compare_exchange_wide(cell, expected, new)
    }
}

impl<I: Fn() -> u32, S: Fn() -> u32> Tables for Maps<I, S> {
    #[inline(always)]
    fn now_ns(&self) -> u64 {
        clock::now_ns()
    }

    #[inline(always)]
    fn coarse_now_ns(&self) -> u64 {
        clock::coarse_now_ns()
    }

    #[inline(always)]
    fn checksum_rule(&self) -> ChecksumRule {
        state::checksum_rule()
    }

    #[inline(always)]
    fn tunnels(&self, state: &State) -> Tunnels {
        state::tunnels(state, &self.interface)
    }

    #[inline(always)]
    fn state(&self) -> Option<&State> {
        state::state()
    }

    #[inline(always)]
    fn count_traffic(&self, service: u32, change: impl FnOnce(&mut Traffic)) -> Option<()> {
        counters::count_traffic(service, change)
    }

    #[inline(always)]
    fn count(&self, service: u32, change: impl FnOnce(&mut Counters)) -> Option<()> {
        counters::count(service, change)
    }

    #[inline(always)]
    fn latencies(&self, index: u32) -> Option<&SharedHistogram> {
        trials::latencies(index)
    }

    #[inline(always)]
    fn add_verified(&self, service: u32, network_bucket: usize) {
        trials::add_verified(service, network_bucket);
    }

    #[inline(always)]
    fn add_begun(&self, service: u32, begun: Begun, network_bucket: usize) {
        trials::add_begun(service, begun, network_bucket);
    }

    #[inline(always)]
    fn add_servfail(&self, service: u32, name_bucket: usize) {
        trials::add_servfail(service, name_bucket);
    }

    #[inline(always)]
    fn segments(&self) -> u32 {
        (self.segments)()
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        (self.interface)()
    }

    #[inline(always)]
    fn uplink(&self, interface: u32) -> Option<&Uplink> {
        uplinks::uplink(interface)
    }

    #[inline(always)]
    fn connections(&self, hash: u64) -> Option<&Set> {
        flows::connections(hash)
    }

    #[inline(always)]
    fn exchanges(&self, hash: u64) -> Option<&Set> {
        flows::exchanges(hash)
    }

    #[inline(always)]
    fn holder(&self, service: u32, hash: u64) -> Option<&Holder> {
        flows::holder(service, hash)
    }

    #[inline(always)]
    fn cell(&self, service: u32, hash: u64) -> Option<&Cell> {
        flows::cell(service, hash)
    }

    #[inline(always)]
    fn ring(&self, index: u32) -> Option<CohortRing<'_>> {
        trials::ring(index)
    }

    #[inline(always)]
    fn wake(&self) {
        bell::wake();
    }

    #[inline(always)]
    fn trace(&self, event: &Event) {
        trace::log(event);
    }
}

/// Measures a packet as it lies, if it is like nearly all; whether it was.
#[inline(always)]
pub fn plain(tables: &impl Tables, frame: &Frame<'_>, direction: Direction) -> bool {
    measure::plain(tables, frame, direction).is_some()
}

/// Measures a packet on its way in that was not [`plain`].
#[inline(always)]
pub fn ingress(tables: &impl Tables, frame: &Frame<'_>) {
    if let Err(reason) = measure::ingress_of_any(tables, frame) {
        counters::skip(reason);
    }
}

/// Measures a packet on its way out that was not [`plain`].
#[inline(always)]
pub fn egress(tables: &impl Tables, frame: &Frame<'_>) {
    if let Err(reason) = measure::egress_of_any(tables, frame) {
        counters::skip(reason);
    }
}
