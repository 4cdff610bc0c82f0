//! What the frames of a case run through: the object in the kernel, or the host build
//! of the same code.

use std::{env, fs};

use aya::programs::{TestRun as _, TestRunOptions};
use probe_common::{
    address::NETWORK_BUCKETS,
    cohort::CohortRing,
    counters::{Counters, Traffic},
    host::HostTables,
    parse::tunnel::Tunnels,
    service::{Options, Service},
    skip::Skip,
    trial::{Begun, Kind},
    uplink::Handshakes,
};
use probe_core::{config::Protocol, input::HandshakeCounts};
use probe_user::datapath::{
    Scope, ServiceSpec, key,
    object::{LoadFlags, Object},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    case::{Also, Names, Seen, Trials},
    script::{Step, Way},
    services::{To, specs},
};

const XDP_PASS: u32 = 2;
/// `TC_ACT_UNSPEC`, -1: go on as if we were not there.
const TC_PASS: u32 = u32::MAX;
/// The index of the loopback interface, which `BPF_PROG_TEST_RUN` takes unless told.
const LOOPBACK: u32 = 1;
/// `struct __sk_buff` of include/uapi/linux/bpf.h: its size, and two of its fields.
const CONTEXT_SIZE: usize = 192;
const GSO_SEGMENTS: usize = 164;
const GSO_SIZE: usize = 176;

/// By which hook packets come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingress {
    Host,
    Xdp,
    Tc,
}

/// Everything that was counted since the start.
#[derive(Clone, Copy)]
pub struct Reading {
    traffic: Traffic,
    counters: Counters,
    trials: [Trials; Kind::COUNT],
    verified: u64,
    names: Names,
    also: Also,
    skips: [u64; Skip::COUNT],
}

impl Reading {
    fn new(skips: [u64; Skip::COUNT]) -> Self {
        Self {
            traffic: Traffic::default(),
            counters: Counters::default(),
            trials: [Trials::default(); Kind::COUNT],
            verified: 0,
            names: [0; NETWORK_BUCKETS],
            also: Also::default(),
            skips,
        }
    }

    fn add_ring(&mut self, kind: Kind, ring: CohortRing<'_>) {
        let trials = &mut self.trials[kind as usize];
        for bucket in &ring.cohorts.buckets {
            trials.started += bucket.started.load();
            trials.succeeded += bucket.succeeded.load();
            trials.failed += bucket.failed.load();
            trials.abandoned += bucket.abandoned.load();
        }
        trials.after_deadline += ring.head.after_deadline.load();
    }

    fn add_begun<'a>(
        &mut self,
        requests: impl IntoIterator<Item = &'a u32>,
        finishes: impl IntoIterator<Item = &'a u32>,
    ) {
        let begun = &mut self.also.begun;
        begun.0 += requests.into_iter().copied().map(u64::from).sum::<u64>();
        begun.1 += finishes.into_iter().copied().map(u64::from).sum::<u64>();
    }

    fn add_names(&mut self, names: impl IntoIterator<Item = u32>) {
        for (sum, count) in self.names.iter_mut().zip(names) {
            *sum += count;
        }
    }

    /// What was counted since `before`.
    pub fn since(&self, before: &Self) -> (Seen, Also) {
        let names = self.names.iter().zip(&before.names);
        let names: Vec<u32> = names.map(|(now, then)| now - then).collect();
        let seen = Seen {
            traffic: difference(&self.traffic, &before.traffic),
            counters: difference(&self.counters, &before.counters),
            trials: std::array::from_fn(|kind| {
                let (now, then) = (self.trials[kind], before.trials[kind]);
                Trials {
                    started: now.started - then.started,
                    succeeded: now.succeeded - then.succeeded,
                    failed: now.failed - then.failed,
                    abandoned: now.abandoned - then.abandoned,
                    after_deadline: now.after_deadline - then.after_deadline,
                }
            }),
            verified: self.verified - before.verified,
            servfails: (
                names.iter().sum(),
                names.iter().filter(|count| **count != 0).count(),
            ),
            skips: std::array::from_fn(|reason| self.skips[reason] - before.skips[reason]),
        };
        (seen, self.also.since(&before.also))
    }
}

/// Of counts that are words and nothing else.
fn difference<T: IntoBytes + FromBytes + Immutable>(now: &T, then: &T) -> T {
    let [(now, _), (then, _)] = [now, then].map(|counts| counts.as_bytes().as_chunks::<8>());
    let words = now.iter().zip(then).map(|(now, then)| {
        let [now, then] = [now, then].map(|word| u64::from_ne_bytes(*word));
        now - then
    });
    let bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
    T::read_from_bytes(&bytes).unwrap()
}

fn kinds(spec: &ServiceSpec) -> &'static [Kind] {
    match spec.endpoint.protocol {
        Protocol::Tcp => Kind::TCP,
        Protocol::Udp => Kind::UDP,
    }
}

/// The host build.
pub struct Host {
    tables: HostTables,
    specs: Vec<(To, ServiceSpec)>,
}

impl Host {
    pub fn new(tunnels: Tunnels) -> Self {
        let specs = specs();
        let services: Vec<Service> = specs
            .iter()
            .zip(0..)
            .map(|((to, spec), id)| {
                let (address, port_protocol) = key(&spec.endpoint);
                let options = Options(spec.options().0 | to.learned_options().0);
                let service = Service::new(address, port_protocol, id, options);
                service.sample_mask.store(to.sample_mask());
                service
            })
            .collect();
        let tables = HostTables::new(&services, tunnels, |service, kind| {
            u64::try_from(specs[service].1.deadline_of(kind).as_nanos()).unwrap()
        });
        Self { tables, specs }
    }

    pub fn run(&self, now_ns: u64, step: &Step) {
        self.tables.set_now(now_ns);
        self.tables.set_interface(LOOPBACK);
        match step.way {
            Way::In => self.tables.ingress(&step.frame),
            Way::Out => self.tables.egress(&step.frame),
        }
    }

    pub fn read(&self) -> Reading {
        let mut reading = Reading::new(self.tables.skips());
        let uplink = self.tables.uplink_of(LOOPBACK);
        let handshakes = |of: &Handshakes| (of.answered.load(), of.completed.load());
        reading.also.came = handshakes(&uplink.came);
        reading.also.left = handshakes(&uplink.left);
        reading.also.spans = (uplink.spans.load(), uplink.spans_failed.load());
        for (service, (_, spec)) in self.specs.iter().enumerate() {
            reading.traffic.add(&self.tables.traffic(service));
            reading.counters.add(&self.tables.counters(service));
            let verified = self.tables.verified(service);
            reading.verified += verified.iter().copied().map(u64::from).sum::<u64>();
            reading.add_names(self.tables.servfails(service));
            reading.add_begun(
                &self.tables.begun(service, Begun::Request),
                &self.tables.begun(service, Begun::Finish),
            );
            for kind in kinds(spec) {
                reading.add_ring(*kind, self.tables.cohorts(service, *kind));
            }
        }
        reading
    }
}

/// The object in the kernel, with all its programs.
pub struct Kernel {
    object: Object,
    specs: Vec<(To, ServiceSpec)>,
}

impl Kernel {
    pub fn new(flags: LoadFlags) -> Self {
        let path = env::var("LAPWING_EBPF_OBJECT")
            .expect("LAPWING_EBPF_OBJECT names the object; `cargo xtask test` sets it");
        let bytes = fs::read(&path).unwrap();
        let specs = specs();
        let services: Vec<ServiceSpec> = specs.iter().map(|(_, spec)| *spec).collect();
        let tunnels = flags.tunnels;
        let flags = LoadFlags {
            replay: true,
            ..flags
        };
        let mut object = Object::load(&bytes, &services, flags, None).unwrap();
        object.xdp().unwrap().load().unwrap();
        object.tc_ingress().unwrap().load().unwrap();
        object.tc_egress().unwrap().load().unwrap();
        for (service, (to, _)) in specs.iter().enumerate() {
            object.set_sample_mask(service, to.sample_mask());
            object.add_options(service, to.learned_options());
        }
        object.set_tunnels(LOOPBACK, tunnels.kinds);
        Self { object, specs }
    }

    /// Runs one frame; it must pass as it is.
    pub fn run(&mut self, ingress: Ingress, now_ns: u64, step: &Step, description: &str) {
        self.object.set_clock(now_ns);
        let context = step.gso.map(context_of);
        let mut out = vec![0; step.frame.len()];
        let mut options = TestRunOptions::new();
        options.data_in = Some(&step.frame);
        options.data_out = Some(&mut out);
        options.ctx_in = context.as_ref().map(<[u8; CONTEXT_SIZE]>::as_slice);
        let object = &mut self.object;
        let (result, pass) = match (step.way, ingress) {
            (Way::Out, _) => (object.tc_egress().unwrap().test_run(options), TC_PASS),
            (Way::In, Ingress::Tc) => (object.tc_ingress().unwrap().test_run(options), TC_PASS),
            (Way::In, Ingress::Xdp | Ingress::Host) => {
                (object.xdp().unwrap().test_run(options), XDP_PASS)
            }
        };
        let result = result.unwrap_or_else(|error| panic!("{description}: {error}"));
        assert_eq!(result.return_value, pass, "not passed: {description}");
        assert_eq!(out, step.frame, "altered: {description}");
    }

    pub fn read(&self) -> Reading {
        let mut reading = Reading::new(self.object.skips());
        let uplink = self.object.uplink("lo", LOOPBACK).unwrap();
        let handshakes = |of: HandshakeCounts| (of.answered, of.completed);
        reading.also.came = handshakes(uplink.came);
        reading.also.left = handshakes(uplink.left);
        reading.also.spans = (uplink.spans, uplink.spans_failed);
        for service in self.object.read(Scope::ALL, &[]).services {
            reading.add_begun(&service.requests, &service.finishes);
        }
        for traffic in self.object.traffic() {
            reading.traffic.add(&traffic);
        }
        for counters in self.object.counters() {
            reading.counters.add(&counters);
        }
        for (service, (_, spec)) in self.specs.iter().enumerate() {
            reading.verified += self.object.verified(service).unwrap();
            reading.add_names(self.object.servfails(service).unwrap());
            for kind in kinds(spec) {
                reading.add_ring(*kind, self.object.ring(service, *kind).unwrap());
            }
        }
        reading
    }
}

/// A socket buffer's context that says how many segments it stands for.
fn context_of((segments, size): (u32, u32)) -> [u8; CONTEXT_SIZE] {
    let mut context = [0; CONTEXT_SIZE];
    context[GSO_SEGMENTS..GSO_SEGMENTS + 4].copy_from_slice(&segments.to_ne_bytes());
    context[GSO_SIZE..GSO_SIZE + 4].copy_from_slice(&size.to_ne_bytes());
    context
}
