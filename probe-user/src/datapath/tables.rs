//! The maps that user space reads and writes, mapped into its memory.

use aya::Ebpf;
use probe_common::{
    address::NETWORK_BUCKETS,
    cell::Shared,
    counters::SharedCounters,
    latency::SharedHistogram,
    skip::SharedSkips,
    state::State,
    trial::{Begun, CohortRing, RINGS_PER_BLOCK},
    uplink::{INTERFACES, Uplink},
};

use super::{
    Error,
    mapped::{Mapped, One},
    object::{map_error, map_fd},
    sizes::Layout,
};

/// Counts by hash bucket.
pub type Buckets = [Shared<u32>; NETWORK_BUCKETS];

/// The mapped maps.
pub struct Tables {
    pub layout: Layout,
    pub state: One<State>,
    pub rings: Mapped<CohortRing>,
    pub latencies: Mapped<SharedHistogram>,
    pub verified: Mapped<Buckets>,
    pub begun: Mapped<Buckets>,
    pub servfails: Mapped<Buckets>,
    pub uplinks: Mapped<Uplink>,
    pub counters: Mapped<SharedCounters>,
    pub skips: Mapped<SharedSkips>,
}

impl Tables {
    /// Maps the maps of an object that was loaded with this layout.
    pub fn map(ebpf: &Ebpf, layout: &Layout) -> Result<Self, Error> {
        let capacity = layout.capacity as usize;
        let cpus = layout.cpus as usize;
        Ok(Self {
            layout: *layout,
            state: many(ebpf, "STATE", 1).map(One::new)?,
            rings: many(ebpf, "RINGS", capacity * 2 * RINGS_PER_BLOCK)?,
            latencies: many(ebpf, "LATENCIES", capacity * RINGS_PER_BLOCK)?,
            verified: many(ebpf, "VERIFIED", capacity)?,
            begun: many(ebpf, "BEGUN", capacity * Begun::COUNT)?,
            servfails: many(ebpf, "SERVFAILS", capacity)?,
            uplinks: many(ebpf, "UPLINKS", INTERFACES)?,
            counters: many(ebpf, "COUNTERS", capacity * cpus)?,
            skips: many(ebpf, "SKIPS", cpus)?,
        })
    }

    /// Zeroes what somebody else may have counted in a service's place.
    pub fn forget(&self, id: u32) {
        for cpu in 0..self.layout.cpus {
            let index = (cpu * self.layout.capacity + id) as usize;
            if let Some(counters) = self.counters.get(index) {
                counters.clear();
            }
        }
        let first = id as usize * RINGS_PER_BLOCK;
        for index in first..first + RINGS_PER_BLOCK {
            if let Some(latencies) = self.latencies.get(index) {
                latencies.clear();
            }
        }
    }
}

fn many<T>(ebpf: &Ebpf, name: &'static str, length: usize) -> Result<Mapped<T>, Error> {
    Mapped::new(map_fd(ebpf, name)?, length).map_err(|error| map_error(name, &error))
}
