//! The loaded object: its programs, and its maps filled with the services.

use std::{
    fs,
    io::{self, Read as _},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{Map, MapInfo},
    programs::{SchedClassifier, Xdp},
};
use probe_common::{
    cell::Shared,
    service::{MAX_SERVICES, NETWORK_BUCKETS, Service, ServiceTable, place},
    trial::{CohortRing, width_shift},
};

use super::{
    Error, ServiceSpec,
    mapped::Mapped,
    pins::Pins,
    slots::{Slot, assign, key},
};

/// The object that was embedded at build time; empty without one.
pub static EMBEDDED: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lapwing-ebpf.o"));

/// The maps that outlive the daemon.
const PINNED: [&str; 8] = [
    "SERVICES",
    "HANDSHAKES",
    "GATE",
    "RINGS",
    "VERIFIED",
    "COUNTERS",
    "CONNECT_LATENCY",
    "SKIPS",
];

/// Fewest services that the maps are made for, so that adding some keeps the maps.
const MIN_CAPACITY: u32 = 64;

/// aya-log's level of the traces.
const LOG_DEBUG: u8 = 4;

/// How to load.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadFlags {
    /// Trace control segments.
    pub trace: bool,
    /// Take the time from the map `CLOCK` instead of the kernel.
    pub replay: bool,
    /// Accept SYNs with a checksum that is still to be completed.
    pub partial_checksums: bool,
}

/// The loaded object.
pub struct Object {
    pub(super) ebpf: Ebpf,
    pub(super) rings: Mapped<CohortRing>,
    pub(super) verified: Mapped<[Shared<u32>; NETWORK_BUCKETS]>,
    /// Kernel slot and ring by service id.
    pub(super) places: Vec<Place>,
}

/// Where the kernel keeps a service's numbers.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Index of its counters.
    pub id: u32,
    /// Index of its cohort ring.
    pub ring: u32,
}

impl Object {
    /// Loads `object`, adopts or creates its maps, and publishes the services.
    ///
    /// # Errors
    /// When the kernel refuses something, or a map cannot be used.
    pub fn load(
        object: &[u8],
        services: &[ServiceSpec],
        flags: LoadFlags,
        pins: Option<&Pins>,
    ) -> Result<Self, Error> {
        if object.is_empty() {
            return Err(Error::NoObject);
        }
        if services.len() > MAX_SERVICES {
            return Err(Error::TooManyServices {
                count: services.len(),
                limit: MAX_SERVICES,
            });
        }
        let wanted = u32::try_from(services.len())
            .unwrap_or(u32::MAX)
            .next_power_of_two()
            .max(MIN_CAPACITY);
        let capacity = pins.map_or(wanted, |pins| adoptable_capacity(pins, wanted));
        let mut ebpf = load(object, capacity, flags, pins)?;
        let rings = Mapped::new(map_fd(&ebpf, "RINGS")?, capacity as usize * 2)
            .map_err(|error| map_error("RINGS", &error))?;
        let verified = Mapped::new(map_fd(&ebpf, "VERIFIED")?, capacity as usize)
            .map_err(|error| map_error("VERIFIED", &error))?;
        let mut table: Mapped<ServiceTable> = Mapped::new(map_fd(&ebpf, "SERVICES")?, 1)
            .map_err(|error| map_error("SERVICES", &error))?;
        let places = publish(&mut table, &rings, services)?;
        for (place, fresh) in &places {
            if *fresh {
                super::read::zero(&mut ebpf, *place)?;
            }
        }
        Ok(Self {
            ebpf,
            rings,
            verified,
            places: places.into_iter().map(|(place, _)| place).collect(),
        })
    }

    /// The XDP program.
    ///
    /// # Errors
    /// When the object has no such program.
    pub fn xdp(&mut self) -> Result<&mut Xdp, Error> {
        const NAME: &str = "lapwing_xdp";
        self.ebpf
            .program_mut(NAME)
            .ok_or_else(|| map_missing(NAME))?
            .try_into()
            .map_err(|source| program_error(NAME, source))
    }

    /// The tc program for ingress.
    ///
    /// # Errors
    /// When the object has no such program.
    pub fn tc_ingress(&mut self) -> Result<&mut SchedClassifier, Error> {
        self.classifier("lapwing_ingress")
    }

    /// The tc program for egress.
    ///
    /// # Errors
    /// When the object has no such program.
    pub fn tc_egress(&mut self) -> Result<&mut SchedClassifier, Error> {
        self.classifier("lapwing_egress")
    }

    fn classifier(&mut self, name: &'static str) -> Result<&mut SchedClassifier, Error> {
        self.ebpf
            .program_mut(name)
            .ok_or_else(|| map_missing(name))?
            .try_into()
            .map_err(|source| program_error(name, source))
    }

    /// The clock of an object that was loaded for replay, in nanoseconds.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn clock(&self) -> Result<Mapped<Shared<u64>>, Error> {
        const NAME: &str = "CLOCK";
        Mapped::new(map_fd(&self.ebpf, NAME)?, 1).map_err(|error| map_error(NAME, &error))
    }

    /// The cohort ring of a service.
    pub fn ring(&self, service: usize) -> Option<&CohortRing> {
        self.rings.get(self.places.get(service)?.ring as usize)
    }

    /// Verified handshakes of a service, of all networks.
    pub fn verified(&self, service: usize) -> Option<u64> {
        let networks = self.verified.get(self.places.get(service)?.id as usize)?;
        Some(networks.iter().map(|count| u64::from(count.load())).sum())
    }
}

fn load(
    object: &[u8],
    capacity: u32,
    flags: LoadFlags,
    pins: Option<&Pins>,
) -> Result<Ebpf, Error> {
    let mut loader = EbpfLoader::new();
    let replay = u8::from(flags.replay);
    let partial_checksums = u8::from(flags.partial_checksums);
    let log_level = if flags.trace { LOG_DEBUG } else { 0 };
    loader
        .verifier_log_level(VerifierLogLevel::STATS)
        .override_global("REPLAY", &replay, true)
        .override_global("PARTIAL_CHECKSUMS", &partial_checksums, true)
        .override_global("AYA_LOG_LEVEL", &log_level, true)
        .map_max_entries("COUNTERS", capacity)
        .map_max_entries("CONNECT_LATENCY", capacity)
        .map_max_entries("VERIFIED", capacity)
        .map_max_entries("RINGS", capacity * 2);
    if let Some(pins) = pins {
        for name in PINNED {
            loader.map_pin_path(name, pins.maps().join(name));
        }
    }
    loader.load(object).map_err(|source| Error::Load {
        source: Box::new(source),
    })
}

/// How many services the pinned maps have room for. If they are too small they are
/// removed, and counting starts anew: the programs that still run keep the old ones
/// until they are replaced.
fn adoptable_capacity(pins: &Pins, wanted: u32) -> u32 {
    let entries = |name: &str| {
        MapInfo::from_pin(pins.maps().join(name))
            .ok()
            .map(|info| info.max_entries())
    };
    let pinned = (
        entries("COUNTERS"),
        entries("CONNECT_LATENCY"),
        entries("VERIFIED"),
        entries("RINGS"),
    );
    match pinned {
        (Some(capacity), Some(latency), Some(verified), Some(rings))
            if capacity >= wanted
                && latency == capacity
                && verified == capacity
                && rings == capacity * 2 =>
        {
            capacity
        }
        (None, None, None, None) => wanted,
        _ => {
            tracing::warn!("the pinned maps do not fit and are replaced; counters start at zero");
            remove_maps(&pins.maps());
            wanted
        }
    }
}

fn remove_maps(directory: &Path) {
    for name in PINNED {
        let path = directory.join(name);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a pinned map");
        }
    }
}

/// Writes the services into the unused copy of the table and switches to it.
fn publish(
    table: &mut Mapped<ServiceTable>,
    rings: &Mapped<CohortRing>,
    services: &[ServiceSpec],
) -> Result<Vec<(Place, bool)>, Error> {
    let table = table.get_mut(0).ok_or_else(|| map_missing("SERVICES"))?;
    if table.flow_seed.load() == 0 {
        table.flow_seed.store(random_word()?);
    }
    let active = (table.active.load() & 1) as usize;
    let present: Vec<Service> = table.copies[active]
        .iter()
        .filter(|service| service.port_protocol != 0)
        .copied()
        .collect();
    let endpoints: Vec<_> = services.iter().map(|service| service.endpoint).collect();
    let slots = assign(&present, &endpoints);
    let mut places = Vec::with_capacity(services.len());
    let mut entries = Vec::with_capacity(services.len());
    for (spec, slot) in services.iter().zip(&slots) {
        let ring = set_up_ring(rings, slot, spec.deadline)?;
        let (address, port_protocol) = key(&spec.endpoint);
        entries.push(Service {
            address,
            port_protocol,
            id: slot.id,
            ring,
            reserved: 0,
        });
        places.push((Place { id: slot.id, ring }, slot.fresh));
    }
    let unused = 1 - active;
    let mut seed = random_word()?;
    // About every fourth seed does, even with the most services.
    while place(&mut table.copies[unused], seed, entries.iter().copied()).is_err() {
        seed = seed.wrapping_add(1);
    }
    table.seeds[unused] = seed;
    table
        .active
        .store(u32::try_from(unused).unwrap_or_default());
    Ok(places)
}

/// The ring for a service with this deadline: the one it had if the deadline is
/// still the same, else its other one.
fn set_up_ring(rings: &Mapped<CohortRing>, slot: &Slot, deadline: Duration) -> Result<u32, Error> {
    let deadline_ns = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
    let ring_at = |index: u32| {
        rings
            .get(index as usize)
            .ok_or_else(|| map_missing("RINGS"))
    };
    if let Some(index) = slot.ring
        && ring_at(index)?.deadline_ns.load() == deadline_ns
    {
        return Ok(index);
    }
    let index = slot.ring.map_or(slot.id * 2, |index| index ^ 1);
    let ring = ring_at(index)?;
    ring.width_shift.store(width_shift(deadline_ns));
    ring.deadline_ns.store(deadline_ns);
    Ok(index)
}

/// Eight bytes that nobody can guess, never all zero.
fn random_word() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| map_error("SERVICES", &error))?;
    Ok(u64::from_ne_bytes(bytes) | 1)
}

/// The descriptor of an array map.
pub(super) fn map_fd<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<BorrowedFd<'a>, Error> {
    match ebpf.map(name) {
        Some(Map::Array(data)) => Ok(data.fd().as_fd()),
        Some(_) => Err(Error::Map {
            map: name,
            why: "it is of another kind".to_owned(),
        }),
        None => Err(map_missing(name)),
    }
}

pub(super) fn map_error(map: &'static str, error: &dyn std::error::Error) -> Error {
    Error::Map {
        map,
        why: error.to_string(),
    }
}

pub(super) fn map_missing(name: &'static str) -> Error {
    Error::Map {
        map: name,
        why: "the object does not have it".to_owned(),
    }
}

pub(super) fn program_error(program: &'static str, source: aya::programs::ProgramError) -> Error {
    Error::Program {
        program,
        source: Box::new(source),
    }
}
