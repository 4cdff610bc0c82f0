//! The loaded object: its programs, and its maps filled with the services.

use std::{
    fs,
    io::Read as _,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    maps::Map,
    programs::{SchedClassifier, Xdp},
};
use probe_common::{
    parse::tunnel::Tunnels,
    service::{MAX_SERVICES, Options, Service},
};

use probe_core::{Timestamp, config::ServiceId};

use super::{
    Deadlines, Error, ServiceSpec, kernel,
    pins::Pins,
    publish::{Place, When, publish},
    sizes::{self, Sizes},
    slots::Resting,
    tables::Tables,
};

/// The object that was embedded at build time; empty without one.
pub static EMBEDDED: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lapwing-ebpf.o"));

/// aya-log's level of the traces.
const LOG_DEBUG: u8 = 4;

/// How to load.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadFlags {
    /// Trace control segments.
    pub trace: bool,
    /// Take the time from the map instead of the kernel, and make nothing depend on
    /// chance.
    pub replay: bool,
    /// Accept SYNs with a checksum that is still to be completed.
    pub partial_checksums: bool,
    /// What the tables have room for.
    pub sizes: Sizes,
    /// Deadlines of kinds of trials that have one of their own.
    pub deadlines: Deadlines,
    /// The tunnels that any interface carries; see [`Object::set_tunnels`].
    pub tunnels: Tunnels,
}

/// The loaded object.
pub struct Object {
    pub(super) ebpf: Ebpf,
    pub(super) tables: Tables,
    /// Where each service is counted, by service id.
    pub(super) places: Vec<Place>,
    services: Vec<ServiceSpec>,
    flags: LoadFlags,
    resting: Resting,
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
        let capacity = sizes::capacity(services.len());
        let layout = sizes::Layout::new(&flags.sizes, capacity)?;
        let layout = pins.map_or(layout, |pins| layout.adopt(&pins.maps()));
        let ebpf = load(object, &layout, flags, pins)?;
        let mut tables = Tables::map(&ebpf, &layout)?;
        let places = publish(&mut tables, services, &flags, When::AtStart)?;
        Ok(Self {
            ebpf,
            tables,
            places,
            services: services.to_vec(),
            flags,
            resting: Resting::default(),
        })
    }

    /// Measures other services from now on. Those that stay go on where they are.
    ///
    /// # Errors
    /// When there is no room for so many, or a map cannot be written; then all stays as
    /// it was.
    pub fn replace_services(
        &mut self,
        services: &[ServiceSpec],
        deadlines: Deadlines,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.resting.wake(now);
        let flags = LoadFlags {
            deadlines,
            ..self.flags
        };
        let when = When::Running(&self.resting);
        let places = publish(&mut self.tables, services, &flags, when)?;
        for gone in &self.places {
            if places.iter().all(|place| place.id != gone.id) {
                self.resting.add(gone.id, now);
            }
        }
        self.places = places;
        self.services = services.to_vec();
        self.flags = flags;
        Ok(())
    }

    /// Publishes the services anew, with another deadline of one of them.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn set_deadline(&mut self, service: ServiceId, deadline: Duration) -> Result<(), Error> {
        let Some(spec) = self.services.get_mut(service.0 as usize) else {
            return Ok(());
        };
        spec.deadline = deadline;
        let when = When::Running(&self.resting);
        self.places = publish(&mut self.tables, &self.services, &self.flags, when)?;
        Ok(())
    }

    /// All of the object, for tools that load one with more programs and maps.
    pub fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
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

    /// Sets the clock: of an object that was loaded for replay the only one, else the
    /// one that is looked at where milliseconds do not matter.
    pub fn set_clock(&self, now_ns: u64) {
        self.tables.state.clock.store(now_ns);
    }

    /// Sets which connections of a service are sampled: those whose hash has none of
    /// these bits.
    pub fn set_sample_mask(&self, service: usize, mask: u32) {
        if let Some(entry) = self.entry(service) {
            entry.sample_mask.store(mask);
        }
    }

    /// Tells the kernel to do more for a service, of what may change while it runs.
    pub fn add_options(&self, service: usize, options: Options) {
        if let Some(entry) = self.entry(service) {
            entry.options.store(entry.options.load() | options.0);
        }
    }

    /// A service's entry in the table that the kernel uses.
    pub(super) fn entry(&self, service: usize) -> Option<&Service> {
        let (address, port_protocol) = self.places.get(service)?.key;
        let table = &self.tables.state.services;
        table.entry(&address, port_protocol)
    }

    /// Lets the kernel side ring the bell, once.
    pub fn arm_bell(&self) {
        self.tables.state.bell_armed.store(1);
    }

    /// Tells which tunnels an interface carries: bits of [`Tunnels`]. Interfaces whose
    /// indices have the same lower bits share them.
    pub fn set_tunnels(&self, interface: u32, kinds: u32) {
        let bits = self.tables.state.tunnels_of(interface);
        bits.store(bits.load() | kinds);
    }
}

fn load(
    object: &[u8],
    layout: &sizes::Layout,
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
        .override_global("CAPACITY", &layout.capacity, true)
        .override_global("HANDSHAKE_SETS", &layout.handshake_sets, true)
        .override_global("QUERY_SETS", &layout.query_sets, true)
        .override_global("CELLS_PER_SERVICE", &layout.cells_per_service, true)
        .override_global("TUNNEL_KINDS", &flags.tunnels.kinds, true)
        .override_global("TUNNEL_PORTS", &flags.tunnels.ports, true);
    for (name, entries) in layout.entries() {
        loader.map_max_entries(name, entries);
    }
    if let Some(pins) = pins {
        for name in sizes::PINNED {
            loader.map_pin_path(name, pins.maps().join(name));
        }
    }
    loader.load(object).map_err(|source| Error::Load {
        source: Box::new(source),
    })
}

/// Eight bytes that nobody can guess, never all zero.
pub(super) fn random_word() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| map_error("STATE", &error))?;
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
    let source = Box::new(source);
    match kernel::too_old() {
        Some(release) => Error::KernelTooOld {
            program,
            release,
            source,
        },
        None => Error::Program { program, source },
    }
}
