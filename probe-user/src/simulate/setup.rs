//! The configurations of simulated hosts. The one place of the simulation that knows
//! how a configuration is built: what is not named here is as without a file.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use ipnet::IpNet;
use probe_core::config::{
    Application, Config, Endpoint, Guards, LastSite, Mode, Prefix, ProbeKind, Protocol, Service,
    ServiceId, WithdrawWhen,
};

use crate::config::{Settings, default_probe};

/// Services of one simulated host. They share its false-alarm budget.
pub const SERVICES: u8 = 10;

/// How long a suspicion must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As without a configuration: a restart is waited for.
    Default,
    /// No patience.
    Fast,
}

/// What the services are probed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// A TCP handshake.
    Tcp,
    /// An HTTP request: an application probe.
    Http,
}

impl Profile {
    fn patience(self, default: Duration) -> Duration {
        match self {
            Self::Default => default,
            Self::Fast => Duration::ZERO,
        }
    }
}

/// A host that announces one prefix for each of its services.
pub fn host(profile: Profile, probed: Probed) -> Config {
    let settings = Settings::without_file();
    let mut detect = settings.detect;
    detect.patience = profile.patience(detect.patience);
    let services = (0..SERVICES)
        .map(|index| {
            let endpoint = Endpoint {
                address: IpAddr::V4(address(index)),
                port: 443,
                protocol: Protocol::Tcp,
            };
            let mut probe = default_probe(endpoint);
            probe.kind = match probed {
                Probed::Tcp => probe.kind,
                Probed::Http => ProbeKind::Http {
                    target: (endpoint.address, endpoint.port).into(),
                    host: "www.example".to_owned(),
                    path: "/".to_owned(),
                    status: Some(200),
                    body: None,
                    tls: None,
                },
            };
            Service {
                name: format!("web{index}"),
                endpoint,
                application: Application::Any,
                detect,
                probe,
            }
        })
        .collect();
    let prefixes = (0..SERVICES)
        .map(|index| Prefix {
            prefix: IpNet::from(IpAddr::V4(address(index))),
            withdraw_when: WithdrawWhen::Any,
            services: vec![ServiceId(u32::from(index))],
            drain: Duration::ZERO,
            last_site: LastSite::Unwitnessed,
        })
        .collect();
    Config {
        mode: Mode::Enforce,
        // Nothing is to hide behind a budget.
        guards: Guards {
            lowerings_per_hour: u32::MAX,
        },
        services,
        prefixes,
        ..settings.core
    }
}

fn address(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, 10 + index)
}
