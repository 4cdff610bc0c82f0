//! The `probe` of a service.

use std::{net::SocketAddr, time::Duration};

use probe_common::service::ANY_PORT;
use probe_core::config::{DnsRecord, Endpoint, Probe, ProbeKind, Protocol};
use toml::Spanned;

use super::{
    network,
    report::Finding,
    section::{Findings, Section},
    value,
};

const PROBE: [&str; 10] = [
    "tcp", "http", "status", "dns", "name", "type", "interval", "timeout", "rise", "fall",
];
/// What a probe can ask; it asks one.
const QUESTIONS: [&str; 3] = ["tcp", "http", "dns"];
/// Keys that belong to one question only.
const DETAILS: [(&str, &str, &str); 3] = [
    (
        "status",
        "http",
        "remove it, or probe with http = \"http://HOST/path\"",
    ),
    (
        "name",
        "dns",
        "remove it, or probe with dns = \"ADDRESS:53\"",
    ),
    (
        "type",
        "dns",
        "remove it, or probe with dns = \"ADDRESS:53\"",
    ),
];

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
    let section = service.table("probe", "probe = { ... }", &PROBE);
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
    check_keys(&section, findings);
    let asked = question(&section, endpoint);
    let endpoint = endpoint?;
    let kind = asked.unwrap_or_else(|| {
        let default = default_probe(endpoint).kind;
        if default == ProbeKind::None {
            check_nothing_asked(service, &section, endpoint, findings);
        }
        default
    });
    if let ProbeKind::Http { target, .. } = &kind
        && target.port() == ANY_PORT
    {
        findings.push(Finding::new(
            section.place("http"),
            "the probe has no port to connect to",
            "no port here, and the service has any",
            "write the port: http = \"http://HOST:PORT/path\"",
        ));
    }
    Some(Probe {
        kind,
        interval,
        timeout: timeout.map_or(INTERVAL.min(interval), Spanned::into_inner),
        rise,
        fall,
    })
}

/// What is asked, if anything (right) is.
fn question(section: &Section<'_>, endpoint: Option<Endpoint>) -> Option<ProbeKind> {
    let status = section
        .read("status", value::integer(100, 599))
        .and_then(|status| u16::try_from(status).ok());
    let tcp = section.read("tcp", network::socket_address);
    let url = section.read("http", network::http_url);
    let dns = section.read("dns", network::socket_address);
    let record = section.read("type", value::word(&RECORDS));
    let name = if section.has("dns") {
        section.require("name", "\"www.example.com\"", network::domain_name)
    } else {
        None
    };
    if let Some(target) = tcp {
        return Some(ProbeKind::Tcp { target });
    }
    if let (Some(url), Some(endpoint)) = (url, endpoint) {
        return Some(http_probe(url, endpoint, status));
    }
    Some(ProbeKind::Dns {
        target: dns?,
        name: name?.into_inner(),
        record: record.unwrap_or_default(),
    })
}

static RECORDS: [(&str, DnsRecord); 5] = [
    ("A", DnsRecord::A),
    ("AAAA", DnsRecord::Aaaa),
    ("NS", DnsRecord::Ns),
    ("SOA", DnsRecord::Soa),
    ("TXT", DnsRecord::Txt),
];

fn check_keys(section: &Section<'_>, findings: &Findings) {
    let asked: Vec<&str> = QUESTIONS
        .into_iter()
        .filter(|question| section.has(question))
        .collect();
    if let [first, second, ..] = asked[..] {
        findings.push(Finding::new(
            section.place(second),
            format!("a probe is either `{first}` or `{second}`"),
            "the second of two",
            "remove one; `http` and `dns` also prove that packets get through",
        ));
    }
    for (key, question, help) in DETAILS {
        if section.has(key) && !section.has(question) {
            findings.push(Finding::new(
                section.place(key),
                format!("`{key}` belongs to a probe with `{question}`"),
                format!("there is no `{question}`"),
                help,
            ));
        }
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
            "add dns = \"ADDRESS:53\" and a name, or remove the probe",
        )),
        Protocol::Udp => {}
    }
}

/// The service itself is asked, whatever the name in the URL resolves to; only an
/// address in the URL is another target. Without a port in the URL it is the
/// service's.
fn http_probe(url: network::HttpUrl, endpoint: Endpoint, status: Option<u16>) -> ProbeKind {
    ProbeKind::Http {
        target: SocketAddr::new(
            url.address.unwrap_or(endpoint.address),
            url.port.unwrap_or(endpoint.port),
        ),
        host: url.authority,
        path: url.path,
        status,
    }
}
