//! The maps that user space reads and writes, mapped into its memory.

use aya::Ebpf;
use probe_common::{
    address::NETWORK_BUCKETS,
    cell::Shared,
    cohort::{CohortHead, CohortRing, Cohorts},
    counters::{SharedCounters, SharedTraffic},
    latency::SharedHistogram,
    skip::SharedSkips,
    state::State,
    trial::{Begun, Kind, RINGS_PER_BLOCK, RINGS_PER_SERVICE, by_place, latencies_number},
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
    heads: Mapped<CohortHead>,
    cohorts: Mapped<Cohorts>,
    latencies: Mapped<SharedHistogram>,
    pub verified: Mapped<Buckets>,
    pub begun: Mapped<Buckets>,
    pub servfails: Mapped<Buckets>,
    pub uplinks: Mapped<Uplink>,
    pub traffic: Mapped<SharedTraffic>,
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
            heads: many(ebpf, "COHORT_HEADS", capacity * RINGS_PER_SERVICE)?,
            cohorts: many(ebpf, "COHORTS", capacity * RINGS_PER_SERVICE)?,
            latencies: many(ebpf, "LATENCIES", capacity * RINGS_PER_BLOCK)?,
            verified: many(ebpf, "VERIFIED", capacity)?,
            begun: many(ebpf, "BEGUN", capacity * Begun::COUNT)?,
            servfails: many(ebpf, "SERVFAILS", capacity)?,
            uplinks: many(ebpf, "UPLINKS", INTERFACES)?,
            traffic: many(ebpf, "TRAFFIC", capacity * cpus)?,
            counters: many(ebpf, "COUNTERS", capacity * cpus)?,
            skips: many(ebpf, "SKIPS", cpus)?,
        })
    }

    /// The cohort ring with this number (see
    /// [`ring_index`](probe_common::service::ring_index)).
    pub fn ring(&self, number: u32) -> Option<CohortRing<'_>> {
        Some(CohortRing {
            head: self.head(number)?,
            cohorts: self.cohorts.get(self.place_of_ring(number))?,
        })
    }

    /// Its head alone.
    pub fn head(&self, number: u32) -> Option<&CohortHead> {
        self.heads.get(self.place_of_ring(number))
    }

    fn place_of_ring(&self, number: u32) -> usize {
        by_place(number, RINGS_PER_SERVICE, self.layout.capacity) as usize
    }

    /// The latencies of a service's trials of a kind.
    pub fn latencies(&self, id: u32, kind: Kind) -> Option<&SharedHistogram> {
        self.latencies_at(id, kind.slot())
    }

    fn latencies_at(&self, id: u32, slot: usize) -> Option<&SharedHistogram> {
        let number = latencies_number(id, slot);
        let place = by_place(number, RINGS_PER_BLOCK, self.layout.capacity);
        self.latencies.get(place as usize)
    }

    /// Zeroes what somebody else may have counted in a service's place.
    pub fn forget(&self, id: u32) {
        for cpu in 0..self.layout.cpus {
            let index = (cpu * self.layout.capacity + id) as usize;
            if let Some(traffic) = self.traffic.get(index) {
                traffic.clear();
            }
            if let Some(counters) = self.counters.get(index) {
                counters.clear();
            }
        }
        for slot in 0..RINGS_PER_BLOCK {
            if let Some(latencies) = self.latencies_at(id, slot) {
                latencies.clear();
            }
        }
    }
}

fn many<T>(ebpf: &Ebpf, name: &'static str, length: usize) -> Result<Mapped<T>, Error> {
    Mapped::new(map_fd(ebpf, name)?, length).map_err(|error| map_error(name, &error))
}
