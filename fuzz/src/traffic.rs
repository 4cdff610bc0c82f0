//! Bytes as traffic: each step some time after the one before, one way, one frame.
//!
//! ```text
//! what  who  when │ TCP: flags, sequence (2), acknowledgment (2), length │ count, bytes
//!                 │ UDP: length (2)                                      │ count, bytes
//!                 │ ICMP: code                                           │ count, bytes
//!                 │ raw:                                                 │ count (2), bytes
//! ```
//! Numbers are relative to what client and service began with, so that a handshake is
//! a matter of small numbers, and checksums are right unless a bit asks otherwise: a
//! fuzzer finds the way through a connection, rather than spend its time on hashes.

mod frame;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use probe_common::{
    measure::Direction,
    service::{TCP, UDP},
};

use crate::services;

/// A frame and when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// Which way it goes.
    pub direction: Direction,
    /// Whether it comes through a tunnel.
    pub tunnelled: bool,
    /// Whether its transport checksum is wrong.
    pub wrong_checksum: bool,
    /// One of four clients.
    pub client: u8,
    /// A service by its id; from [`services::COUNT`] on it is nobody's.
    pub service: u8,
    /// When, as mantissa and exponent.
    pub time: u8,
    /// What is in it.
    pub content: Content<'a>,
}

/// What a frame carries. Lengths are claims of the headers: as in captures and
/// fragments, there may be less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A TCP segment.
    Tcp {
        /// Its control bits.
        flags: u8,
        /// Relative to the sender's initial sequence number.
        sequence: i16,
        /// Relative to the receiver's.
        acknowledgment: i16,
        /// Bytes of payload, as claimed.
        length: u8,
        /// The first of them.
        bytes: &'a [u8],
    },
    /// A UDP datagram.
    Udp {
        /// Bytes of payload, as claimed.
        length: u16,
        /// The first of them.
        bytes: &'a [u8],
    },
    /// An ICMP "unreachable" of the service's host about a packet of the client.
    Unreachable {
        /// The code.
        code: u8,
        /// What follows the ports in the packet that it is about.
        bytes: &'a [u8],
    },
    /// A whole frame.
    Raw(&'a [u8]),
}

const OUT: u8 = 0x04;
const TUNNELLED: u8 = 0x08;
const WRONG_CHECKSUM: u8 = 0x10;
const MAX_BYTES: u8 = 0x7f;
const MAX_FRAME: u16 = 0x7ff;

/// The steps in an input. It ends where no further step begins; what is missing of
/// the last one is zero.
pub fn steps(input: &[u8]) -> impl Iterator<Item = Step<'_>> {
    let mut reader = Reader(input);
    std::iter::from_fn(move || reader.step())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn step(&mut self) -> Option<Step<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let (what, who, time) = (self.byte(), self.byte(), self.byte());
        let content = match what & 3 {
            0 => Content::Tcp {
                flags: self.byte(),
                sequence: self.word().cast_signed(),
                acknowledgment: self.word().cast_signed(),
                length: self.byte(),
                bytes: self.counted(),
            },
            1 => Content::Udp {
                length: self.word(),
                bytes: self.counted(),
            },
            2 => Content::Unreachable {
                code: self.byte(),
                bytes: self.counted(),
            },
            _ => {
                let count = self.word() & MAX_FRAME;
                Content::Raw(self.take(count.into()))
            }
        };
        Some(Step {
            direction: if what & OUT == 0 {
                Direction::In
            } else {
                Direction::Out
            },
            tunnelled: what & TUNNELLED != 0,
            wrong_checksum: what & WRONG_CHECKSUM != 0,
            client: who >> 4 & 3,
            service: who & 0xf,
            time,
            content,
        })
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn counted(&mut self) -> &'a [u8] {
        let count = self.byte() & MAX_BYTES;
        self.take(count.into())
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

impl Step<'_> {
    /// The bytes that mean this step.
    ///
    /// # Panics
    /// When it holds more bytes than a step has room for.
    pub fn encode(&self) -> Vec<u8> {
        let counted = |bytes: &[u8]| {
            let count = u8::try_from(bytes.len()).expect("few bytes");
            assert!(count <= MAX_BYTES, "few bytes");
            [&[count], bytes].concat()
        };
        let (kind, content) = match self.content {
            Content::Tcp {
                flags,
                sequence,
                acknowledgment,
                length,
                bytes,
            } => {
                let [s0, s1] = sequence.to_le_bytes();
                let [a0, a1] = acknowledgment.to_le_bytes();
                let fields = vec![flags, s0, s1, a0, a1, length];
                (0, [fields, counted(bytes)].concat())
            }
            Content::Udp { length, bytes } => {
                (1, [length.to_le_bytes().to_vec(), counted(bytes)].concat())
            }
            Content::Unreachable { code, bytes } => (2, [vec![code], counted(bytes)].concat()),
            Content::Raw(frame) => {
                let count = u16::try_from(frame.len()).expect("a short frame");
                assert!(count <= MAX_FRAME, "a short frame");
                (3, [&count.to_le_bytes(), frame].concat())
            }
        };
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let what = kind
            | bit(self.direction == Direction::Out, OUT)
            | bit(self.tunnelled, TUNNELLED)
            | bit(self.wrong_checksum, WRONG_CHECKSUM);
        let who = self.client << 4 | self.service;
        [vec![what, who, self.time], content].concat()
    }

    /// How long after the step before it comes: nothing, or 1 µs to some hours.
    pub fn after_ns(&self) -> u64 {
        u64::from(self.time & 0xf) << (10 + 2 * (self.time >> 4))
    }

    /// Whose counters it may change.
    pub fn addressee(&self) -> Addressee {
        let protocol = match self.content {
            Content::Tcp { .. } => TCP,
            Content::Udp { .. } => UDP,
            Content::Unreachable { .. } => self.protocol(),
            Content::Raw(_) => return Addressee::Unknown,
        };
        match services::ALL.get(usize::from(self.service)) {
            None => Addressee::Nobody,
            Some(endpoint) if endpoint.protocol == protocol => {
                Addressee::Service(self.service.into())
            }
            // The same port by the other protocol may be another service's.
            Some(_) => Addressee::Unknown,
        }
    }

    /// The Ethernet frame.
    pub fn frame(&self) -> Vec<u8> {
        let (client, service) = self.ends();
        let (from, to) = match self.direction {
            Direction::In => (client, service),
            Direction::Out => (service, client),
        };
        let packet = match self.content {
            Content::Raw(frame) => return frame.to_vec(),
            Content::Tcp {
                flags,
                sequence,
                acknowledgment,
                length,
                bytes,
            } => {
                let (own, others) = self.initial_numbers();
                let segment = frame::Segment {
                    flags,
                    sequence: own.wrapping_add_signed(sequence.into()),
                    acknowledgment: others.wrapping_add_signed(acknowledgment.into()),
                    length: length.into(),
                    bytes,
                    wrong_checksum: self.wrong_checksum,
                };
                frame::tcp(from, to, &segment)
            }
            Content::Udp { length, bytes } => frame::udp(from, to, length, bytes),
            Content::Unreachable { code, bytes } => {
                frame::unreachable(client, service, self.protocol(), code, bytes)
            }
        };
        if self.tunnelled {
            frame::ethernet(&frame::tunnel(&packet))
        } else {
            frame::ethernet(&packet)
        }
    }

    fn protocol(&self) -> u8 {
        services::ALL
            .get(usize::from(self.service))
            .map_or(TCP, |endpoint| endpoint.protocol)
    }

    /// Initial sequence numbers of sender and receiver. Those of the first client and
    /// of every other service wrap soon.
    fn initial_numbers(&self) -> (u32, u32) {
        let client = 0xffff_fffe_u32.wrapping_add(u32::from(self.client) * 0x3456_789a);
        let service = 0xffff_ffc0_u32.wrapping_mul(u32::from(self.service & 1) + 1);
        match self.direction {
            Direction::In => (client, service),
            Direction::Out => (service, client),
        }
    }

    fn ends(&self) -> (SocketAddr, SocketAddr) {
        let service = match services::ALL.get(usize::from(self.service)) {
            Some(endpoint) => SocketAddr::new(endpoint.address, endpoint.port.max(1)),
            None => SocketAddr::new(services::NOBODY, 80),
        };
        let client = match service.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(198, 51, 100 + self.client, 7)),
            IpAddr::V6(_) => {
                let network = 0xc0 + u16::from(self.client);
                IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, network, 0, 0, 0, 0, 7))
            }
        };
        (
            SocketAddr::new(client, 40_000 + u16::from(self.client)),
            service,
        )
    }
}

/// Whose counters a frame may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// This service's.
    Service(usize),
    /// Nobody's.
    Nobody,
    /// The frame's own words tell.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_were_written() {
        let contents = [
            Content::Tcp {
                flags: 0x12,
                sequence: -2,
                acknowledgment: 1,
                length: 9,
                bytes: b"HTTP/1.1 ",
            },
            Content::Udp {
                length: 1200,
                bytes: &[1, 2, 3],
            },
            Content::Unreachable {
                code: 3,
                bytes: &[4],
            },
            Content::Raw(&[5; 60]),
        ];
        let step = |content| Step {
            direction: Direction::Out,
            tunnelled: true,
            wrong_checksum: false,
            client: 3,
            service: 11,
            time: 0x57,
            content,
        };
        let written: Vec<u8> = contents
            .iter()
            .flat_map(|content| step(*content).encode())
            .collect();
        let read: Vec<Step> = steps(&written).collect();
        assert_eq!(read, contents.map(step));
    }

    #[test]
    fn time_passes_from_a_microsecond_to_hours() {
        let after = |time| {
            let input = [0, 0, time];
            let step = steps(&input).next();
            step.map(|step| step.after_ns())
        };
        assert_eq!(after(0x00), Some(0));
        assert_eq!(after(0x01), Some(1 << 10));
        assert_eq!(after(0xff), Some(15 << 40));
    }
}
