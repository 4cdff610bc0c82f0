//! Runs the cases, in the kernel and on the host.

use std::{env, fs, time::Duration};

use aya::programs::{TestRun as _, TestRunOptions};
use probe_common::{
    counters::{Counters, RstPhase},
    host::HostTables,
    parse::tunnel::Tunnels,
    service::Service,
    trial::{CohortRing, Kind},
};
use probe_core::config::{Application, Endpoint, Protocol};
use probe_user::datapath::{
    ServiceSpec, key,
    object::{LoadFlags, Object},
};

use crate::{Case, SERVICE4, SERVICE6, Seen, Way, address};

const DEADLINE: Duration = Duration::from_millis(100);
const XDP_PASS: u32 = 2;
/// `TC_ACT_UNSPEC`, -1: go on as if we were not there.
const TC_PASS: u32 = u32::MAX;
const MS: u64 = 1_000_000;
/// Not zero, so that a time that was never set would be seen.
const START_NS: u64 = 5_000 * MS;

/// Checks every case on the host, and in the kernel by both ingress hooks.
pub fn check(cases: &[Case]) {
    for case in cases {
        let host = on_host(case);
        assert_eq!(host, case.seen, "on the host: {}", case.description);
    }
    check_in_kernel(cases, LoadFlags::default());
}

/// Checks every case in the kernel, with an object that is loaded in this way.
pub fn check_in_kernel(cases: &[Case], flags: LoadFlags) {
    for case in cases {
        for hook in [Ingress::Xdp, Ingress::Tc] {
            let kernel = in_kernel(case, hook, flags);
            let description = case.description;
            assert_eq!(
                kernel, case.seen,
                "in the kernel by {hook:?}: {description}"
            );
        }
    }
}

impl Seen {
    fn add(&mut self, counters: &Counters, ring: &CohortRing, verified: u64) {
        self.packets_in += counters.packets_in;
        self.packets_out += counters.packets_out;
        self.syn += counters.syn;
        self.syn_retransmissions += counters.syn_retransmissions;
        self.synack += counters.synack;
        self.synack_retransmissions += counters.synack_retransmissions;
        self.fin_in += counters.fin_in;
        self.fin_out += counters.fin_out;
        for phase in 0..RstPhase::COUNT {
            self.rst_in[phase] += counters.rst_in[phase];
            self.rst_out[phase] += counters.rst_out[phase];
        }
        assert_eq!(
            counters.verified, verified,
            "verified in all and by network"
        );
        self.verified += verified;
        self.not_judged += counters.syn_not_judged;
        for bucket in &ring.buckets {
            self.started += bucket.started.load();
            self.succeeded += bucket.succeeded.load();
            self.failed += bucket.failed.load();
            self.abandoned += bucket.abandoned.load();
        }
        self.after_deadline += ring.after_deadline.load();
    }
}

fn specs() -> [ServiceSpec; 2] {
    [SERVICE4, SERVICE6].map(|text| ServiceSpec {
        endpoint: Endpoint {
            address: address(text).ip(),
            port: address(text).port(),
            protocol: Protocol::Tcp,
        },
        application: Application::Any,
        deadline: DEADLINE,
    })
}

fn on_host(case: &Case) -> Seen {
    let services: Vec<Service> = specs()
        .iter()
        .zip(0..)
        .map(|(spec, id)| {
            let (address, port_protocol) = key(&spec.endpoint);
            Service::new(address, port_protocol, id, spec.options())
        })
        .collect();
    let tables = HostTables::new(&services, Tunnels::default(), |service, kind| {
        nanoseconds(specs()[service].deadline_of(kind))
    });
    for (at_ms, way, frame) in &case.frames {
        tables.set_now(START_NS + at_ms * MS);
        match way {
            Way::In => tables.ingress(frame),
            Way::Out => tables.egress(frame),
        }
    }
    let mut seen = Seen {
        skips: tables.skips(),
        ..Seen::default()
    };
    for service in 0..services.len() {
        let verified = tables.verified(service).into_iter().map(u64::from).sum();
        seen.add(
            &tables.counters(service),
            tables.cohorts(service, Kind::Connect),
            verified,
        );
    }
    seen
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Ingress {
    Xdp,
    Tc,
}

fn in_kernel(case: &Case, hook: Ingress, flags: LoadFlags) -> Seen {
    let mut object = load_object(hook, flags);
    for (at_ms, way, frame) in &case.frames {
        object.set_clock(START_NS + at_ms * MS);
        let mut out = vec![0; frame.len()];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut out);
        let (result, pass) = match (way, hook) {
            (Way::In, Ingress::Xdp) => (object.xdp().unwrap().test_run(options), XDP_PASS),
            (Way::In, Ingress::Tc) => (object.tc_ingress().unwrap().test_run(options), TC_PASS),
            (Way::Out, _) => (object.tc_egress().unwrap().test_run(options), TC_PASS),
        };
        let verdict = result.unwrap().return_value;
        assert_eq!(verdict, pass, "not passed: {}", case.description);
        assert_eq!(&out, frame, "altered: {}", case.description);
    }
    let mut seen = Seen {
        skips: object.skips(),
        ..Seen::default()
    };
    for (service, counters) in object.counters().iter().enumerate() {
        let verified = object.verified(service).unwrap();
        seen.add(
            counters,
            object.ring(service, Kind::Connect).unwrap(),
            verified,
        );
    }
    seen
}

fn load_object(hook: Ingress, flags: LoadFlags) -> Object {
    let path = env::var("LAPWING_EBPF_OBJECT")
        .expect("LAPWING_EBPF_OBJECT names the object; `cargo xtask test` sets it");
    let bytes = fs::read(&path).unwrap();
    let flags = LoadFlags {
        replay: true,
        ..flags
    };
    let mut object = Object::load(&bytes, &specs(), flags, None).unwrap();
    match hook {
        Ingress::Xdp => object.xdp().unwrap().load().unwrap(),
        Ingress::Tc => object.tc_ingress().unwrap().load().unwrap(),
    }
    object.tc_egress().unwrap().load().unwrap();
    object
}
