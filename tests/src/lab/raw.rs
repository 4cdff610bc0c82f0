//! Packets as an attacker sends them: any source, any sequence number.
//!
//! Addresses and fields flow in, whole IP packets flow out. A raw socket takes them
//! as they are and only finds the way, so they reach a host as any others do.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
};

use anyhow::{Result, bail};
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, socket,
    },
};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// RFC 9293's control bits.
pub mod flags {
    /// Reset.
    pub const RST: u8 = 0x04;
    /// Synchronize.
    pub const SYN: u8 = 0x02;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment is significant.
    pub const ACK: u8 = 0x10;
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Whom it claims to be from.
    pub from: SocketAddr,
    /// Whom it is for; of the same family.
    pub to: SocketAddr,
    /// Its sequence number.
    pub sequence: u32,
    /// Its acknowledgment number.
    pub acknowledgment: u32,
    /// Its control bits.
    pub flags: u8,
    /// Whole words of options.
    pub options: &'a [u8],
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Segment<'_> {
    /// The whole IP packet.
    pub fn packet(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(64);
        message.extend(self.from.port().to_be_bytes());
        message.extend(self.to.port().to_be_bytes());
        message.extend(self.sequence.to_be_bytes());
        message.extend(self.acknowledgment.to_be_bytes());
        let words = u8::try_from(5 + self.options.len() / 4).unwrap_or(5);
        message.extend([words << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        message.extend(self.options);
        message.extend(self.payload);
        packet(TCP, self.from.ip(), self.to.ip(), message, 16)
    }
}

/// The whole IP packet of a UDP datagram.
pub fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let mut message = Vec::with_capacity(64);
    message.extend(from.port().to_be_bytes());
    message.extend(to.port().to_be_bytes());
    message.extend(length.to_be_bytes());
    message.extend([0, 0]);
    message.extend(payload);
    packet(UDP, from.ip(), to.ip(), message, 6)
}

/// Puts an IP header in front of a message and fills in the message's checksum.
fn packet(
    protocol: u8,
    from: IpAddr,
    to: IpAddr,
    mut message: Vec<u8>,
    checksum: usize,
) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let (mut packet, addresses) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (
            // The kernel fills in the length and the header's checksum.
            vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0],
            [from.octets(), to.octets()].concat(),
        ),
        (IpAddr::V4(_) | IpAddr::V6(_), _) => {
            let [high, low] = length.to_be_bytes();
            (
                vec![0x60, 0, 0, 0, high, low, protocol, 64],
                [octets(from), octets(to)].concat(),
            )
        }
    };
    let sum = u32::from(protocol) + u32::from(length) + sum(&addresses) + sum(&message);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let value = match !u16::try_from(sum).unwrap_or_default() {
        // Zero says "no checksum" in UDP, and is the same number otherwise.
        0 => u16::MAX,
        value => value,
    };
    message[checksum..checksum + 2].copy_from_slice(&value.to_be_bytes());
    packet.extend(addresses);
    packet.extend(message);
    packet
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// RFC 1071's sum, not folded.
fn sum(bytes: &[u8]) -> u32 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |byte| u32::from(*byte) << 8);
    pairs
        .iter()
        .map(|pair| u32::from(u16::from_be_bytes(*pair)))
        .sum::<u32>()
        + last
}

/// Sends packets to one address, from the network of the thread that makes it.
#[derive(Debug)]
pub struct RawSocket {
    socket: OwnedFd,
    to: SockaddrStorage,
}

impl RawSocket {
    /// A socket for packets to `to`.
    pub fn to(to: IpAddr) -> Result<Self> {
        let family = match to {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        let flags = SockFlag::SOCK_CLOEXEC;
        Ok(Self {
            socket: socket(family, SockType::Raw, flags, SockProtocol::Raw)?,
            to: SockaddrStorage::from(SocketAddr::new(to, 0)),
        })
    }

    /// Sends a whole IP packet; waits while the link is full.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        loop {
            match sendto(self.socket.as_raw_fd(), packet, &self.to, MsgFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::ENOBUFS | Errno::EAGAIN) => thread::yield_now(),
                Err(error) => bail!("sending a packet: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_right() {
        // Summed with its checksum, a message and its pseudo header make ones only.
        for (from, to, header) in [
            ("10.1.2.3:1000", "192.0.2.10:80", 20),
            ("[2001:db8:dead::7]:1000", "[2001:db8:a::10]:80", 40),
        ] {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
            let segment = Segment {
                from,
                to,
                sequence: 0x0102_0304,
                acknowledgment: 5,
                flags: flags::SYN,
                options: &[2, 4, 0x05, 0xb4],
                payload: b"odd",
            };
            for (protocol, packet) in [
                (TCP, segment.packet()),
                (UDP, datagram(from, to, b"question")),
            ] {
                let (ip, message) = packet.split_at(header);
                let addresses = if from.is_ipv4() { &ip[12..] } else { &ip[8..] };
                let length = u32::try_from(message.len()).unwrap();
                let mut total = u32::from(protocol) + length + sum(addresses) + sum(message);
                while total > 0xffff {
                    total = (total & 0xffff) + (total >> 16);
                }
                assert_eq!(total, 0xffff, "{from} {protocol}");
            }
        }
    }
}
