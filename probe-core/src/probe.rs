//! What the operator wants asked of a service: one question, how often, and how many
//! answers make up a mind. It flows in with the configuration; the user side asks.

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// The active probe of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub kind: ProbeKind,
    /// The address that is asked from; the kernel's choice if none.
    pub source: Option<IpAddr>,
    /// Time between two regular probes.
    pub interval: Duration,
    /// When an unanswered probe has failed.
    pub timeout: Duration,
    /// Successes in a row that make the service good again.
    pub rise: u32,
    /// Failures in a row that make the service bad.
    pub fall: u32,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeKind {
    /// Nothing: the service is not probed.
    None,
    /// A TCP handshake. Decides alone only where live trials cannot.
    Tcp {
        /// Whom to connect to; the service itself unless configured.
        target: SocketAddr,
    },
    /// A TLS handshake over TCP. An application probe, as all that follow: it always
    /// decides by rise and fall.
    Tls {
        /// Whom to connect to.
        target: SocketAddr,
        /// How.
        tls: Tls,
    },
    /// An HTTP/1.1 GET.
    Http {
        /// Whom to connect to.
        target: SocketAddr,
        /// The Host header.
        host: String,
        /// The path and query.
        path: String,
        /// The expected status; any 2xx or 3xx if none.
        status: Option<u16>,
        /// Text that must occur in the body.
        body: Option<String>,
        /// Over TLS (https) if any.
        tls: Option<Tls>,
    },
    /// A DNS query.
    Dns {
        /// Whom to ask.
        target: SocketAddr,
        /// How the query travels.
        transport: DnsTransport,
        /// The name that is asked for.
        name: String,
        /// The type of record that is asked for.
        record: DnsRecord,
    },
    /// A QUIC handshake.
    Quic {
        /// Whom to ask.
        target: SocketAddr,
        /// How.
        tls: Tls,
    },
    /// A program of the operator's; exit code 0 passes.
    Exec {
        /// An absolute path, and its arguments.
        command: Vec<String>,
    },
}

/// How a TLS handshake is made and judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// The name that the server is asked for (SNI) and that its certificate must bear
    /// if it is verified. Without one no name is sent, and the certificate must bear
    /// the target's address.
    pub name: Option<String>,
    /// The protocols that are offered (ALPN), the best first; none if empty.
    pub alpn: Vec<String>,
    /// Whether the certificate must be valid now and come from an authority that this
    /// host trusts.
    pub verify: bool,
}

/// How a DNS query travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnsTransport {
    /// RFC 1035 section 4.2.1. The default.
    #[default]
    Udp,
    /// RFC 7766.
    Tcp,
}

/// Types of DNS records that a probe may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DnsRecord {
    /// An IPv4 address. The default.
    #[default]
    A,
    /// An IPv6 address.
    Aaaa,
    /// A delegation.
    Ns,
    /// A zone's start of authority.
    Soa,
    /// Text.
    Txt,
}

impl DnsRecord {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::A, Self::Aaaa, Self::Ns, Self::Soa, Self::Txt];

    /// The name used in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Ns => "NS",
            Self::Soa => "SOA",
            Self::Txt => "TXT",
        }
    }

    /// The number in a question (RFC 1035 section 3.2.2, RFC 3596).
    pub fn code(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ns => 2,
            Self::Soa => 6,
            Self::Txt => 16,
            Self::Aaaa => 28,
        }
    }
}

impl ProbeKind {
    /// Whether the probe exercises the application and not only the kernel's
    /// accept queue.
    pub fn is_application(&self) -> bool {
        match self {
            Self::None | Self::Tcp { .. } => false,
            Self::Tls { .. }
            | Self::Http { .. }
            | Self::Dns { .. }
            | Self::Quic { .. }
            | Self::Exec { .. } => true,
        }
    }

    /// The TLS handshake that the probe makes, if any.
    pub fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Tls { tls, .. } | Self::Quic { tls, .. } => Some(tls),
            Self::Http { tls, .. } => tls.as_ref(),
            Self::None | Self::Tcp { .. } | Self::Dns { .. } | Self::Exec { .. } => None,
        }
    }

    /// The address and port that are asked, if any.
    pub fn target(&self) -> Option<SocketAddr> {
        match self {
            Self::None | Self::Exec { .. } => None,
            Self::Tcp { target }
            | Self::Tls { target, .. }
            | Self::Http { target, .. }
            | Self::Dns { target, .. }
            | Self::Quic { target, .. } => Some(*target),
        }
    }
}
