//! Packets from their fields: as little as the measurement looks at.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use probe_common::{
    parse::{ICMP, ICMPV6},
    service::{TCP, UDP},
};

/// The fields of a TCP segment.
pub struct Segment<'a> {
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgment: u32,
    pub length: u16,
    pub bytes: &'a [u8],
    pub wrong_checksum: bool,
}

const TUNNEL_ENDS: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 2)];
const IPV4_INSIDE: u8 = 4;
const IPV6_INSIDE: u8 = 41;
const WINDOW: u16 = 0x4000;

/// An Ethernet frame around an IP packet.
pub fn ethernet(packet: &[u8]) -> Vec<u8> {
    let ethertype: [u8; 2] = if is_ipv6(packet) {
        [0x86, 0xdd]
    } else {
        [0x08, 0x00]
    };
    [&[2; 12], ethertype.as_slice(), packet].concat()
}

/// IP in IPv4 (RFC 2003, RFC 4213).
pub fn tunnel(packet: &[u8]) -> Vec<u8> {
    let protocol = if is_ipv6(packet) {
        IPV6_INSIDE
    } else {
        IPV4_INSIDE
    };
    let [from, to] = TUNNEL_ENDS.map(IpAddr::V4);
    ip(from, to, protocol, claimed(packet), packet)
}

/// A TCP segment in an IP packet.
pub fn tcp(from: SocketAddr, to: SocketAddr, segment: &Segment<'_>) -> Vec<u8> {
    let mut bytes = ports(from, to);
    bytes.extend(segment.sequence.to_be_bytes());
    bytes.extend(segment.acknowledgment.to_be_bytes());
    bytes.extend([5 << 4, segment.flags]);
    bytes.extend(WINDOW.to_be_bytes());
    bytes.extend([0; 4]);
    let length = 20 + segment.length;
    let checksum = checksum(from.ip(), to.ip(), length, &bytes) ^ u16::from(segment.wrong_checksum);
    bytes[16..18].copy_from_slice(&checksum.to_be_bytes());
    bytes.extend(segment.bytes);
    ip(from.ip(), to.ip(), TCP, length, &bytes)
}

/// A UDP datagram in an IP packet, without a checksum.
pub fn udp(from: SocketAddr, to: SocketAddr, length: u16, bytes: &[u8]) -> Vec<u8> {
    let length = length.saturating_add(8);
    let mut datagram = ports(from, to);
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(bytes);
    ip(from.ip(), to.ip(), UDP, length, &datagram)
}

/// An ICMP "unreachable" from the service's host about a client's packet.
pub fn unreachable(
    client: SocketAddr,
    service: SocketAddr,
    protocol: u8,
    code: u8,
    bytes: &[u8],
) -> Vec<u8> {
    let (kind, icmp) = match client.ip() {
        IpAddr::V4(_) => (3, ICMP),
        IpAddr::V6(_) => (1, ICMPV6),
    };
    let undelivered = [ports(client, service), bytes.to_vec()].concat();
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend(ip(client.ip(), service.ip(), protocol, 100, &undelivered));
    ip(service.ip(), client.ip(), icmp, 200, &message)
}

fn ports(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    [from.port().to_be_bytes(), to.port().to_be_bytes()].concat()
}

/// An IP packet that claims to carry `length` bytes.
fn ip(from: IpAddr, to: IpAddr, protocol: u8, length: u16, bytes: &[u8]) -> Vec<u8> {
    let header = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [high, low] = length.saturating_add(20).to_be_bytes();
            let start = [0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0];
            [start.as_slice(), &from.octets(), &to.octets()].concat()
        }
        (from, to) => {
            let [high, low] = length.to_be_bytes();
            let octets = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            let start = [0x60, 0, 0, 0, high, low, protocol, 64];
            [start.as_slice(), &octets(from), &octets(to)].concat()
        }
    };
    [&header, bytes].concat()
}

fn is_ipv6(packet: &[u8]) -> bool {
    packet[0] >> 4 == 6
}

/// The length that a packet's header claims.
fn claimed(packet: &[u8]) -> u16 {
    let at = |index: usize| u16::from_be_bytes([packet[index], packet[index + 1]]);
    if is_ipv6(packet) {
        at(4).saturating_add(40)
    } else {
        at(2)
    }
}

/// The checksum of a TCP header (RFC 9293 section 3.1), as if the payload were zero.
fn checksum(from: IpAddr, to: IpAddr, length: u16, header: &[u8]) -> u16 {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let [high, low] = length.to_be_bytes();
    let pseudo = [octets(from), octets(to), vec![0, TCP, high, low]].concat();
    let mut sum: u32 = pseudo
        .chunks_exact(2)
        .chain(header.chunks_exact(2))
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [.., high, low] = sum.to_be_bytes();
    !u16::from_be_bytes([high, low])
}
