//! What happens in a case: frames, in which order, when and which way.

use std::net::SocketAddr;

use lapwing_tests::packets::{
    Frame,
    flags::{ACK, SYN},
};

/// The client's initial sequence number.
pub const CLIENT_ISN: u32 = 100;
/// The service's.
pub const SERVER_ISN: u32 = 500;
/// What the client sends first.
pub const C: u32 = CLIENT_ISN + 1;
/// What the service sends first.
pub const S: u32 = SERVER_ISN + 1;

/// Which way a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    In,
    Out,
}

/// A frame on its way.
pub struct Step {
    pub at_ms: u64,
    pub way: Way,
    pub frame: Vec<u8>,
    /// Segments, and bytes of payload of each, that the buffer stands for.
    pub gso: Option<(u32, u32)>,
}

/// The frames of a case, and what of them is to be counted.
pub struct Script {
    pub client: SocketAddr,
    pub service: SocketAddr,
    pub steps: Vec<Step>,
    /// Packets and bytes in.
    pub counted_in: (u64, u64),
    /// Packets and bytes out.
    pub counted_out: (u64, u64),
}

impl Script {
    pub fn new(client: SocketAddr, service: SocketAddr) -> Self {
        Self {
            client,
            service,
            steps: Vec::new(),
            counted_in: (0, 0),
            counted_out: (0, 0),
        }
    }

    fn put(
        mut self,
        at_ms: u64,
        way: Way,
        frame: Vec<u8>,
        gso: Option<(u32, u32)>,
        counted: (u64, usize),
    ) -> Self {
        let counts = match way {
            Way::In => &mut self.counted_in,
            Way::Out => &mut self.counted_out,
        };
        counts.0 += counted.0;
        counts.1 += counted.1 as u64;
        self.steps.push(Step {
            at_ms,
            way,
            frame,
            gso,
        });
        self
    }

    /// A packet in, which counts.
    pub fn input(self, at_ms: u64, frame: &Frame) -> Self {
        let bytes = frame.ip_packet().len();
        self.put(at_ms, Way::In, frame.build(), None, (1, bytes))
    }

    /// A packet out, which counts.
    pub fn output(self, at_ms: u64, frame: &Frame) -> Self {
        let bytes = frame.ip_packet().len();
        self.put(at_ms, Way::Out, frame.build(), None, (1, bytes))
    }

    /// A packet inside a tunnel's: the inner one counts.
    pub fn carried(self, at_ms: u64, way: Way, outer: &Frame, inner: &Frame) -> Self {
        let bytes = inner.ip_packet().len();
        self.put(at_ms, way, outer.build(), None, (1, bytes))
    }

    /// A frame that is no packet of the service: it counts for nobody.
    pub fn aside(self, at_ms: u64, way: Way, frame: &Frame) -> Self {
        self.raw(at_ms, way, frame.build())
    }

    /// Bytes that count for nobody.
    pub fn raw(self, at_ms: u64, way: Way, frame: Vec<u8>) -> Self {
        self.put(at_ms, way, frame, None, (0, 0))
    }

    /// A buffer of several segments, each with `size` bytes of payload: each counts,
    /// with the same headers (`headers` bytes of them).
    pub fn buffer(self, at_ms: u64, way: Way, frame: &Frame, size: usize, headers: usize) -> Self {
        let whole = frame.ip_packet().len();
        let segments = (whole - headers).div_ceil(size);
        let gso = (
            u32::try_from(segments).unwrap(),
            u32::try_from(size).unwrap(),
        );
        let bytes = whole + (segments - 1) * headers;
        self.put(
            at_ms,
            way,
            frame.build(),
            Some(gso),
            (segments as u64, bytes),
        )
    }

    /// A segment that the client sends.
    pub fn segment_in(&self, flags: u8, sequence: u32, acknowledgment: u32) -> Frame {
        Frame::tcp(self.client, self.service, flags).numbers(sequence, acknowledgment)
    }

    /// A segment that the service sends.
    pub fn segment_out(&self, flags: u8, sequence: u32, acknowledgment: u32) -> Frame {
        Frame::tcp(self.service, self.client, flags).numbers(sequence, acknowledgment)
    }

    /// A segment from the client.
    pub fn client(self, at_ms: u64, flags: u8, sequence: u32, ack: u32, payload: &[u8]) -> Self {
        let frame = self.segment_in(flags, sequence, ack).payload(payload);
        self.input(at_ms, &frame)
    }

    /// A segment from the service.
    pub fn server(self, at_ms: u64, flags: u8, sequence: u32, ack: u32, payload: &[u8]) -> Self {
        let frame = self.segment_out(flags, sequence, ack).payload(payload);
        self.output(at_ms, &frame)
    }

    /// The SYN with which connections begin.
    pub fn syn(self, at_ms: u64) -> Self {
        self.client(at_ms, SYN, CLIENT_ISN, 0, &[])
    }

    /// The answer to it.
    pub fn synack(self, at_ms: u64) -> Self {
        self.server(at_ms, SYN | ACK, SERVER_ISN, C, &[])
    }

    /// A handshake from 0 to 2 ms.
    pub fn handshake(self) -> Self {
        self.syn(0).synack(1).client(2, ACK, C, S, &[])
    }

    /// A datagram that the client sends.
    pub fn datagram_in(&self, payload: &[u8]) -> Frame {
        Frame::udp(self.client, self.service).payload(payload)
    }

    /// A datagram that the service sends.
    pub fn datagram_out(&self, payload: &[u8]) -> Frame {
        Frame::udp(self.service, self.client).payload(payload)
    }

    /// A datagram from the client.
    pub fn query(self, at_ms: u64, payload: &[u8]) -> Self {
        let frame = self.datagram_in(payload);
        self.input(at_ms, &frame)
    }

    /// A datagram from the service.
    pub fn answer(self, at_ms: u64, payload: &[u8]) -> Self {
        let frame = self.datagram_out(payload);
        self.output(at_ms, &frame)
    }
}
