//! The services that packets are for: each at an IPv4 and at an IPv6 address.

use std::{net::SocketAddr, time::Duration};

use probe_common::service::{ANY_PORT, Options, SAMPLE_NONE};
use probe_core::config::{Application, Endpoint, Protocol};
use probe_user::datapath::ServiceSpec;

/// The deadline of all trials that have none of their own.
const DEADLINE: Duration = Duration::from_millis(100);
/// The port that packets for a service with [`ANY_PORT`] go to.
const SOME_PORT: u16 = 7_777;

/// For which service a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum To {
    /// TCP, nothing known of its application, no connection sampled.
    Web,
    /// The same with every connection sampled.
    Sampled,
    /// TCP that speaks first.
    Smtp,
    /// Plaintext HTTP/1.
    Http,
    /// DNS over TCP.
    DnsTcp,
    /// TCP on every port of its address.
    AnyPort,
    /// UDP, nothing known of its application.
    Udp,
    /// DNS over UDP.
    Dns,
    /// QUIC.
    Quic,
    /// UDP on every port of its address.
    AnyUdpPort,
}

impl To {
    const ALL: [Self; 10] = [
        Self::Web,
        Self::Sampled,
        Self::Smtp,
        Self::Http,
        Self::DnsTcp,
        Self::AnyPort,
        Self::Udp,
        Self::Dns,
        Self::Quic,
        Self::AnyUdpPort,
    ];

    fn port(self) -> u16 {
        match self {
            Self::Web => 80,
            Self::Sampled => 8_000,
            Self::Smtp => 25,
            Self::Http => 8_080,
            Self::DnsTcp | Self::Dns => 53,
            Self::AnyPort | Self::AnyUdpPort => ANY_PORT,
            Self::Udp => 5_000,
            Self::Quic => 443,
        }
    }

    fn protocol(self) -> Protocol {
        match self {
            Self::Web | Self::Sampled | Self::Smtp | Self::Http | Self::DnsTcp | Self::AnyPort => {
                Protocol::Tcp
            }
            Self::Udp | Self::Dns | Self::Quic | Self::AnyUdpPort => Protocol::Udp,
        }
    }

    fn application(self) -> Application {
        match self {
            Self::Http => Application::Http,
            Self::DnsTcp | Self::Dns => Application::Dns,
            Self::Quic => Application::Quic,
            Self::Web
            | Self::Sampled
            | Self::Smtp
            | Self::AnyPort
            | Self::Udp
            | Self::AnyUdpPort => Application::Any,
        }
    }

    /// The address and port that its clients use.
    pub fn address(self, v6: bool) -> SocketAddr {
        let port = match self.port() {
            ANY_PORT => SOME_PORT,
            port => port,
        };
        let host = match self {
            Self::AnyPort | Self::AnyUdpPort => 20,
            _ => 10,
        };
        let text = if v6 {
            format!("[2001:db8:a::{host}]:{port}")
        } else {
            format!("192.0.2.{host}:{port}")
        };
        text.parse().unwrap()
    }

    /// Which of its connections are sampled.
    pub fn sample_mask(self) -> u32 {
        match self {
            Self::Sampled => 0,
            _ => SAMPLE_NONE,
        }
    }

    /// What is wanted of the kernel that a configuration does not say.
    pub fn learned_options(self) -> Options {
        match self {
            Self::Smtp => Options(Options::SERVER_FIRST),
            _ => Options::default(),
        }
    }
}

/// All services, in the order of their ids.
pub fn specs() -> Vec<(To, ServiceSpec)> {
    To::ALL
        .into_iter()
        .flat_map(|to| [(to, false), (to, true)])
        .map(|(to, v6)| {
            let endpoint = Endpoint {
                address: to.address(v6).ip(),
                port: to.port(),
                protocol: to.protocol(),
            };
            let spec = ServiceSpec {
                endpoint,
                application: to.application(),
                deadline: DEADLINE,
            };
            (to, spec)
        })
        .collect()
}
