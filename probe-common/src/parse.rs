//! From a frame's bytes to the TCP segment in it, or to the reason why there is
//! none to measure.
//!
//! A cursor walks the headers: each step checks bounds, advances, and names the
//! next protocol. Ethernet, up to two VLAN tags (IEEE 802.1Q, 802.1ad), IPv4 with
//! options (RFC 791), IPv6 with extension headers (RFC 8200), TCP (RFC 9293).

use zerocopy::FromBytes;

use crate::{packet::Packet, service::Address, skip::Skip, tcp::Flags, verifier::bounded};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const MAX_VLAN_TAGS: usize = 2;
const MAX_EXTENSION_HEADERS: usize = 6;

const PROTOCOL_TCP: u8 = 6;
const HEADER_HOP_BY_HOP: u8 = 0;
const HEADER_ROUTING: u8 = 43;
const HEADER_FRAGMENT: u8 = 44;
const HEADER_AUTHENTICATION: u8 = 51;
const HEADER_DESTINATION_OPTIONS: u8 = 60;

const ETHERNET_LENGTH: usize = 14;
const VLAN_LENGTH: usize = 4;
const IPV6_LENGTH: usize = 40;

/// No sum of an Ethernet header and its tags exceeds it.
const MAX_NETWORK_OFFSET: usize = 0x1f;
/// No sum of the headers above comes near it.
const MAX_TRANSPORT_OFFSET: usize = 0x3fff;

/// More-fragments flag and fragment offset of IPv4; "don't fragment" is no matter.
const IPV4_FRAGMENT_BITS: u16 = 0x3fff;
/// Fragment offset and more-fragments flag of IPv6's fragment header.
const IPV6_FRAGMENT_BITS: u16 = 0xfff9;

/// A TCP segment and what of its surroundings is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Source address; IPv4 as IPv4-mapped IPv6.
    pub source: Address,
    /// Destination address; IPv4 as IPv4-mapped IPv6.
    pub destination: Address,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number; means nothing without ACK.
    pub acknowledgment: u32,
    /// Control bits.
    pub flags: Flags,
    /// Length of the IP packet in bytes.
    pub ip_length: u32,
    /// Length of the IP and TCP headers together in bytes.
    pub headers_length: u32,
    /// The checksum field, in wire order.
    pub checksum: u16,
    /// Where the TCP header starts in the frame.
    pub tcp_offset: usize,
    /// Length of the TCP header in bytes: 20 to 60.
    pub tcp_header_length: u32,
}

impl Segment {
    /// Bytes of payload.
    #[inline(always)]
    pub fn payload_length(&self) -> u32 {
        self.ip_length.saturating_sub(self.headers_length)
    }
}

#[derive(FromBytes)]
#[repr(C)]
struct Ipv4Header {
    version_ihl: u8,
    _tos: u8,
    total_length: u16,
    _identification: u16,
    fragment: u16,
    _ttl: u8,
    protocol: u8,
    _checksum: u16,
    source: u32,
    destination: u32,
}

#[derive(FromBytes)]
#[repr(C)]
struct Ipv6Header {
    _version_class_flow: u32,
    payload_length: u16,
    next_header: u8,
    _hop_limit: u8,
    source: [u32; 4],
    destination: [u32; 4],
}

#[derive(FromBytes)]
#[repr(C)]
struct ExtensionHeader {
    next_header: u8,
    length: u8,
    fragment: u16,
    _rest: u32,
}

#[derive(FromBytes)]
#[repr(C)]
struct TcpHeader {
    source_port: u16,
    destination_port: u16,
    sequence: u32,
    acknowledgment: u32,
    data_offset: u8,
    flags: u8,
    _window: u16,
    checksum: u16,
    _urgent: u16,
}

/// What the network layer says.
struct Network {
    source: Address,
    destination: Address,
    protocol: u8,
    ip_length: u32,
    header_length: u32,
    transport_offset: usize,
}

/// Parses an Ethernet frame down to its TCP segment.
///
/// # Errors
/// The reason why there is no TCP segment to measure.
#[inline(always)]
pub fn parse<P: Packet + ?Sized>(packet: &P) -> Result<Segment, Skip> {
    let (ethertype, offset) = ethernet(packet)?;
    let network = match ethertype {
        ETHERTYPE_IPV4 => ipv4(packet, offset)?,
        ETHERTYPE_IPV6 => ipv6(packet, offset)?,
        ETHERTYPE_VLAN | ETHERTYPE_QINQ => return Err(Skip::TooManyHeaders),
        _ => return Err(Skip::NotIp),
    };
    if network.protocol != PROTOCOL_TCP {
        return Err(Skip::NotTransport);
    }
    tcp(packet, &network)
}

#[inline(always)]
fn ethernet<P: Packet + ?Sized>(packet: &P) -> Result<(u16, usize), Skip> {
    // One read of the whole header proves its length; the type is its last field.
    let header: [u16; ETHERNET_LENGTH / 2] = packet.read(0).ok_or(Skip::Truncated)?;
    let mut ethertype = u16::from_be(header[6]);
    let mut offset = ETHERNET_LENGTH;
    for _ in 0..MAX_VLAN_TAGS {
        if ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_QINQ {
            break;
        }
        let tag: [u16; 2] = packet.read(offset).ok_or(Skip::Truncated)?;
        ethertype = u16::from_be(tag[1]);
        offset += VLAN_LENGTH;
    }
    Ok((ethertype, bounded(offset, MAX_NETWORK_OFFSET)))
}

#[inline(always)]
fn ipv4<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<Network, Skip> {
    let header: Ipv4Header = packet.read(offset).ok_or(Skip::Truncated)?;
    let header_length = u32::from(header.version_ihl & 0xf) * 4;
    if header_length < 20 {
        return Err(Skip::Malformed);
    }
    if u16::from_be(header.fragment) & IPV4_FRAGMENT_BITS != 0 {
        return Err(Skip::Fragment);
    }
    Ok(Network {
        source: Address::v4(header.source),
        destination: Address::v4(header.destination),
        protocol: header.protocol,
        ip_length: u32::from(u16::from_be(header.total_length)),
        header_length,
        transport_offset: offset + header_length as usize,
    })
}

#[inline(always)]
fn ipv6<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<Network, Skip> {
    let header: Ipv6Header = packet.read(offset).ok_or(Skip::Truncated)?;
    let mut next = header.next_header;
    let mut header_length = IPV6_LENGTH;
    for _ in 0..MAX_EXTENSION_HEADERS {
        if !is_extension(next) {
            break;
        }
        let extension: ExtensionHeader =
            packet.read(offset + header_length).ok_or(Skip::Truncated)?;
        let length = match next {
            // Counted in units of 4 bytes, less 2 (RFC 4302 section 2.2).
            HEADER_AUTHENTICATION => (extension.length as usize + 2) * 4,
            HEADER_FRAGMENT => {
                if u16::from_be(extension.fragment) & IPV6_FRAGMENT_BITS != 0 {
                    return Err(Skip::Fragment);
                }
                8
            }
            // Counted in units of 8 bytes, less 1 (RFC 8200 section 4.3).
            _ => (extension.length as usize + 1) * 8,
        };
        header_length = bounded(header_length + length, MAX_TRANSPORT_OFFSET);
        next = extension.next_header;
    }
    if is_extension(next) {
        return Err(Skip::TooManyHeaders);
    }
    Ok(Network {
        source: Address::v6(header.source),
        destination: Address::v6(header.destination),
        protocol: next,
        ip_length: u32::from(u16::from_be(header.payload_length)) + IPV6_LENGTH as u32,
        header_length: header_length as u32,
        transport_offset: offset + header_length,
    })
}

#[inline(always)]
fn is_extension(next_header: u8) -> bool {
    matches!(
        next_header,
        HEADER_HOP_BY_HOP
            | HEADER_ROUTING
            | HEADER_FRAGMENT
            | HEADER_AUTHENTICATION
            | HEADER_DESTINATION_OPTIONS
    )
}

#[inline(always)]
fn tcp<P: Packet + ?Sized>(packet: &P, network: &Network) -> Result<Segment, Skip> {
    let offset = bounded(network.transport_offset, MAX_TRANSPORT_OFFSET);
    let header: TcpHeader = packet.read(offset).ok_or(Skip::Truncated)?;
    let tcp_header_length = u32::from(header.data_offset >> 4) * 4;
    let headers_length = network.header_length + tcp_header_length;
    // A GSO packet above 64 KiB says 0 for its length (BIG TCP); the hook knows better.
    if tcp_header_length < 20 || (network.ip_length != 0 && network.ip_length < headers_length) {
        return Err(Skip::Malformed);
    }
    Ok(Segment {
        source: network.source,
        destination: network.destination,
        source_port: u16::from_be(header.source_port),
        destination_port: u16::from_be(header.destination_port),
        sequence: u32::from_be(header.sequence),
        acknowledgment: u32::from_be(header.acknowledgment),
        flags: Flags(header.flags),
        checksum: header.checksum,
        ip_length: network.ip_length,
        headers_length,
        tcp_offset: offset,
        tcp_header_length,
    })
}
