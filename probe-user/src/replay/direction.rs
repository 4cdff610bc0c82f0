//! Which way a captured packet goes. In flow packets, out flows what the services'
//! addresses say: a capture has no hooks of its own.
//!
//! | the packet is | it goes to |
//! |---|---|
//! | to a service | the ingress program |
//! | from a service, or an ICMP error about a packet to one | the egress program |
//! | from one service to another | egress, then ingress: each sees its own |
//! | anything else | ingress, where a host would count it as skipped or as nobody's |

use std::collections::HashSet;

use probe_common::{
    address::Address,
    service::{ANY_PORT, TCP, UDP, port_protocol},
    skip::Skip,
};
use probe_core::config::{Endpoint, Protocol};

use super::look::{End, Seen, What};
use crate::datapath::key;

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To a service.
    In,
    /// From a service.
    Out,
    /// From a service to a service.
    Both,
    /// To nobody that is measured.
    Other,
}

/// The services, by what packets carry.
#[derive(Clone, Debug)]
pub struct Directions(HashSet<([u64; 2], u32)>);

impl Directions {
    /// From the services' endpoints.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        Self(
            endpoints
                .into_iter()
                .map(|endpoint| {
                    let (address, port_protocol) = key(&endpoint);
                    (address.0, port_protocol)
                })
                .collect(),
        )
    }

    /// The way of a packet.
    pub fn way(&self, seen: &Result<Seen, Skip>) -> Way {
        let Ok(seen) = seen else {
            return Way::Other;
        };
        let (protocol, is_error) = match seen.what {
            What::Segment(_) => (TCP, false),
            What::Datagram(_) => (UDP, false),
            What::Unreachable(Protocol::Tcp) => (TCP, true),
            What::Unreachable(Protocol::Udp) => (UDP, true),
        };
        let has = |(Address(words), port): End| {
            [port, ANY_PORT]
                .into_iter()
                .any(|port| self.0.contains(&(words, port_protocol(port, protocol))))
        };
        // Errors that reach a service are about what it sent.
        match (has(seen.destination) && !is_error, has(seen.source)) {
            (true, true) => Way::Both,
            (true, false) => Way::In,
            (false, true) => Way::Out,
            (false, false) => Way::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{
        frames::{seen, tcp, udp, unreachable},
        services::parse,
    };

    const TCP_80: &str = "192.0.2.1:80";
    const UDP_53: &str = "192.0.2.1:53";
    const CLIENT: &str = "198.51.100.7:4000";

    #[test]
    fn direction_is_by_the_services_addresses() {
        let services = ["192.0.2.1:80/tcp", "192.0.2.1:53/udp"]
            .map(|text| parse(text).expect("a service").endpoint);
        let directions = Directions::new(services);
        for (description, frame, way) in [
            ("to one", tcp(CLIENT, TCP_80, 2, (0, 0)), Way::In),
            ("from one", tcp(TCP_80, CLIENT, 2, (0, 0)), Way::Out),
            ("UDP to one", udp(CLIENT, UDP_53, &[]), Way::In),
            ("UDP from one", udp(UDP_53, CLIENT, &[]), Way::Out),
            ("error about one", unreachable(CLIENT, UDP_53), Way::Out),
            ("error to one", unreachable(UDP_53, CLIENT), Way::Other),
            ("other protocol", udp(CLIENT, TCP_80, &[]), Way::Other),
            ("other port", tcp(CLIENT, UDP_53, 2, (0, 0)), Way::Other),
            (
                "other address",
                tcp(CLIENT, "192.0.2.2:80", 2, (0, 0)),
                Way::Other,
            ),
            ("between two", tcp(TCP_80, TCP_80, 2, (0, 0)), Way::Both),
        ] {
            assert_eq!(directions.way(&Ok(seen(&frame))), way, "{description}");
        }
        assert_eq!(directions.way(&Err(Skip::NotIp)), Way::Other);

        let all_ports = Endpoint {
            port: ANY_PORT,
            ..services[0]
        };
        let directions = Directions::new([all_ports]);
        for (frame, way) in [
            (tcp(CLIENT, UDP_53, 2, (0, 0)), Way::In),
            (tcp(TCP_80, CLIENT, 2, (0, 0)), Way::Out),
            (udp(CLIENT, UDP_53, &[]), Way::Other),
        ] {
            assert_eq!(directions.way(&Ok(seen(&frame))), way, "any port");
        }
    }
}
