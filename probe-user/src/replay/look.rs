//! A first look at a frame, by the parser of the programs themselves: who talks to
//! whom, in the inner packet where the frame is a tunnel's.

use std::net::IpAddr;

use probe_common::{
    address::Address,
    host::empty_state,
    parse::{
        Datagram, ICMP, ICMPV6, Segment, datagram, icmp::undelivered, network, segment,
        tunnel::Tunnels,
    },
    service::{TCP, UDP},
    skip::Skip,
    state::State,
};
use probe_core::config::{Endpoint, Protocol};

/// An address and a port.
pub type End = (Address, u16);

/// What is seen in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The sender.
    pub source: End,
    /// The receiver.
    pub destination: End,
    /// What it is.
    pub what: What,
}

/// The transport of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A TCP segment.
    Segment(Segment),
    /// A UDP datagram.
    Datagram(Datagram),
    /// An ICMP message that says that a packet from `destination` to `source`, of
    /// this protocol, could not be delivered: as if its receiver had answered.
    Unreachable(Protocol),
}

/// Looks at frames.
pub struct Looker {
    tunnels: Tunnels,
    /// The parser wants one, though without services.
    state: Box<State>,
}

impl Looker {
    /// Sees what is in these tunnels.
    pub fn new(tunnels: Tunnels) -> Self {
        Self {
            tunnels,
            state: empty_state(),
        }
    }

    /// What is in a frame, or why nothing can be seen.
    pub fn look(&self, frame: &[u8]) -> Result<Seen, Skip> {
        let network = network(frame, self.tunnels, &self.state.services)?;
        let (what, source, destination) = match network.protocol {
            TCP => {
                let segment = segment(frame, &network)?;
                let ports = (segment.source_port, segment.destination_port);
                (
                    What::Segment(segment),
                    (network.source, ports.0),
                    (network.destination, ports.1),
                )
            }
            UDP => {
                let datagram = datagram(frame, &network)?;
                let ports = (datagram.source_port, datagram.destination_port);
                (
                    What::Datagram(datagram),
                    (network.source, ports.0),
                    (network.destination, ports.1),
                )
            }
            ICMP | ICMPV6 => {
                let about = undelivered(frame, &network)?.ok_or(Skip::NotTransport)?;
                let protocol = if about.protocol == TCP {
                    Protocol::Tcp
                } else {
                    Protocol::Udp
                };
                (
                    What::Unreachable(protocol),
                    (about.destination, about.destination_port),
                    (about.source, about.source_port),
                )
            }
            _ => return Err(Skip::NotTransport),
        };
        Ok(Seen {
            source,
            destination,
            what,
        })
    }
}

/// The endpoint at an end of a packet.
pub fn endpoint((address, port): End, protocol: Protocol) -> Endpoint {
    Endpoint {
        address: IpAddr::from(address.octets()).to_canonical(),
        port,
        protocol,
    }
}
