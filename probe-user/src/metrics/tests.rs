use std::collections::{BTreeMap, BTreeSet};

use probe_core::{
    Config,
    command::TrialEvidence,
    config::{self, ServiceId},
    status::{KindState, KindStatus, ServiceState, Standing, TrialTotals},
    witness::{Heard, Other},
};
use proptest::prelude::*;

use super::*;
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

fn model() -> Model {
    let mut model = Model::new(3);
    let mut latency = Histogram::default();
    for ns in [1, 4095, 5_000_000, 8_000_000, u64::MAX >> 8] {
        latency.buckets[latency::bucket(ns)] += 1;
    }
    latency.sum_ns = 13_000_000;
    for (id, name) in [(0, "web"), (1, "say \"hi\"\\\n")] {
        model.services.push(Service {
            name: name.to_owned(),
            protocol: Protocol::Tcp,
            application: Application::Any,
            counters: Counters {
                packets_in: 10,
                bytes_in: 1000,
                packets_out: 9,
                bytes_out: 90_000,
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
                        trials_per_second: 10.0,
                    },
                )]),
                expected_per_second: None,
                probe_passes: Some(true),
            },
        });
    }
    for (id, prefix, observed) in [
        (0, "192.0.2.0/24", Some(Level::Full)),
        (1, "2001:db8::/32", Some(Level::Withdrawn)),
        (2, "198.51.100.0/24", None),
        (3, "203.0.113.0/24", Some(Level::Degraded)),
    ] {
        model.prefixes.push(Prefix {
            prefix: prefix.parse().unwrap(),
            status: PrefixStatus {
                prefix: PrefixId(id),
                wanted: observed,
                observed,
                standing: Standing::Announced,
                held_by: None,
                orders: Vec::new(),
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

fn tally() -> Tally {
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

fn open(model: Model) -> String {
    encode(Arc::new(model), Format::OpenMetrics)
}

/// One sample line: name, labels, value.
type Sample = (String, BTreeMap<String, String>, f64);

/// Reads one label, the text behind its name and `="`: the value and the rest.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return (value, &text[index + 1..]),
            '\\' => value.push(match characters.next().expect("an escaped character").1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    panic!("no closing quote: {text}");
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect("a name");
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, quoted) = rest.split_once("=\"").expect("a label");
            let (value, after) = unquote(quoted);
            assert_eq!(labels.insert(label.to_owned(), value), None, "{line}");
            if let Some(after) = after.strip_prefix(',') {
                rest = after;
            } else {
                rest = after.strip_prefix('}').expect("the end of the labels");
                break;
            }
        }
    }
    let value = match rest.trim() {
        "+Inf" => f64::INFINITY,
        value => value.parse().unwrap_or_else(|_| panic!("{line}")),
    };
    (name.to_owned(), labels, value)
}

/// Checks the text by the rules of `OpenMetrics` and gives its samples.
fn parse(text: &str) -> Vec<Sample> {
    let body = text.strip_suffix("# EOF\n").expect("the end is marked");
    let mut families: BTreeMap<&str, &str> = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut family = "";
    let mut samples = Vec::new();
    let mut series = BTreeSet::new();
    for line in body.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                assert!(help.ends_with('.'), "{line}");
                assert!(helped.insert(name), "{name} twice");
                family = name;
            }
            ["#", "TYPE", name, kind] => {
                assert_eq!(name, family);
                assert_eq!(families.insert(name, kind), None, "{name} twice");
            }
            ["#", "UNIT", name, unit] => {
                assert_eq!(name, family);
                assert!(name.ends_with(&format!("_{unit}")), "{line}");
            }
            _ => {
                let (name, labels, value) = sample(line);
                let suffixes: &[&str] = match families[family] {
                    "counter" => &["_total"],
                    "gauge" => &[""],
                    "histogram" => &["_sum", "_count", "_bucket"],
                    "info" => &["_info"],
                    other => panic!("{other}"),
                };
                assert!(
                    suffixes
                        .iter()
                        .any(|suffix| name == format!("{family}{suffix}")),
                    "{name} in family {family}"
                );
                assert!(family.starts_with("lapwing") && !family.ends_with("_total"));
                assert!(
                    series.insert((name.clone(), labels.clone())),
                    "{line} twice"
                );
                samples.push((name, labels, value));
            }
        }
    }
    samples
}

fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: BTreeMap<String, String> = labels
        .iter()
        .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
        .collect();
    samples
        .iter()
        .find(|(found, labels, _)| found == name && *labels == wanted)
        .map(|(_, _, value)| *value)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_value_of_the_model_is_where_it_belongs() {
    let samples = parse(&open(model()));
    let web = ("service", "web");
    let connect = ("kind", "connect");
    for (name, labels, expected) in [
        (
            "lapwing_packets_total",
            &[web, ("direction", "in")][..],
            10.0,
        ),
        ("lapwing_bytes_total", &[web, ("direction", "out")], 9e4),
        ("lapwing_tcp_syn_total", &[web], 4.0),
        ("lapwing_tcp_synack_total", &[web], 3.0),
        (
            "lapwing_tcp_rst_total",
            &[web, ("direction", "out"), ("phase", "refused")],
            7.0,
        ),
        (
            "lapwing_tcp_rst_total",
            &[web, ("direction", "in"), ("phase", "unmatched")],
            3.0,
        ),
        (
            "lapwing_tcp_rst_total",
            &[web, ("direction", "out"), ("phase", "invalid")],
            6.0,
        ),
        (
            "lapwing_tcp_retransmissions_total",
            &[web, ("direction", "out")],
            11.0,
        ),
        (
            "lapwing_tcp_sampled_segments_total",
            &[web, ("direction", "out")],
            1100.0,
        ),
        ("lapwing_icmp_unreachable_total", &[web], 12.0),
        (
            "lapwing_trials_total",
            &[web, connect, ("outcome", "failed")],
            2.0,
        ),
        ("lapwing_response_seconds_count", &[web, connect], 5.0),
        ("lapwing_response_seconds_sum", &[web, connect], 0.013),
        ("lapwing_detector_score_ratio", &[web, connect], 0.25),
        ("lapwing_service_state", &[web, ("state", "armed")], 1.0),
        ("lapwing_service_state", &[web, ("state", "failed")], 0.0),
        (
            "lapwing_service_state",
            &[("service", "say \"hi\"\\\n"), ("state", "armed")],
            1.0,
        ),
        ("lapwing_prefix_level", &[("prefix", "192.0.2.0/24")], 2.0),
        ("lapwing_prefix_level", &[("prefix", "2001:db8::/32")], 0.0),
        (
            "lapwing_witness_level",
            &[
                ("prefix", "192.0.2.0/24"),
                ("witness_site", "ams1"),
                ("witness_host", "edge1"),
            ],
            1.0,
        ),
        (
            "lapwing_witness_stale",
            &[
                ("prefix", "192.0.2.0/24"),
                ("witness_site", "ams1"),
                ("witness_host", "edge1"),
            ],
            0.0,
        ),
        (
            "lapwing_witness_stale",
            &[
                ("prefix", "2001:db8::/32"),
                ("witness_site", "ams1"),
                ("witness_host", "edge1"),
            ],
            1.0,
        ),
        ("lapwing_prefix_level", &[("prefix", "203.0.113.0/24")], 1.0),
        (
            "lapwing_route_differences_total",
            &[("prefix", "192.0.2.0/24")],
            3.0,
        ),
        (
            "lapwing_route_conflicts",
            &[("prefix", "192.0.2.0/24"), ("conflict", "hidden")],
            1.0,
        ),
        (
            "lapwing_route_conflicts",
            &[("prefix", "2001:db8::/32"), ("conflict", "blocked")],
            0.0,
        ),
        (
            "lapwing_decisions_total",
            &[
                ("prefix", "2001:db8::/32"),
                ("action", "withdraw"),
                ("cause", "live_trials"),
            ],
            2.0,
        ),
        (
            "lapwing_holds_total",
            &[("prefix", "192.0.2.0/24"), ("guard", "second_leg")],
            1.0,
        ),
        (
            "lapwing_withdraw_phase_seconds_sum",
            &[("phase", "decided")],
            0.012,
        ),
        (
            "lapwing_withdraw_phase_seconds_count",
            &[("phase", "kernel")],
            1.0,
        ),
        (
            "lapwing_withdraw_phase_seconds_sum",
            &[("phase", "export")],
            0.003,
        ),
        (
            "lapwing_announce_phase_seconds_count",
            &[("phase", "rib")],
            1.0,
        ),
        ("lapwing_bird_reloads_total", &[], 1.0),
        ("lapwing_bird_up", &[], 1.0),
        (
            "lapwing_bird_session_established",
            &[("session", "up4")],
            1.0,
        ),
        (
            "lapwing_export_verified",
            &[("prefix", "192.0.2.0/24")],
            1.0,
        ),
        (
            "lapwing_export_alerts",
            &[("prefix", "2001:db8::/32"), ("alert", "covered")],
            1.0,
        ),
        (
            "lapwing_sensor_attached",
            &[
                ("interface", "eth0"),
                ("hook", "egress"),
                ("mode", "native"),
            ],
            0.0,
        ),
        (
            "lapwing_skipped_packets_total",
            &[("reason", "later_fragment")],
            12.0,
        ),
        (
            "lapwing_program_runs_total",
            &[("program", "lapwing_in")],
            1e6,
        ),
        (
            "lapwing_program_run_seconds_total",
            &[("program", "lapwing_in")],
            0.05,
        ),
        (
            "lapwing_build_info",
            &[("version", env!("CARGO_PKG_VERSION")), ("abi", "3")],
            1.0,
        ),
    ] {
        assert_eq!(
            value(&samples, name, labels),
            Some(expected),
            "{name} {labels:?}"
        );
    }
    assert_eq!(
        value(
            &samples,
            "lapwing_prefix_level",
            &[("prefix", "198.51.100.0/24")]
        ),
        None,
        "a table that was not read yet has no level"
    );
}

#[test]
fn labels_are_names_of_ours_and_bounded() {
    let expected: BTreeSet<&str> = [
        "abi",
        "action",
        "cause",
        "conflict",
        "direction",
        "guard",
        "hook",
        "alert",
        "interface",
        "kind",
        "le",
        "mode",
        "outcome",
        "phase",
        "prefix",
        "program",
        "reason",
        "service",
        "session",
        "state",
        "version",
        "witness_host",
        "witness_site",
    ]
    .into();
    let samples = parse(&open(model()));
    let found: BTreeSet<&str> = samples
        .iter()
        .flat_map(|(_, labels, _)| labels.keys().map(String::as_str))
        .collect();
    assert_eq!(found, expected);
}

/// A service of this protocol and application that has everything.
fn service_of(protocol: Protocol, application: Application) -> Service {
    let mut service = model().services.remove(0);
    service.protocol = protocol;
    service.application = application;
    service.status.trials = Kind::ALL.map(|kind| (kind, TrialTotals::default())).into();
    service.latencies = Kind::ALL.map(|kind| (kind, Histogram::default())).into();
    service
}

#[test]
fn families_that_a_service_cannot_have_are_left_out() {
    use Application::{Any, Dns, Http, Quic};
    use Protocol::{Tcp, Udp};
    for (protocol, application, kinds, present, absent) in [
        (
            Tcp,
            Any,
            "connect deliver finish greet handshake request",
            "lapwing_tcp_syn_total",
            "lapwing_http_responses_total lapwing_dns_queries_total",
        ),
        (
            Tcp,
            Http,
            "connect deliver finish greet handshake request status",
            "lapwing_http_responses_total",
            "lapwing_quic_retries_total",
        ),
        (
            Tcp,
            Dns,
            "connect deliver finish greet handshake request",
            "lapwing_dns_responses_total",
            "lapwing_dns_malformed_total",
        ),
        (
            Udp,
            Any,
            "answer",
            "lapwing_packets_total",
            "lapwing_tcp_syn_total lapwing_verified_total lapwing_sampled_connections_total",
        ),
        (
            Udp,
            Dns,
            "answer resolve",
            "lapwing_dns_malformed_total",
            "lapwing_quic_initials_total lapwing_tcp_rst_total",
        ),
        (
            Udp,
            Quic,
            "quic",
            "lapwing_quic_initials_total",
            "lapwing_dns_queries_total lapwing_tcp_fin_total",
        ),
    ] {
        let mut model = Model::new(0);
        model.services.push(service_of(protocol, application));
        let samples = parse(&open(model));
        let found: BTreeSet<&str> = samples
            .iter()
            .filter(|(name, _, _)| name == "lapwing_trials_total")
            .map(|(_, labels, _)| &*labels["kind"])
            .collect();
        let found: Vec<&str> = found.into_iter().collect();
        assert_eq!(found.join(" "), kinds, "{protocol} {application:?}");
        let has = |family: &str| samples.iter().any(|(name, _, _)| name == family);
        assert!(has(present), "{protocol} {application:?}: {present}");
        for family in absent.split(' ') {
            assert!(!has(family), "{protocol} {application:?}: {family}");
        }
    }
}

#[test]
fn counters_of_other_maps_are_shown_as_they_are() {
    // Prometheus takes a counter that falls for one that began anew; a difference of
    // ours would be a spike of 2^64.
    let mut model = model();
    model.services[0].counters = Counters {
        packets_in: 1,
        ..Counters::default()
    };
    let samples = parse(&open(model));
    let packets = [("service", "web"), ("direction", "in")];
    assert_eq!(
        value(&samples, "lapwing_packets_total", &packets),
        Some(1.0)
    );
}

#[test]
fn an_empty_model_is_valid_too() {
    let samples = parse(&open(Model::new(0)));
    assert!(samples.iter().all(|(name, _, _)| {
        name.starts_with("lapwing_build")
            || name.starts_with("lapwing_config")
            || name.starts_with("lapwing_skipped")
            || name.starts_with("lapwing_withdraw_phase")
            || name.starts_with("lapwing_announce_phase")
            || name == "lapwing_bird_reloads_total"
    }));
}

#[test]
fn the_text_looks_like_this() {
    let text = open(model());
    let start = "\
# HELP lapwing_packets Packets of the service. A GSO buffer counts as the segments it becomes.
# TYPE lapwing_packets counter
lapwing_packets_total{service=\"web\",direction=\"in\"} 10
lapwing_packets_total{service=\"web\",direction=\"out\"} 9
lapwing_packets_total{service=\"say \\\"hi\\\"\\\\\\n\",direction=\"in\"} 10
lapwing_packets_total{service=\"say \\\"hi\\\"\\\\\\n\",direction=\"out\"} 9
# HELP lapwing_bytes Bytes of the service's IP packets.
# TYPE lapwing_bytes counter
# UNIT lapwing_bytes bytes
lapwing_bytes_total{service=\"web\",direction=\"in\"} 1000
";
    assert!(text.starts_with(start), "{text}");
    for snippet in [
        "\
# TYPE lapwing_response_seconds histogram
# UNIT lapwing_response_seconds seconds
lapwing_response_seconds_sum{service=\"web\",kind=\"connect\"} 0.013
lapwing_response_seconds_count{service=\"web\",kind=\"connect\"} 5
lapwing_response_seconds_bucket{le=\"0.000004096\",service=\"web\",kind=\"connect\"} 2
lapwing_response_seconds_bucket{le=\"0.000008192\",service=\"web\",kind=\"connect\"} 2
",
        "\
lapwing_response_seconds_bucket{le=\"68.719476736\",service=\"web\",kind=\"connect\"} 4
lapwing_response_seconds_bucket{le=\"+Inf\",service=\"web\",kind=\"connect\"} 5
",
        "\
# TYPE lapwing_config_last_reload_successful gauge
lapwing_config_last_reload_successful 0
",
        "\
# UNIT lapwing_config_last_reload_success_timestamp_seconds seconds
lapwing_config_last_reload_success_timestamp_seconds 1795467834.5
",
        "\
# HELP lapwing_build What runs.
# TYPE lapwing_build info
",
    ] {
        assert!(text.contains(snippet), "{snippet}\nis not in\n{text}");
    }
}

#[test]
fn the_classic_text_has_the_same_samples_under_their_full_names() {
    let model = Arc::new(model());
    let classic = encode(Arc::clone(&model), Format::Classic);
    let open = encode(model, Format::OpenMetrics);
    let samples = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(samples(&classic), samples(&open));
    for (has, lacks) in [
        (
            "# TYPE lapwing_packets_total counter\n",
            "# TYPE lapwing_packets ",
        ),
        (
            "# HELP lapwing_bytes_total Bytes of the service's IP packets.\n",
            "# UNIT",
        ),
        ("# TYPE lapwing_build_info gauge\n", " info\n"),
        ("# TYPE lapwing_response_seconds histogram\n", "# EOF"),
    ] {
        assert!(classic.contains(has), "{has}\nis not in\n{classic}");
        assert!(!classic.contains(lacks), "{lacks}\nis in\n{classic}");
    }
    // Every sample stands below the comments of its own family.
    let mut family = String::new();
    for line in classic.lines() {
        if let Some(comment) = line.strip_prefix("# TYPE ") {
            family = comment.split(' ').next().unwrap().to_owned();
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&family), "{line} in {family}");
        }
    }
}

proptest! {
    #[test]
    fn a_latency_lies_below_its_bound_and_not_below_the_one_before(ns: u64, shift in 0u32..64) {
        let duration = Duration::from_nanos(ns >> shift);
        let mut model = Model::new(0);
        model
            .tally
            .took(Level::Withdrawn, Phase::Kernel, duration);
        let samples = parse(&open(model));
        let buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter(|(name, labels, _)| {
                name == "lapwing_withdraw_phase_seconds_bucket" && labels["phase"] == "kernel"
            })
            .map(|(_, labels, count)| {
                let bound = match &*labels["le"] {
                    "+Inf" => f64::INFINITY,
                    bound => bound.parse().unwrap(),
                };
                (bound, *count)
            })
            .collect();
        prop_assert_eq!(buckets.len(), 26);
        prop_assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        for (bound, count) in buckets {
            prop_assert_eq!(count > 0.0, duration.as_secs_f64() < bound);
        }
    }
}

#[test]
fn other_numbers_of_prefixes_take_their_counts_along() {
    let with = |prefixes: &[&str]| -> Config {
        let mut core = crate::config::Settings::without_file().core;
        core.prefixes = prefixes
            .iter()
            .map(|prefix| config::Prefix {
                prefix: prefix.parse().unwrap(),
                withdraw_when: config::WithdrawWhen::Any,
                services: Vec::new(),
                drain: Duration::ZERO,
                last_site: config::LastSite::Unwitnessed,
            })
            .collect();
        core
    };
    let (before, after) = (
        with(&["192.0.2.0/24", "2001:db8::/32"]),
        with(&["198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24"]),
    );
    let mut tally = tally();
    tally.renumber(&Renumbering::between(&before, &after));
    let (moved, gone) = (PrefixId(2), PrefixId(1));
    let decided = (moved, Level::Full, Cause::FirstAnnouncement);
    assert_eq!(tally.decisions, BTreeMap::from([(decided, 1)]));
    assert_eq!(
        tally.holds,
        BTreeMap::from([((moved, Guard::SecondLeg), 1)])
    );
    assert_eq!(tally.route_differences, BTreeMap::from([(moved, 3)]));
    let hidden = (moved, ConflictKind::Hidden);
    assert_eq!(tally.route_conflicts, BTreeMap::from([(hidden, 1)]));
    assert!(!tally.route_differences.contains_key(&gone));
}
