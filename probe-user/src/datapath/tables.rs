//! The maps that user space reads and writes, mapped into its memory.

use aya::Ebpf;
use probe_common::{
    address::NETWORK_BUCKETS,
    cell::Shared,
    counters::SharedCounters,
    gate::Gate,
    latency::SharedHistogram,
    service::ServiceTable,
    skip::SharedSkips,
    trial::{CohortRing, RINGS_PER_BLOCK},
};

use super::{
    Error,
    mapped::{Mapped, One},
    object::{map_error, map_fd},
    sizes::Layout,
};

/// Interfaces are told apart by the lower bits of their index.
pub const INTERFACES: usize = 1024;

/// Counts by hash bucket.
pub type Buckets = [Shared<u32>; NETWORK_BUCKETS];

/// The mapped maps.
pub struct Tables {
    pub layout: Layout,
    pub services: One<ServiceTable>,
    pub gate: One<Gate>,
    pub rings: Mapped<CohortRing>,
    pub latencies: Mapped<SharedHistogram>,
    pub verified: Mapped<Buckets>,
    pub servfails: Mapped<Buckets>,
    pub counters: Mapped<SharedCounters>,
    pub skips: Mapped<SharedSkips>,
    pub tunnels: One<[Shared<u32>; INTERFACES]>,
    pub clock: One<Shared<u64>>,
    pub bell_armed: One<Shared<u64>>,
}

impl Tables {
    /// Maps the maps of an object that was loaded with this layout.
    pub fn map(ebpf: &Ebpf, layout: &Layout) -> Result<Self, Error> {
        let capacity = layout.capacity as usize;
        let cpus = layout.cpus as usize;
        Ok(Self {
            layout: *layout,
            services: one(ebpf, "SERVICES")?,
            gate: one(ebpf, "GATE")?,
            rings: many(ebpf, "RINGS", capacity * 2 * RINGS_PER_BLOCK)?,
            latencies: many(ebpf, "LATENCIES", capacity * RINGS_PER_BLOCK)?,
            verified: many(ebpf, "VERIFIED", capacity)?,
            servfails: many(ebpf, "SERVFAILS", capacity)?,
            counters: many(ebpf, "COUNTERS", capacity * cpus)?,
            skips: many(ebpf, "SKIPS", cpus)?,
            tunnels: one(ebpf, "TUNNELS")?,
            clock: one(ebpf, "CLOCK")?,
            bell_armed: one(ebpf, "BELL_ARMED")?,
        })
    }
}

impl Tables {
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

fn one<T>(ebpf: &Ebpf, name: &'static str) -> Result<One<T>, Error> {
    many(ebpf, name, 1).map(One::new)
}
