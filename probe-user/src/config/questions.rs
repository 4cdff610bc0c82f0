//! What a `probe` asks, and the keys that belong to one question only.

use std::net::SocketAddr;

use probe_common::service::ANY_PORT;
use probe_core::config::{DnsRecord, DnsTransport, Endpoint, ProbeKind, Tls};

use super::{
    network,
    report::Finding,
    section::{Findings, Section, either},
    texts, value,
};

/// What a probe can ask; it asks one.
pub const QUESTIONS: [&str; 6] = ["tcp", "tls", "http", "dns", "quic", "exec"];

/// A key that belongs to some questions only.
struct Detail {
    key: &'static str,
    of: &'static [&'static str],
    help: &'static str,
}

const DETAILS: [Detail; 8] = [
    Detail {
        key: "status",
        of: &["http"],
        help: "remove it, or probe with http = \"http://HOST/path\"",
    },
    Detail {
        key: "body",
        of: &["http"],
        help: "remove it, or probe with http = \"http://HOST/path\"",
    },
    Detail {
        key: "sni",
        of: &["tls", "http", "quic"],
        help: "remove it, or probe with tls = \"ADDRESS:443\"",
    },
    Detail {
        key: "verify",
        of: &["tls", "http", "quic"],
        help: "remove it, or probe with tls = \"ADDRESS:443\"",
    },
    Detail {
        key: "alpn",
        of: &["tls", "quic"],
        help: "remove it, or probe with tls = \"ADDRESS:443\"",
    },
    Detail {
        key: "transport",
        of: &["dns"],
        help: "remove it, or probe with dns = \"ADDRESS:53\"",
    },
    Detail {
        key: "name",
        of: &["dns"],
        help: "remove it, or probe with dns = \"ADDRESS:53\"",
    },
    Detail {
        key: "type",
        of: &["dns"],
        help: "remove it, or probe with dns = \"ADDRESS:53\"",
    },
];

/// What an https probe speaks.
const HTTP_1_1: &str = "http/1.1";
/// What a quic probe speaks unless told: QUIC must name a protocol.
const HTTP_3: &str = "h3";

static RECORDS: [(&str, DnsRecord); 5] = [
    ("A", DnsRecord::A),
    ("AAAA", DnsRecord::Aaaa),
    ("NS", DnsRecord::Ns),
    ("SOA", DnsRecord::Soa),
    ("TXT", DnsRecord::Txt),
];

static TRANSPORTS: [(&str, DnsTransport); 2] =
    [("udp", DnsTransport::Udp), ("tcp", DnsTransport::Tcp)];

/// What is asked, if anything (right) is. Everything is read, so that all mistakes
/// are found.
pub fn read(
    section: &Section<'_>,
    endpoint: Option<Endpoint>,
    findings: &Findings,
) -> Option<ProbeKind> {
    check_keys(section, findings);
    let tcp = section.read("tcp", network::socket_address);
    let handshake = handshake(section);
    let tls = section.read("tls", network::socket_address);
    let quic = section.read("quic", network::socket_address);
    let http = http(section, endpoint, &handshake, findings);
    let dns = dns(section);
    let exec = section
        .read("exec", texts::command)
        .map(|command| ProbeKind::Exec { command });
    if let Some(target) = tcp {
        return Some(ProbeKind::Tcp { target });
    }
    if let Some(target) = tls {
        return Some(ProbeKind::Tls {
            target,
            tls: handshake,
        });
    }
    if let Some(target) = quic {
        return Some(quic_probe(target, handshake));
    }
    http.or(dns).or(exec)
}

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
            "remove one; all but `tcp` also prove that the application answers",
        ));
    }
    for Detail { key, of, help } in DETAILS {
        if section.has(key) && !of.iter().any(|question| section.has(question)) {
            findings.push(Finding::new(
                section.place(key),
                format!("`{key}` belongs to a probe with {}", either(of)),
                "not a part of what is asked",
                help,
            ));
        }
    }
}

/// The handshake as it is written.
fn handshake(section: &Section<'_>) -> Tls {
    Tls {
        name: section.read("sni", network::server_name),
        alpn: section.read("alpn", texts::alpn).unwrap_or_default(),
        verify: section.read("verify", value::boolean).unwrap_or(false),
    }
}

/// The service itself is asked, whatever the name in the URL resolves to; only an
/// address in the URL is another target. Without a port in the URL it is the
/// service's.
fn http(
    section: &Section<'_>,
    endpoint: Option<Endpoint>,
    handshake: &Tls,
    findings: &Findings,
) -> Option<ProbeKind> {
    let status = section
        .read("status", value::integer(100, 599))
        .and_then(|status| u16::try_from(status).ok());
    let body = section.read("body", value::text);
    let url = section.read("http", network::http_url)?;
    if !url.secure {
        for key in ["sni", "verify"] {
            if section.has(key) {
                findings.push(Finding::new(
                    section.place(key),
                    format!("`{key}` has no meaning without TLS"),
                    "the URL begins with http://",
                    "remove it, or write the URL with https://",
                ));
            }
        }
    }
    let endpoint = endpoint?;
    let target = SocketAddr::new(
        url.address.unwrap_or(endpoint.address),
        url.port.unwrap_or(endpoint.port),
    );
    if target.port() == ANY_PORT {
        findings.push(Finding::new(
            section.place("http"),
            "the probe has no port to connect to",
            "no port here, and the service has any",
            "write the port: http = \"http://HOST:PORT/path\"",
        ));
    }
    let tls = url.secure.then(|| Tls {
        name: handshake.name.clone().or(url.name),
        alpn: vec![HTTP_1_1.to_owned()],
        verify: handshake.verify,
    });
    Some(ProbeKind::Http {
        target,
        host: url.authority,
        path: url.path,
        status,
        body,
        tls,
    })
}

fn quic_probe(target: SocketAddr, handshake: Tls) -> ProbeKind {
    let alpn = if handshake.alpn.is_empty() {
        vec![HTTP_3.to_owned()]
    } else {
        handshake.alpn
    };
    ProbeKind::Quic {
        target,
        tls: Tls { alpn, ..handshake },
    }
}

fn dns(section: &Section<'_>) -> Option<ProbeKind> {
    let record = section.read("type", value::word(&RECORDS));
    let transport = section.read("transport", value::word(&TRANSPORTS));
    let target = section.read("dns", network::socket_address);
    let name = if section.has("dns") {
        section.require("name", "\"www.example.com\"", network::domain_name)
    } else {
        None
    };
    Some(ProbeKind::Dns {
        target: target?,
        transport: transport.unwrap_or_default(),
        name: name?.into_inner(),
        record: record.unwrap_or_default(),
    })
}
