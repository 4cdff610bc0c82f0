//! Frames for the tests of this module: Ethernet, IPv4, and TCP, UDP or ICMP without
//! checksums.

use std::{net::SocketAddrV4, sync::LazyLock};

use probe_common::parse::tunnel::Tunnels;

use crate::replay::look::{Looker, Seen};

/// An IPv4 packet in an Ethernet frame.
pub fn ipv4(protocol: u8, source: SocketAddrV4, destination: SocketAddrV4, rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([8, 0]);
    frame.extend(packet(protocol, source, destination, rest));
    frame
}

fn packet(protocol: u8, source: SocketAddrV4, destination: SocketAddrV4, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + rest.len()).expect("short");
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    packet.extend(source.ip().octets());
    packet.extend(destination.ip().octets());
    packet.extend(rest);
    packet
}

fn ports(source: SocketAddrV4, destination: SocketAddrV4) -> Vec<u8> {
    [
        source.port().to_be_bytes(),
        destination.port().to_be_bytes(),
    ]
    .concat()
}

/// A TCP segment.
pub fn tcp(source: &str, destination: &str, flags: u8, numbers: (u32, u32)) -> Vec<u8> {
    let (source, destination) = (address(source), address(destination));
    let mut segment = ports(source, destination);
    segment.extend(numbers.0.to_be_bytes());
    segment.extend(numbers.1.to_be_bytes());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    ipv4(6, source, destination, &segment)
}

/// A UDP datagram.
pub fn udp(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = (address(source), address(destination));
    ipv4(
        17,
        source,
        destination,
        &datagram(source, destination, payload),
    )
}

fn datagram(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("short");
    let mut datagram = ports(source, destination);
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

/// "Port unreachable" about a datagram from `source` to `destination`.
pub fn unreachable(source: &str, destination: &str) -> Vec<u8> {
    let (source, destination) = (address(source), address(destination));
    let about = packet(17, source, destination, &datagram(source, destination, &[]));
    let message = [&[3, 3, 0, 0, 0, 0, 0, 0], about.as_slice()].concat();
    ipv4(1, destination, source, &message)
}

/// A DNS message with this ID, asking for one name.
pub fn dns(id: u16, flags: u16) -> Vec<u8> {
    let mut message = Vec::new();
    for half in [id, flags, 1, 0, 0, 0] {
        message.extend(half.to_be_bytes());
    }
    message.extend(b"\x04name\0\0\x01\0\x01");
    message
}

fn address(text: &str) -> SocketAddrV4 {
    text.parse().expect("a socket address")
}

/// What is seen in a frame without tunnels.
pub fn seen(frame: &[u8]) -> Seen {
    static LOOKER: LazyLock<Looker> = LazyLock::new(|| Looker::new(Tunnels::default()));
    LOOKER.look(frame).expect("a packet that can be measured")
}
