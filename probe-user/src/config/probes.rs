//! The `probe` of a service: how it is asked, how often, and what follows.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use probe_common::service::ANY_PORT;
use probe_core::config::{Endpoint, Probe, ProbeKind, Protocol};
use toml::Spanned;

use super::{
    keys, network,
    questions::{self, QUESTIONS},
    report::Finding,
    section::{Findings, Section},
    value,
};

/// Time between two regular probes; also the longest default timeout.
const INTERVAL: Duration = Duration::from_secs(1);
const RISE: u32 = 2;
const FALL: u32 = 3;

/// The probe of a service that has no `probe` key, and of a found one: a TCP
/// handshake with the service itself. Of UDP nothing is known that every server
/// answers, and "any" is no port to connect to.
pub fn default_probe(endpoint: Endpoint) -> Probe {
    let target = SocketAddr::new(endpoint.address, endpoint.port);
    Probe {
        kind: match (endpoint.protocol, endpoint.port) {
            (Protocol::Udp, _) | (Protocol::Tcp, ANY_PORT) => ProbeKind::None,
            (Protocol::Tcp, _) => ProbeKind::Tcp { target },
        },
        source: None,
        interval: INTERVAL,
        timeout: INTERVAL,
        rise: RISE,
        fall: FALL,
    }
}

/// None if there is no endpoint to fall back to.
pub fn read(
    service: &Section<'_>,
    endpoint: Option<Endpoint>,
    findings: &Findings,
) -> Option<Probe> {
    let section = service.inner("probe", "probe = { ... }", &keys::PROBE.names());
    let bounds = value::duration(Duration::from_millis(50), Duration::from_hours(1));
    let interval = section.read("interval", bounds).unwrap_or(INTERVAL);
    let timeout = section.read_spanned(
        "timeout",
        value::duration(Duration::from_millis(10), Duration::from_mins(1)),
    );
    if let Some(timeout) = &timeout
        && *timeout.get_ref() > interval
    {
        findings.push(Finding::new(
            timeout.span(),
            "`timeout` is longer than the probe's interval",
            format!("the interval is {}", humantime::format_duration(interval)),
            "probes of one service must not overlap: shorten the timeout or lengthen the interval",
        ));
    }
    let rise = section
        .read("rise", value::integer(1, 1000))
        .unwrap_or(RISE);
    let fall = section
        .read("fall", value::integer(1, 1000))
        .unwrap_or(FALL);
    let asked = questions::read(&section, endpoint, findings);
    let source = section.read_spanned("source", network::address);
    let endpoint = endpoint?;
    let kind = asked.unwrap_or_else(|| {
        let default = default_probe(endpoint).kind;
        if default == ProbeKind::None {
            check_nothing_asked(service, &section, endpoint, findings);
        }
        default
    });
    if let Some(source) = &source {
        check_source(source, &kind, findings);
    }
    Some(Probe {
        kind,
        source: source.map(Spanned::into_inner),
        interval,
        timeout: timeout.map_or(INTERVAL.min(interval), Spanned::into_inner),
        rise,
        fall,
    })
}

/// An IPv4 address is reached from an IPv4 address only, and likewise IPv6.
fn check_source(source: &Spanned<IpAddr>, kind: &ProbeKind, findings: &Findings) {
    let Some(target) = kind.target() else {
        findings.push(Finding::new(
            source.span(),
            "`source` has no meaning without a socket",
            "nothing is sent from there",
            "remove it; a program can be given an address as an argument of `exec`",
        ));
        return;
    };
    let address = source.get_ref();
    if address.is_ipv4() != target.is_ipv4() {
        findings.push(Finding::new(
            source.span(),
            "`source` is of another family than what is asked",
            format!("{} cannot be asked from {address}", target.ip()),
            format!(
                "write an {} address of this host, or remove the line",
                if target.is_ipv4() { "IPv4" } else { "IPv6" }
            ),
        ));
    }
    if address.is_unspecified() || address.is_multicast() {
        findings.push(Finding::new(
            source.span(),
            "`source` is no address of a host",
            address.to_string(),
            "write an address of this host, or remove the line: then the kernel chooses",
        ));
    }
}

/// The default is not to ask at all: right for UDP, if nobody wrote a probe.
fn check_nothing_asked(
    service: &Section<'_>,
    probe: &Section<'_>,
    endpoint: Endpoint,
    findings: &Findings,
) {
    if QUESTIONS.iter().any(|question| probe.has(question)) {
        return; // It is wrong, and that has been told.
    }
    match endpoint.protocol {
        Protocol::Tcp => findings.push(Finding::new(
            service.place("port"),
            "a service at any port needs a probe with a port",
            "nothing to connect to",
            "add probe = { tcp = \"ADDRESS:PORT\" } or { http = \"http://HOST:PORT/path\" }",
        )),
        Protocol::Udp if service.has("probe") => findings.push(Finding::new(
            service.place("probe"),
            "a probe that asks nothing",
            "a UDP service has no default probe",
            "add dns = \"ADDRESS:53\" and a name, or quic = \"ADDRESS:443\", or remove the probe",
        )),
        Protocol::Udp => {}
    }
}
