//! A model with something of everything.

use std::collections::BTreeMap;

use probe_common::{
    counters::{Counters, Traffic},
    latency::{self, Histogram},
};
use probe_core::{
    command::TrialEvidence,
    config::ServiceId,
    input::{Directive, HandshakeCounts, Order},
    status::{KindState, KindStatus, ServiceState, Standing, TrialTotals},
    witness::{Heard, Other},
};

use super::super::*;
use crate::follow::{AlertKind, BirdState, PrefixPicture, SessionPicture};

const REFUSED: Configuration = Configuration {
    successful: false,
    read_at: Duration::from_millis(1_795_467_834_500),
};

/// Another host is heard of the first prefix, and stale for the second.
fn others(prefix: u32) -> Vec<Other> {
    let heard = match prefix {
        0 => Heard::Level(Level::Degraded),
        1 => Heard::Stale("BIRD has died".to_owned()),
        _ => return Vec::new(),
    };
    vec![Other {
        site: "ams1".to_owned(),
        host: "edge1".to_owned(),
        is_neighbour: false,
        heard,
    }]
}

fn web(id: u32, name: &str) -> Service {
    let mut latency = Histogram::default();
    for ns in [1, 4095, 5_000_000, 8_000_000, u64::MAX >> 8] {
        latency.buckets[latency::bucket(ns)] += 1;
    }
    latency.sum_ns = 13_000_000;
    Service {
        name: name.to_owned(),
        protocol: Protocol::Tcp,
        application: Application::Any,
        traffic: Traffic {
            packets_in: 10,
            bytes_in: 1000,
            packets_out: 9,
            bytes_out: 90_000,
        },
        counters: Counters {
            syn: 4,
            synack: 3,
            rst_in: [0, 1, 2, 0, 3, 0],
            rst_out: [7, 0, 0, 0, 5, 6],
            retransmissions_out: 11,
            sampled_segments_out: 1100,
            unreachable_out: 12,
            ..Counters::default()
        },
        latencies: BTreeMap::from([(Kind::Connect, latency)]),
        status: ServiceStatus {
            service: ServiceId(id),
            state: ServiceState::Armed,
            detector: TrialEvidence {
                score_ratio: 0.25,
                ..TrialEvidence::default()
            },
            totals: TrialTotals {
                succeeded: 100,
                failed: 2,
                late: 1,
                abandoned: 0,
            },
            trials: BTreeMap::from([(
                Kind::Connect,
                TrialTotals {
                    succeeded: 100,
                    failed: 2,
                    late: 1,
                    abandoned: 0,
                },
            )]),
            kinds: BTreeMap::from([(
                Kind::Connect,
                KindStatus {
                    state: KindState::Armed,
                    score_ratio: 0.25,
                    p0: 0.005,
                    p1: 0.5,
                    trials_per_second: 10.0,
                },
            )]),
            expected_per_second: Some(12.5),
            probe_passes: Some(true),
        },
    }
}

/// Two web servers, four prefixes, a daemon that is not well.
pub fn model() -> Model {
    let mut model = Model::new(3);
    model.health = Err("the sensor is blind".to_owned());
    model.daemon = Some(daemon());
    for (id, name) in [(0, "web"), (1, "say \"hi\"\\\n")] {
        model.services.push(web(id, name));
    }
    for (id, prefix, wanted, observed) in [
        (0, "192.0.2.0/24", Some(Level::Withdrawn), Some(Level::Full)),
        (
            1,
            "2001:db8::/32",
            Some(Level::Withdrawn),
            Some(Level::Withdrawn),
        ),
        (2, "198.51.100.0/24", None, None),
        (
            3,
            "203.0.113.0/24",
            Some(Level::Full),
            Some(Level::Degraded),
        ),
    ] {
        model.prefixes.push(Prefix {
            prefix: prefix.parse().expect("a network"),
            status: PrefixStatus {
                prefix: PrefixId(id),
                wanted,
                observed,
                standing: Standing::Announced,
                held_by: (id == 0).then_some(Guard::LastSite),
                orders: if id == 3 { vec![pin()] } else { Vec::new() },
                hold_left: None,
                withdrawals: 0,
                others: others(id),
            },
        });
    }
    for (hook, attached) in [("ingress", true), ("egress", false)] {
        model.attachments.push(Attachment {
            interface: "eth0".to_owned(),
            hook: hook.to_owned(),
            mode: "native".to_owned(),
            attached,
        });
    }
    model.uplinks = ["eth0", "eth1"]
        .map(|interface| UplinkReading {
            interface: interface.to_owned(),
            index: 2,
            came: handshakes(1000),
            left: handshakes(2000),
            spans: 50,
            spans_failed: 1,
        })
        .to_vec();
    model.skips[Skip::LaterFragment as usize] = 12;
    model.programs.push(Program {
        name: "lapwing_in".to_owned(),
        runs: 1_000_000,
        run_time: Duration::from_millis(50),
    });
    model.configuration = REFUSED;
    (model.tally, model.bird) = (tally(), Arc::new(picture()));
    model
}

fn handshakes(answered: u64) -> HandshakeCounts {
    HandshakeCounts {
        answered,
        completed: answered - 1,
    }
}

fn pin() -> Order {
    Order::Pin {
        prefix: PrefixId(3),
        level: Level::Full,
        directive: Directive {
            by: "root".to_owned(),
            why: String::new(),
            until: None,
            force: false,
        },
    }
}

fn daemon() -> Daemon {
    Daemon {
        site: "fra1".to_owned(),
        host: "edge3".to_owned(),
        mode: Mode::Enforce,
        frozen: true,
        blind: true,
        journal_failing: true,
        process: Some(Process {
            cpu: Duration::from_millis(1250),
            resident_bytes: 30 << 20,
            open_fds: 77,
            started_at: Duration::from_millis(1_795_467_000_250),
        }),
    }
}

/// A service of this protocol and application that has everything.
pub fn service_of(protocol: Protocol, application: Application) -> Service {
    let mut service = model().services.remove(0);
    service.name = format!("{protocol}-{application:?}").to_lowercase();
    service.protocol = protocol;
    service.application = application;
    service.status.trials = Kind::ALL.map(|kind| (kind, TrialTotals::default())).into();
    let mut latency = Histogram::default();
    latency.buckets[1] = 1;
    service.latencies = Kind::ALL.map(|kind| (kind, latency)).into();
    service
}

/// [`model`] with services of every protocol and application: no family is empty.
pub fn everything() -> Model {
    let mut model = model();
    for (protocol, application) in [
        (Protocol::Tcp, Application::Http),
        (Protocol::Udp, Application::Dns),
        (Protocol::Udp, Application::Quic),
    ] {
        model.services.push(service_of(protocol, application));
    }
    model
}

/// What a daemon counted.
pub fn tally() -> Tally {
    let mut tally = Tally::default();
    for _ in 0..2 {
        tally.decided(PrefixId(1), Level::Withdrawn, Cause::LiveTrials);
    }
    tally.decided(PrefixId(0), Level::Full, Cause::FirstAnnouncement);
    tally.held(PrefixId(0), Guard::SecondLeg);
    tally.held(PrefixId(9), Guard::Observe);
    for _ in 0..3 {
        tally.route_differed(PrefixId(0));
    }
    for (prefix, kind) in [(0, ConflictKind::Hidden), (1, ConflictKind::Blocked)] {
        tally.conflict_began(PrefixId(prefix), kind);
    }
    tally.conflict_ended(PrefixId(1), ConflictKind::Blocked);
    let withdrawn = Level::Withdrawn;
    tally.took(withdrawn, Phase::Decided, Duration::from_millis(12));
    tally.took(withdrawn, Phase::Kernel, Duration::from_micros(80));
    tally.took(withdrawn, Phase::Export, Duration::from_millis(3));
    tally.took(Level::Full, Phase::Rib, Duration::from_millis(2));
    tally.reloaded();
    tally
}

/// BIRD with one session, and the second of two prefixes in trouble.
fn picture() -> Picture {
    let prefix = |verified, alerts: &[AlertKind]| PrefixPicture {
        verified: Some(verified),
        alerts: alerts
            .iter()
            .map(|alert| (*alert, "words".to_owned()))
            .collect(),
        ..PrefixPicture::default()
    };
    Picture {
        bird: BirdState::Up {
            version: "2.0.12".to_owned(),
        },
        sessions: vec![SessionPicture {
            name: "up4".to_owned(),
            neighbor: None,
            established: true,
            last_error: None,
        }],
        prefixes: vec![prefix(true, &[]), prefix(false, &[AlertKind::Covered])],
        ..Picture::default()
    }
}
