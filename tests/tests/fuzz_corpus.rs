//! The fuzzers' corpus through the object in the kernel: every frame is passed as it
//! is, whatever is in it, and what is counted is what the host build counts.
#![expect(
    clippy::unwrap_used,
    reason = "a test panics where something is not as it should be"
)]

use std::{env, fs, time::Duration};

use aya::programs::{TestRun as _, TestRunOptions};
use lapwing_fuzz::{
    corpus,
    invariants::Sums,
    measure::{START_NS, pass},
    services, traffic,
};
use probe_common::{
    host::HostTables,
    measure::Direction,
    parse::tunnel::Tunnels,
    service::{Options, SAMPLE_NONE, Service, TCP},
};
use probe_core::config::{Application, Endpoint, Protocol};
use probe_user::datapath::{
    ServiceSpec, key,
    object::{LoadFlags, Object},
};

const XDP_PASS: u32 = 2;
/// `TC_ACT_UNSPEC`, -1: go on as if we were not there.
const TC_PASS: u32 = u32::MAX;
/// The index of the loopback interface, which `BPF_PROG_TEST_RUN` takes unless told.
const LOOPBACK: u32 = 1;
/// `BPF_PROG_TEST_RUN` takes nothing shorter than an Ethernet header.
const SHORTEST: usize = 14;

#[test]
fn corpus_of_measure_passes_unaltered_and_counts_as_on_the_host() {
    for hook in [Ingress::Xdp, Ingress::Tc] {
        let mut kernel = Kernel::load(hook);
        let host = host_tables();
        let mut now_ns = START_NS;
        for input in corpus("measure").unwrap() {
            for step in traffic::steps(&input.bytes) {
                now_ns += step.after_ns();
                let frame = step.frame();
                if kernel.pass(now_ns, step.direction, &frame) {
                    pass(&host, now_ns, step.direction, &frame);
                }
            }
            kernel.compare(&host, &input.path.display().to_string());
            // Nothing of this input is remembered by the next one.
            now_ns += 1 << 43;
        }
        kernel.summarize();
    }
}

#[test]
fn corpus_of_parse_passes_unaltered_and_counts_as_on_the_host() {
    for hook in [Ingress::Xdp, Ingress::Tc] {
        let mut kernel = Kernel::load(hook);
        let host = host_tables();
        for (input, now_ns) in corpus("parse").unwrap().iter().zip(START_NS..) {
            for direction in [Direction::In, Direction::Out] {
                if kernel.pass(now_ns, direction, &input.bytes) {
                    pass(&host, now_ns, direction, &input.bytes);
                }
            }
            kernel.compare(&host, &input.path.display().to_string());
        }
        kernel.summarize();
    }
}

#[derive(Clone, Copy, Debug)]
enum Ingress {
    Xdp,
    Tc,
}

/// The object in the kernel, with what it was given.
struct Kernel {
    object: Object,
    hook: Ingress,
    passed: u32,
    refused: u32,
}

impl Kernel {
    fn load(hook: Ingress) -> Self {
        let path = env::var("LAPWING_EBPF_OBJECT")
            .expect("LAPWING_EBPF_OBJECT names the object; `cargo xtask test` sets it");
        let flags = LoadFlags {
            replay: true,
            tunnels: Tunnels::all(),
            ..LoadFlags::default()
        };
        let mut object = Object::load(&fs::read(&path).unwrap(), &specs(), flags, None).unwrap();
        match hook {
            Ingress::Xdp => object.xdp().unwrap().load().unwrap(),
            Ingress::Tc => object.tc_ingress().unwrap().load().unwrap(),
        }
        object.tc_egress().unwrap().load().unwrap();
        object.set_tunnels(LOOPBACK, flags.tunnels.kinds);
        Self {
            object,
            hook,
            passed: 0,
            refused: 0,
        }
    }

    /// Whether the kernel runs the frame at all. Panics if it is not passed then, or
    /// not as it is.
    fn pass(&mut self, now_ns: u64, direction: Direction, frame: &[u8]) -> bool {
        if frame.is_empty() {
            self.refused += 1;
            return false;
        }
        self.object.set_clock(now_ns);
        let mut out = vec![0; frame.len()];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut out);
        let object = &mut self.object;
        let (result, pass) = match (direction, self.hook) {
            (Direction::In, Ingress::Xdp) => (object.xdp().unwrap().test_run(options), XDP_PASS),
            (Direction::In, Ingress::Tc) => {
                (object.tc_ingress().unwrap().test_run(options), TC_PASS)
            }
            (Direction::Out, _) => (object.tc_egress().unwrap().test_run(options), TC_PASS),
        };
        let as_buffer = pass == TC_PASS;
        if frame.len() < SHORTEST || as_buffer && is_cut_in_ip_header(frame) {
            assert!(result.is_err(), "the kernel runs {} bytes", frame.len());
            self.refused += 1;
            return false;
        }
        assert_eq!(result.unwrap().return_value, pass, "not passed: {frame:x?}");
        assert_eq!(out, frame, "altered");
        self.passed += 1;
        true
    }

    /// Panics if the host counted anything else.
    fn compare(&self, host: &HostTables, input: &str) {
        let hook = self.hook;
        assert_eq!(self.object.skips(), host.skips(), "by {hook:?}: {input}");
        let counts = self
            .object
            .traffic()
            .into_iter()
            .zip(self.object.counters());
        for (service, counts) in counts.enumerate() {
            assert_eq!(
                counts,
                (host.traffic(service), host.counters(service)),
                "service {service} by {hook:?}: {input}"
            );
            for kind in services::kinds(service) {
                assert_eq!(
                    Sums::of(self.object.ring(service, *kind).unwrap()),
                    Sums::of(host.cohorts(service, *kind)),
                    "{kind:?} of service {service} by {hook:?}: {input}"
                );
            }
        }
    }

    fn summarize(&self) {
        assert!(self.passed > 0, "an empty corpus proves nothing");
        println!(
            "{:?}: {} frames passed unaltered, {} refused by the kernel as too short",
            self.hook, self.passed, self.refused
        );
    }
}

/// What `bpf_prog_test_run_skb` makes no socket buffer of.
fn is_cut_in_ip_header(frame: &[u8]) -> bool {
    let header = match frame[12..14] {
        [0x08, 0x00] => 20,
        [0x86, 0xdd] => 40,
        _ => return false,
    };
    frame.len() < SHORTEST + header
}

fn specs() -> Vec<ServiceSpec> {
    services::ALL
        .iter()
        .map(|endpoint| ServiceSpec {
            endpoint: Endpoint {
                address: endpoint.address,
                port: endpoint.port,
                protocol: if endpoint.protocol == TCP {
                    Protocol::Tcp
                } else {
                    Protocol::Udp
                },
            },
            application: application(endpoint.options),
            deadline: Duration::from_millis(100),
        })
        .collect()
}

/// Who speaks first is not configured, so the greeting service is a plain one here.
fn application(options: Options) -> Application {
    if options.any(Options::DNS) {
        Application::Dns
    } else if options.any(Options::QUIC) {
        Application::Quic
    } else if options.any(Options::HTTP) {
        Application::Http
    } else {
        Application::Any
    }
}

/// The same services on the host.
fn host_tables() -> HostTables {
    let specs = specs();
    let services: Vec<Service> = specs
        .iter()
        .zip(0..)
        .map(|(spec, id)| {
            let (address, port_protocol) = key(&spec.endpoint);
            let service = Service::new(address, port_protocol, id, spec.options());
            if spec.endpoint.protocol == Protocol::Udp {
                service.sample_mask.store(SAMPLE_NONE);
            }
            service
        })
        .collect();
    HostTables::new(&services, Tunnels::all(), |service, kind| {
        u64::try_from(specs[service].deadline_of(kind).as_nanos()).unwrap()
    })
}
