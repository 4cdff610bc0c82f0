//! IPv4 with options (RFC 791), IPv6 with extension headers (RFC 8200).

use zerocopy::FromBytes;

use crate::{address::Address, packet::Packet, skip::Skip, verifier::bounded};

use super::{
    MAX_OFFSET,
    link::{ETHERTYPE_IPV4, ETHERTYPE_IPV6},
};

const MAX_EXTENSION_HEADERS: usize = 6;
const HEADER_HOP_BY_HOP: u8 = 0;
const HEADER_ROUTING: u8 = 43;
const HEADER_FRAGMENT: u8 = 44;
const HEADER_AUTHENTICATION: u8 = 51;
const HEADER_DESTINATION_OPTIONS: u8 = 60;
const IPV6_LENGTH: usize = 40;

const IPV4_MORE_FRAGMENTS: u16 = 0x2000;
const IPV4_FRAGMENT_OFFSET: u16 = 0x1fff;
const IPV6_MORE_FRAGMENTS: u16 = 1;
const IPV6_FRAGMENT_OFFSET: u16 = 0xfff8;

/// What the network layer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Source address; IPv4 as IPv4-mapped IPv6.
    pub source: Address,
    /// Destination address; IPv4 as IPv4-mapped IPv6.
    pub destination: Address,
    /// The transport protocol.
    pub protocol: u8,
    /// Whether more fragments follow this first one.
    pub is_fragment: bool,
    /// Length of the IP packet in bytes.
    pub ip_length: u32,
    /// Length of the IP header with options or extension headers, in bytes.
    pub header_length: u32,
    /// Where the transport header starts in the frame.
    pub transport_offset: usize,
}

impl Network {
    /// Whether the kernel would answer. It drops packets from where nobody can be
    /// (`ip_route_input_slow`, `ipv6_rcv`) without a word.
    #[inline(always)]
    pub fn can_be_answered(&self) -> bool {
        if self.source.is_loopback() {
            return self.destination.is_loopback();
        }
        self.source.is_source() && self.source != self.destination
    }
}

#[derive(FromBytes)]
#[repr(C)]
pub(super) struct Ipv4Header {
    pub version_ihl: u8,
    _tos: u8,
    total_length: u16,
    _identification: u16,
    fragment: u16,
    _ttl: u8,
    pub protocol: u8,
    _checksum: u16,
    pub source: u32,
    pub destination: u32,
}

#[derive(FromBytes)]
#[repr(C)]
pub(super) struct Ipv6Header {
    _version_class_flow: u32,
    payload_length: u16,
    pub next_header: u8,
    _hop_limit: u8,
    pub source: [u64; 2],
    pub destination: [u64; 2],
}

#[derive(FromBytes)]
#[repr(C)]
struct ExtensionHeader {
    next_header: u8,
    length: u8,
    fragment: u16,
    _rest: u32,
}

#[inline(always)]
pub fn network<P: Packet + ?Sized>(
    packet: &P,
    ethertype: u16,
    offset: usize,
) -> Result<Network, Skip> {
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(packet, offset),
        ETHERTYPE_IPV6 => ipv6(packet, offset),
        _ => Err(Skip::NotIp),
    }
}

#[inline(always)]
fn ipv4<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<Network, Skip> {
    let header: Ipv4Header = packet.read(offset).ok_or(Skip::Truncated)?;
    let header_length = u32::from(header.version_ihl & 0xf) * 4;
    if header_length < 20 {
        return Err(Skip::Malformed);
    }
    let fragment = u16::from_be(header.fragment);
    if fragment & IPV4_FRAGMENT_OFFSET != 0 {
        return Err(Skip::LaterFragment);
    }
    Ok(Network {
        source: Address::v4(header.source),
        destination: Address::v4(header.destination),
        protocol: header.protocol,
        is_fragment: fragment & IPV4_MORE_FRAGMENTS != 0,
        ip_length: length(packet, offset, header.total_length, 0),
        header_length,
        transport_offset: offset + header_length as usize,
    })
}

#[inline(always)]
fn ipv6<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<Network, Skip> {
    let header: Ipv6Header = packet.read(offset).ok_or(Skip::Truncated)?;
    let mut next = header.next_header;
    let mut header_length = IPV6_LENGTH;
    let mut is_fragment = false;
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
                let fragment = u16::from_be(extension.fragment);
                if fragment & IPV6_FRAGMENT_OFFSET != 0 {
                    return Err(Skip::LaterFragment);
                }
                is_fragment = fragment & IPV6_MORE_FRAGMENTS != 0;
                8
            }
            // Counted in units of 8 bytes, less 1 (RFC 8200 section 4.3).
            _ => (extension.length as usize + 1) * 8,
        };
        header_length = bounded(header_length + length, MAX_OFFSET);
        next = extension.next_header;
    }
    if is_extension(next) {
        return Err(Skip::TooManyHeaders);
    }
    Ok(Network {
        source: Address::v6(header.source),
        destination: Address::v6(header.destination),
        protocol: next,
        is_fragment,
        ip_length: length(packet, offset, header.payload_length, IPV6_LENGTH as u32),
        header_length: header_length as u32,
        transport_offset: offset + header_length,
    })
}

/// The length of an IP packet by its length field, which leaves `uncounted` bytes
/// out. A buffer of more than 64 KiB that is still to be segmented has none (BIG
/// TCP): it is as long as the frame.
#[inline(always)]
fn length<P: Packet + ?Sized>(packet: &P, offset: usize, field: u16, uncounted: u32) -> u32 {
    match u16::from_be(field) {
        0 => packet.length().saturating_sub(offset as u32),
        length => u32::from(length) + uncounted,
    }
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
