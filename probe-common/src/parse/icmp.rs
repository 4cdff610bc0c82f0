//! ICMP and `ICMPv6` messages that say a packet could not be delivered (RFC 792,
//! RFC 4443), and the packet that they are about.

use crate::{
    address::Address,
    packet::Packet,
    service::{TCP, UDP},
    skip::Skip,
};

use super::{
    ICMP, Network,
    network::{Ipv4Header, Ipv6Header},
};

const UNREACHABLE_V4: u8 = 3;
const UNREACHABLE_V6: u8 = 1;
/// "Fragmentation needed" is about a packet's size, not about its destination.
const FRAGMENTATION_NEEDED: u8 = 4;
const HEADER_LENGTH: usize = 8;
const IPV6_LENGTH: usize = 40;

/// The packet that could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Who sent it.
    pub source: Address,
    /// For whom it was.
    pub destination: Address,
    /// Its transport protocol: TCP or UDP.
    pub protocol: u8,
    /// Its source port.
    pub source_port: u16,
    /// Its destination port.
    pub destination_port: u16,
    /// Where its payload, or the rest of its TCP header, starts.
    pub rest_offset: usize,
}

/// The TCP or UDP packet that an "unreachable" message is about; none for other
/// messages.
///
/// # Errors
/// When the message is cut short.
#[inline(always)]
pub fn undelivered<P: Packet + ?Sized>(
    packet: &P,
    network: &Network,
) -> Result<Option<Undelivered>, Skip> {
    let offset = network.transport_offset;
    let message: [u8; 4] = packet.read(offset).ok_or(Skip::Truncated)?;
    let [kind, code, ..] = message;
    let embedded = offset + HEADER_LENGTH;
    let (source, destination, protocol, transport) = if network.protocol == ICMP {
        if kind != UNREACHABLE_V4 || code == FRAGMENTATION_NEEDED {
            return Ok(None);
        }
        let header: Ipv4Header = packet.read(embedded).ok_or(Skip::Truncated)?;
        (
            Address::v4(header.source),
            Address::v4(header.destination),
            header.protocol,
            embedded + (header.version_ihl & 0xf) as usize * 4,
        )
    } else {
        if kind != UNREACHABLE_V6 {
            return Ok(None);
        }
        let header: Ipv6Header = packet.read(embedded).ok_or(Skip::Truncated)?;
        (
            Address::v6(header.source),
            Address::v6(header.destination),
            header.next_header,
            embedded + IPV6_LENGTH,
        )
    };
    if protocol != TCP && protocol != UDP {
        return Ok(None);
    }
    // Eight bytes of it are always there (RFC 792).
    let ports: [u16; 4] = packet.read(transport).ok_or(Skip::Truncated)?;
    Ok(Some(Undelivered {
        source,
        destination,
        protocol,
        source_port: u16::from_be(ports[0]),
        destination_port: u16::from_be(ports[1]),
        rest_offset: transport + 8,
    }))
}
