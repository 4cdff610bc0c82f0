//! The services of a replay: as they are named on the command line, and what they
//! speak.

use std::net::SocketAddr;

use probe_common::parse::tunnel::Tunnels;
use probe_core::config::{Application, Endpoint, Protocol};

use crate::datapath::ServiceSpec;

/// A service to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// Where it answers.
    pub endpoint: Endpoint,
    /// What it speaks.
    pub application: Application,
}

const FORM: &str = "write ADDR:PORT/PROTO[/APPLICATION], as 192.0.2.1:80/tcp, \
                    [2001:db8::1]:53/udp or 192.0.2.1:8080/tcp/http";

/// Reads `192.0.2.1:80/tcp` or `[2001:db8::1]:5300/udp/dns`. Without an application
/// it is told by the port: DNS on 53, QUIC on 443.
pub fn parse(text: &str) -> Result<Service, String> {
    let mut parts = text.split('/');
    let socket = parts.next().ok_or(FORM)?;
    let protocol = match parts.next().ok_or(FORM)? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        other => {
            return Err(format!(
                "`{other}` is not a protocol that is measured: tcp, udp"
            ));
        }
    };
    let socket: SocketAddr = socket.parse().map_err(|_| FORM)?;
    if socket.port() == 0 {
        return Err("port 0 is no service's".to_owned());
    }
    let application = match parts.next() {
        None => by_port(socket.port(), protocol),
        Some(name) => by_name(name, protocol)?,
    };
    if parts.next().is_some() {
        return Err(FORM.to_owned());
    }
    Ok(Service {
        endpoint: Endpoint {
            address: socket.ip().to_canonical(),
            port: socket.port(),
            protocol,
        },
        application,
    })
}

/// What a port is for.
pub fn by_port(port: u16, protocol: Protocol) -> Application {
    match (port, protocol) {
        (53, Protocol::Tcp | Protocol::Udp) => Application::Dns,
        (443, Protocol::Udp) => Application::Quic,
        (_, Protocol::Tcp | Protocol::Udp) => Application::Any,
    }
}

fn by_name(name: &str, protocol: Protocol) -> Result<Application, String> {
    let known: &[Application] = match protocol {
        Protocol::Tcp => &[Application::Any, Application::Dns, Application::Http],
        Protocol::Udp => &[Application::Any, Application::Dns, Application::Quic],
    };
    known
        .iter()
        .copied()
        .find(|application| application.name() == name)
        .ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|known| known.name()).collect();
            format!(
                "`{name}` is not spoken over {protocol}: {}",
                names.join(", ")
            )
        })
}

/// The tunnels that are looked into: all, but for a port that a service has.
pub fn tunnels(services: &[ServiceSpec]) -> Tunnels {
    let mut tunnels = Tunnels::all();
    let kinds = [Tunnels::FOU, Tunnels::GUE, Tunnels::VXLAN, Tunnels::GENEVE];
    for (kind, port) in kinds.into_iter().zip(tunnels.ports) {
        let is_service = |service: &ServiceSpec| {
            service.endpoint.port == port && service.endpoint.protocol == Protocol::Udp
        };
        if services.iter().any(is_service) {
            tunnels.kinds &= !kind;
        }
    }
    tunnels
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn services_are_read_as_they_are_written() {
        for (text, endpoint, application) in [
            ("192.0.2.1:80/tcp", "192.0.2.1:80/tcp", Application::Any),
            (
                "[2001:db8::1]:53/udp",
                "[2001:db8::1]:53/udp",
                Application::Dns,
            ),
            ("192.0.2.1:53/tcp", "192.0.2.1:53/tcp", Application::Dns),
            ("192.0.2.1:443/udp", "192.0.2.1:443/udp", Application::Quic),
            (
                "192.0.2.1:443/udp/any",
                "192.0.2.1:443/udp",
                Application::Any,
            ),
            (
                "192.0.2.1:5300/udp/dns",
                "192.0.2.1:5300/udp",
                Application::Dns,
            ),
            (
                "192.0.2.1:80/tcp/http",
                "192.0.2.1:80/tcp",
                Application::Http,
            ),
            (
                "[::ffff:192.0.2.1]:80/tcp",
                "192.0.2.1:80/tcp",
                Application::Any,
            ),
        ] {
            let service = parse(text).expect(text);
            assert_eq!(service.endpoint.to_string(), endpoint);
            assert_eq!(service.application, application, "{text}");
        }
        for (text, says) in [
            ("192.0.2.1:80", "ADDR:PORT/PROTO"),
            ("192.0.2.1/tcp", "ADDR:PORT/PROTO"),
            ("2001:db8::1:80/tcp", "ADDR:PORT/PROTO"),
            ("192.0.2.1:80/tcp/any/more", "ADDR:PORT/PROTO"),
            ("192.0.2.1:80/sctp", "sctp"),
            ("192.0.2.1:0/tcp", "port 0"),
            (
                "192.0.2.1:80/tcp/quic",
                "`quic` is not spoken over tcp: any, dns, http",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn port_of_a_service_is_no_tunnel() {
        let parsed = parse("192.0.2.1:4789/udp").expect("a service");
        let service = ServiceSpec {
            endpoint: parsed.endpoint,
            application: parsed.application,
            deadline: Duration::from_millis(200),
        };
        assert_eq!(tunnels(&[]), Tunnels::all());
        let left = Tunnels::all().kinds & !Tunnels::VXLAN;
        assert_eq!(tunnels(&[service]).kinds, left);
    }
}
