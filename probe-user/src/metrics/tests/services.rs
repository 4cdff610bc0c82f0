//! What services show.

use std::collections::BTreeSet;

use probe_core::status::KindState;

use super::{
    super::*,
    open,
    sample::{model, service_of},
    shows,
    text::{parse, value},
};

#[test]
fn every_value_of_a_service_is_where_it_belongs() {
    let web = ("service", "web");
    let connect = ("kind", "connect");
    shows(&[
        ("lapwing_packets_total", &[web, ("direction", "in")], 10.0),
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
        ("lapwing_detector_normal_ratio", &[web, connect], 0.005),
        ("lapwing_detector_broken_ratio", &[web, connect], 0.5),
        ("lapwing_service_expected_per_second", &[web], 12.5),
        ("lapwing_probe_passes", &[web], 1.0),
        // Of a kind that was not read yet.
        (
            "lapwing_trials_total",
            &[web, ("kind", "request"), ("outcome", "late")],
            0.0,
        ),
    ]);
}

#[test]
fn what_is_not_known_yet_is_absent() {
    let mut model = model();
    model.services.truncate(1);
    let status = &mut model.services[0].status;
    status.expected_per_second = None;
    status.probe_passes = None;
    for kind in status.kinds.values_mut() {
        kind.state = KindState::Learning;
    }
    let samples = parse(&open(model));
    for name in [
        "lapwing_service_expected_per_second",
        "lapwing_probe_passes",
        "lapwing_detector_normal_ratio",
    ] {
        assert!(samples.iter().all(|(found, _, _)| found != name), "{name}");
    }
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
            "lapwing_tcp_syn_total lapwing_tcp_verified_total lapwing_sampled_connections_total",
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
    model.services[0].traffic = Traffic {
        packets_in: 1,
        ..Traffic::default()
    };
    let samples = parse(&open(model));
    let packets = [("service", "web"), ("direction", "in")];
    assert_eq!(
        value(&samples, "lapwing_packets_total", &packets),
        Some(1.0)
    );
}
