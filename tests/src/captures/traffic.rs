//! Clients of one service, as a capture at the service's host shows them: connections at
//! a steady rate, one after the other, from many networks.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use super::{ETHERNET, Packet, Unit, pcap, record};
use crate::packets::{
    Frame,
    flags::{ACK, FIN, RST, SYN},
};

/// 2023-11-14, 22:13:20 UTC.
const START_NS: u64 = 1_700_000_000_000_000_000;
/// So much of a response is in one packet.
const SEGMENT: usize = 1_400;
/// Between two packets of a connection.
const STEP_NS: u64 = 50_000;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is accepted, and its request answered.
    Answered,
    /// It is reset.
    Refused,
    /// Nobody answers.
    Silent,
}

/// The clients.
#[derive(Clone, Debug)]
pub struct Traffic {
    service: SocketAddr,
    per_second: u64,
    payload: usize,
}

impl Traffic {
    /// Of this service, which must be an address with a port.
    ///
    /// # Panics
    /// If it is none.
    pub fn new(service: &str, per_second: u64) -> Self {
        Self {
            service: service.parse().expect("an address with a port"),
            per_second,
            payload: 100,
        }
    }

    /// With responses of so many bytes.
    #[must_use]
    pub fn with_payload(self, payload: usize) -> Self {
        Self { payload, ..self }
    }

    /// All packets; what becomes of a connection is told by its start in milliseconds.
    pub fn packets(&self, time: Duration, fate: impl Fn(u64) -> Fate) -> Vec<Packet> {
        let connections = self.connections(time);
        let packets = connections.flat_map(|(number, at_ns)| {
            self.connection(number, at_ns, fate((at_ns - START_NS) / 1_000_000))
        });
        packets.collect()
    }

    /// Writes a capture in which all are answered, however long it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, mut out: impl Write, time: Duration) -> io::Result<()> {
        out.write_all(&pcap(Unit::Nanoseconds, ETHERNET, &[]))?;
        for (number, at_ns) in self.connections(time) {
            for packet in self.connection(number, at_ns, Fate::Answered) {
                out.write_all(&record(Unit::Nanoseconds, &packet))?;
            }
        }
        out.flush()
    }

    /// Each with its number and its start.
    fn connections(&self, time: Duration) -> impl Iterator<Item = (u32, u64)> + use<> {
        let step_ns = 1_000_000_000 / self.per_second;
        let end_ns = START_NS + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        (0..)
            .map(move |number| (number, START_NS + u64::from(number) * step_ns))
            .take_while(move |(_, at_ns)| *at_ns < end_ns)
    }

    /// A client that no other one shares its socket with for a while.
    fn client(&self, number: u32) -> SocketAddr {
        let network = number % 40;
        let address = match self.service.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(0xc633_0007 | network << 8)),
            IpAddr::V6(_) => {
                let network = u128::from(network) << 80;
                IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | network | 7))
            }
        };
        let port = u16::try_from(10_000 + number % 50_000).unwrap_or(u16::MAX);
        SocketAddr::new(address, port)
    }

    fn connection(&self, number: u32, at_ns: u64, fate: Fate) -> Vec<Packet> {
        let (client, service) = (self.client(number), self.service);
        let (theirs, ours) = (number.wrapping_mul(7_919), number.wrapping_mul(104_729));
        let inbound = |flags| Frame::tcp(client, service, flags);
        let outbound = |flags| Frame::tcp(service, client, flags);
        let mut frames = vec![inbound(SYN).numbers(theirs, 0)];
        match fate {
            Fate::Silent => {}
            Fate::Refused => frames.push(outbound(RST | ACK).numbers(0, theirs.wrapping_add(1))),
            Fate::Answered => {
                let (theirs, ours) = (theirs.wrapping_add(1), ours.wrapping_add(1));
                frames.extend([
                    outbound(SYN | ACK).numbers(ours.wrapping_sub(1), theirs),
                    inbound(ACK).numbers(theirs, ours),
                    inbound(ACK).numbers(theirs, ours).payload(b"GET /"),
                ]);
                let (theirs, mut ours) = (theirs.wrapping_add(5), ours);
                let mut left = self.payload;
                while left > 0 {
                    let length = left.min(SEGMENT);
                    let payload = vec![7; length];
                    frames.push(outbound(ACK).numbers(ours, theirs).payload(&payload));
                    ours = ours.wrapping_add(u32::try_from(length).unwrap_or(u32::MAX));
                    left -= length;
                }
                frames.extend([
                    inbound(FIN | ACK).numbers(theirs, ours),
                    outbound(FIN | ACK).numbers(ours, theirs.wrapping_add(1)),
                ]);
            }
        }
        let times = (0..).map(|step| at_ns + step * STEP_NS);
        times
            .zip(frames)
            .map(|(time, frame)| (time, frame.build()))
            .collect()
    }
}
