//! The services that the traffic is for: one of everything that is measured in its
//! own way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use probe_common::{
    address::Address,
    host::HostTables,
    parse::tunnel::Tunnels,
    service::{ANY_PORT, Options, Service, TCP, UDP, port_protocol},
    trial::Kind,
};

/// Where a service answers, and what it speaks.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its port, or [`ANY_PORT`].
    pub port: u16,
    /// Its IP protocol.
    pub protocol: u8,
    /// What the sensor is to do for it.
    pub options: Options,
}

/// How many services there are.
pub const COUNT: usize = 8;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
const ANY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x10));
/// An address without services.
pub const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 99));

/// The services, by their ids.
pub const ALL: [Endpoint; COUNT] = [
    endpoint(V4, 80, TCP, Options::HTTP),
    endpoint(V6, 80, TCP, 0),
    endpoint(V4, 25, TCP, Options::SERVER_FIRST),
    endpoint(V4, 53, TCP, Options::DNS),
    endpoint(V4, 53, UDP, Options::DNS),
    endpoint(V6, 443, UDP, Options::QUIC),
    endpoint(V4, 123, UDP, 0),
    endpoint(ANY_V4, ANY_PORT, TCP, 0),
];

const fn endpoint(address: IpAddr, port: u16, protocol: u8, options: u32) -> Endpoint {
    Endpoint {
        address,
        port,
        protocol,
        options: Options(options),
    }
}

/// The kinds of trials of a service.
pub fn kinds(service: usize) -> &'static [Kind] {
    if ALL[service].protocol == TCP {
        Kind::TCP
    } else {
        Kind::UDP
    }
}

/// Empty tables for the services, with all tunnels.
pub fn tables() -> HostTables {
    let services: Vec<Service> = ALL
        .iter()
        .zip(0..)
        .map(|(endpoint, id)| {
            let address = match endpoint.address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            Service::new(
                Address::from_octets(address.octets()),
                port_protocol(endpoint.port, endpoint.protocol),
                id,
                endpoint.options,
            )
        })
        .collect();
    HostTables::new(&services, Tunnels::all(), |_, kind| deadline_ns(kind))
}

/// Deadlines of the usual sizes.
fn deadline_ns(kind: Kind) -> u64 {
    const MS: u64 = 1_000_000;
    match kind {
        Kind::Handshake => 3_000 * MS,
        Kind::Greet | Kind::Request | Kind::Deliver => 1_000 * MS,
        Kind::Connect | Kind::Finish | Kind::Status | Kind::Answer | Kind::Resolve | Kind::Quic => {
            100 * MS
        }
    }
}
