//! How many entries the maps have: by configuration and number of services, or as
//! the pinned maps of an earlier start have them.

#![expect(
    clippy::cast_possible_truncation,
    reason = "entries of a set, rings of a block and the like are few"
)]

use std::{collections::HashMap, fs, io, path::Path};

use aya::maps::MapInfo;
use probe_common::{
    flow::{DEFAULT_HANDSHAKE_SETS, DEFAULT_QUERY_SETS, MAX_SETS, WAYS},
    sample::{DEFAULT_CELLS, MAX_CELLS, holders},
    trial::{Begun, RINGS_PER_BLOCK, RINGS_PER_SERVICE},
    uplink::INTERFACES,
};

use super::{Error, object::map_error};

/// The maps that outlive the daemon.
pub const PINNED: [&str; 15] = [
    "STATE",
    "HANDSHAKES",
    "QUERIES",
    "HOLDERS",
    "CELLS",
    "COHORT_HEADS",
    "COHORTS",
    "LATENCIES",
    "VERIFIED",
    "BEGUN",
    "SERVFAILS",
    "UPLINKS",
    "TRAFFIC",
    "COUNTERS",
    "SKIPS",
];

/// Fewest services that the maps are made for, so that adding some keeps the maps.
const MIN_CAPACITY: u32 = 64;
/// Sample cells of all services together: 8 MiB, so that they stay in a cache.
const MAX_TOTAL_CELLS: u32 = 1 << 17;

/// What the operator may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Connections that the handshake table has room for.
    pub connections: u32,
    /// UDP exchanges that their table has room for.
    pub exchanges: u32,
    /// Sample cells of a service.
    pub cells: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            connections: DEFAULT_HANDSHAKE_SETS * WAYS as u32,
            exchanges: DEFAULT_QUERY_SETS * WAYS as u32,
            cells: DEFAULT_CELLS,
        }
    }
}

impl Sizes {
    /// Sample cells of each of so many services.
    pub fn cells_per_service(&self, capacity: u32) -> u32 {
        self.cells
            .clamp(1, MAX_CELLS)
            .next_power_of_two()
            .min(MAX_TOTAL_CELLS / capacity.max(1))
    }
}

/// How many services the maps are made for.
pub fn capacity(services: usize) -> u32 {
    u32::try_from(services)
        .unwrap_or(u32::MAX)
        .next_power_of_two()
        .max(MIN_CAPACITY)
}

/// The maps' sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Services.
    pub capacity: u32,
    /// CPUs that the kernel may ever have.
    pub cpus: u32,
    /// Sets of the table of connections.
    pub handshake_sets: u32,
    /// Sets of the table of exchanges.
    pub query_sets: u32,
    /// Sample cells of a service.
    pub cells_per_service: u32,
}

impl Layout {
    /// The layout for a number of services. Sizes become powers of two.
    pub fn new(sizes: &Sizes, capacity: u32) -> Result<Self, Error> {
        let cpus = aya::util::nr_cpus()
            .map_err(|(_, error)| map_error("COUNTERS", &error))
            .map(|cpus| u32::try_from(cpus).unwrap_or(u32::MAX))?;
        let sets = |flows: u32| {
            flows
                .div_ceil(WAYS as u32)
                .clamp(1, MAX_SETS)
                .next_power_of_two()
        };
        Ok(Self {
            capacity,
            cpus,
            handshake_sets: sets(sizes.connections),
            query_sets: sets(sizes.exchanges),
            cells_per_service: sizes.cells_per_service(capacity),
        })
    }

    /// The entries of each map.
    pub fn entries(&self) -> [(&'static str, u32); 14] {
        let cells = self.capacity * self.cells_per_service;
        let rings = self.capacity * RINGS_PER_SERVICE as u32;
        [
            ("HANDSHAKES", self.handshake_sets),
            ("QUERIES", self.query_sets),
            ("HOLDERS", holders(cells)),
            ("CELLS", cells),
            ("COHORT_HEADS", rings),
            ("COHORTS", rings),
            ("LATENCIES", self.capacity * RINGS_PER_BLOCK as u32),
            ("VERIFIED", self.capacity),
            ("BEGUN", self.capacity * Begun::COUNT as u32),
            ("SERVFAILS", self.capacity),
            ("UPLINKS", INTERFACES as u32),
            ("TRAFFIC", self.capacity * self.cpus),
            ("COUNTERS", self.capacity * self.cpus),
            ("SKIPS", self.cpus),
        ]
    }

    /// The layout of the maps pinned in `directory`, if they have room for as much and
    /// otherwise are as wanted; else they are removed, and counting starts anew: the
    /// programs that still run keep the old ones until they are replaced.
    pub fn adopt(self, directory: &Path) -> Self {
        let pinned: HashMap<&str, u32> = PINNED
            .into_iter()
            .filter_map(|name| {
                let info = MapInfo::from_pin(directory.join(name)).ok()?;
                Some((name, info.max_entries()))
            })
            .collect();
        if pinned.is_empty() {
            return self;
        }
        let capacity = pinned.get("VERIFIED").copied().unwrap_or_default();
        let candidate = Self {
            capacity,
            cells_per_service: self
                .cells_per_service
                .min(MAX_TOTAL_CELLS / capacity.max(1)),
            ..self
        };
        let fits = capacity >= self.capacity
            && candidate
                .entries()
                .iter()
                .all(|(name, entries)| pinned.get(name) == Some(entries));
        if fits {
            return candidate;
        }
        tracing::warn!("the pinned maps do not fit and are replaced; counters start at zero");
        for name in PINNED {
            let path = directory.join(name);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "cannot remove a pinned map");
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_become_powers_of_two_and_stay_in_bounds() {
        let sizes = Sizes {
            connections: 100_000,
            exchanges: 0,
            cells: 1000,
        };
        let layout = Layout::new(&sizes, 64).unwrap();
        assert_eq!(layout.handshake_sets, 32_768);
        assert_eq!(layout.query_sets, 1);
        assert_eq!(layout.cells_per_service, 1024);
        let layout = Layout::new(&sizes, 4096).unwrap();
        assert_eq!(layout.cells_per_service, 32);
    }
}
