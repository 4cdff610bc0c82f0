//! The two ways to measure: the object in the kernel, and the host build of the same
//! code. In flow frames and the time, out flow readings and totals, which must be
//! the same both ways.

use aya::programs::{TestRun as _, TestRunOptions};
use probe_common::{
    counters::{Counters, Traffic},
    host::{HostSizes, HostTables},
    parse::tunnel::Tunnels,
    skip::Skip,
    trial::{Begun, Kind},
};
use probe_core::{
    config::ServiceId,
    input::{Reading, ServiceReading, TrialReading},
};

use super::{judge::Maps, plan::Plan};
use crate::datapath::{
    self, Depth, Latencies, Scope, Sizes, capacity, key, kinds,
    object::{EMBEDDED, LoadFlags, Object},
    read_ring,
};
use crate::journal::record::nanoseconds;

/// Shortest frame that the kernel runs a program on: an Ethernet header. No network
/// carries a shorter one.
pub const SHORTEST: usize = 14;
/// So much of a frame is handed on. A hook sees the linear part of a packet, and
/// `BPF_PROG_TEST_RUN` accepts no longer one than a page has room for beside its own
/// bookkeeping; headers and what is read of a payload lie well within.
pub const LONGEST: usize = 3072;

/// Why nothing can be measured this way.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel side cannot be had.
    #[error(
        "cannot run the eBPF programs here: {0}\nhelp: `--host` measures with the host build of the same code, which needs no privilege and gives the same numbers"
    )]
    Kernel(#[from] datapath::Error),
    /// A program did not run.
    #[error("the kernel does not run program {program} on a frame of {length} bytes: {source}")]
    Run {
        /// Which program.
        program: &'static str,
        /// How long the frame is.
        length: usize,
        /// What the kernel said.
        source: aya::programs::ProgramError,
    },
}

/// What was measured in all.
pub struct Totals {
    /// Packets and bytes, by service.
    pub traffic: Vec<Traffic>,
    /// What some of them were, by service.
    pub counters: Vec<Counters>,
    /// From the start of trials to their success, by service.
    pub latencies: Vec<Latencies>,
    /// Frames that were not measured, by reason.
    pub skips: [u64; Skip::COUNT],
}

/// Something that measures frames.
pub trait Measurement: Maps {
    /// Sets the clock.
    fn set_now(&mut self, now_ns: u64);
    /// Measures a frame on its way in. At least [`SHORTEST`] bytes, at most [`LONGEST`].
    fn ingress(&mut self, frame: &[u8]) -> Result<(), Error>;
    /// Measures a frame on its way out. At least [`SHORTEST`] bytes, at most [`LONGEST`].
    fn egress(&mut self, frame: &[u8]) -> Result<(), Error>;
    /// Everything that was counted.
    fn totals(&self) -> Totals;
}

/// The object, run by `BPF_PROG_TEST_RUN`.
pub struct Kernel(Object);

/// The interface on which `BPF_PROG_TEST_RUN` runs a program: the loopback one, which
/// is the first of every network namespace.
const LOOPBACK: u32 = 1;

impl Kernel {
    /// Loads the object for what is planned.
    pub fn load(plan: &Plan, tunnels: Tunnels) -> Result<Self, Error> {
        let flags = LoadFlags {
            replay: true,
            partial_checksums: true,
            tunnels,
            deadlines: plan.deadlines,
            ..LoadFlags::default()
        };
        let mut object = Object::load(EMBEDDED, &plan.specs, flags, None)?;
        object.set_tunnels(LOOPBACK, tunnels.kinds);
        object
            .xdp()?
            .load()
            .map_err(|source| refused(INGRESS, source))?;
        object
            .tc_egress()?
            .load()
            .map_err(|source| refused(EGRESS, source))?;
        Ok(Self(object))
    }
}

fn refused(program: &'static str, source: aya::programs::ProgramError) -> datapath::Error {
    datapath::Error::Program {
        program,
        source: Box::new(source),
    }
}

const INGRESS: &str = "lapwing_xdp";
const EGRESS: &str = "lapwing_egress";

fn options(frame: &[u8]) -> TestRunOptions<'_> {
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options
}

impl Maps for Kernel {
    fn reading(&self, depth: Depth) -> Reading {
        self.0.read(Scope::of_everyone(depth), &[])
    }

    fn latencies(&self) -> Vec<Latencies> {
        self.0.latencies()
    }
}

impl Measurement for Kernel {
    fn set_now(&mut self, now_ns: u64) {
        self.0.set_clock(now_ns);
    }

    fn ingress(&mut self, frame: &[u8]) -> Result<(), Error> {
        match self.0.xdp()?.test_run(options(frame)) {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::Run {
                program: INGRESS,
                length: frame.len(),
                source,
            }),
        }
    }

    fn egress(&mut self, frame: &[u8]) -> Result<(), Error> {
        match self.0.tc_egress()?.test_run(options(frame)) {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::Run {
                program: EGRESS,
                length: frame.len(),
                source,
            }),
        }
    }

    fn totals(&self) -> Totals {
        Totals {
            traffic: self.0.traffic(),
            counters: self.0.counters(),
            latencies: self.latencies(),
            skips: self.0.skips(),
        }
    }
}

/// The same code in this process.
pub struct Host {
    tables: HostTables,
    /// By service: the kinds of its trials, and the one on which it is judged.
    kinds: Vec<(&'static [Kind], Kind)>,
}

impl Host {
    /// Tables for what is planned.
    pub fn new(plan: &Plan, tunnels: Tunnels) -> Self {
        let specs = &plan.specs;
        let services: Vec<_> = specs
            .iter()
            .zip(0..)
            .map(|(spec, id)| {
                let (address, port_protocol) = key(&spec.endpoint);
                probe_common::service::Service::new(address, port_protocol, id, spec.options())
            })
            .collect();
        let deadline_ns =
            |service: usize, kind| nanoseconds(plan.deadlines.of(&specs[service], kind));
        // As many sample cells as in the kernel, where many services share the room.
        let sizes = HostSizes {
            cells: Sizes::default().cells_per_service(capacity(specs.len())),
            ..HostSizes::default()
        };
        Self {
            tables: HostTables::new(&services, tunnels, deadline_ns)
                .with_partial_checksums()
                .with_sizes(sizes),
            kinds: specs
                .iter()
                .map(|spec| {
                    let protocol = spec.endpoint.protocol;
                    (kinds(protocol), protocol.judged_kind(spec.application))
                })
                .collect(),
        }
    }
}

impl Maps for Host {
    fn reading(&self, depth: Depth) -> Reading {
        let services = self
            .kinds
            .iter()
            .enumerate()
            .zip(0..)
            .map(|((index, (kinds, judged)), service)| ServiceReading {
                service: ServiceId(service),
                trials: kinds
                    .iter()
                    .filter(|kind| depth == Depth::All || *kind == judged)
                    .map(|kind| TrialReading {
                        kind: *kind,
                        ring: read_ring(self.tables.cohorts(index, *kind)),
                    })
                    .collect(),
                verified: self.tables.verified(index).to_vec(),
                requests: self.tables.begun(index, Begun::Request).to_vec(),
                finishes: self.tables.begun(index, Begun::Finish).to_vec(),
                servfails: self.tables.servfails(index).to_vec(),
            })
            .collect();
        Reading {
            services,
            ..Reading::default()
        }
    }

    fn latencies(&self) -> Vec<Latencies> {
        let latencies = |(index, (kinds, _)): (usize, &(&'static [Kind], Kind))| {
            kinds
                .iter()
                .filter(|kind| kind.has_latency())
                .map(|kind| (*kind, self.tables.latency(index, *kind)))
                .collect()
        };
        self.kinds.iter().enumerate().map(latencies).collect()
    }
}

impl Measurement for Host {
    fn set_now(&mut self, now_ns: u64) {
        self.tables.set_now(now_ns);
    }

    fn ingress(&mut self, frame: &[u8]) -> Result<(), Error> {
        self.tables.ingress(frame);
        Ok(())
    }

    fn egress(&mut self, frame: &[u8]) -> Result<(), Error> {
        self.tables.egress(frame);
        Ok(())
    }

    fn totals(&self) -> Totals {
        let services = 0..self.kinds.len();
        Totals {
            traffic: services
                .clone()
                .map(|service| self.tables.traffic(service))
                .collect(),
            counters: services
                .map(|service| self.tables.counters(service))
                .collect(),
            latencies: self.latencies(),
            skips: self.tables.skips(),
        }
    }
}
