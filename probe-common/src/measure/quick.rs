//! The way of nearly every packet: a segment without options of the link or network
//! layer, to nobody's port or of an established connection that nothing is asked of.
//!
//! It is told with one bounds check and few loads, and is done with here. All others,
//! and whatever is doubtful, go the long way from the start; nothing was counted then.

use crate::{
    address::Address,
    ends::Ends,
    packet::{Packet, Start},
    parse::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Flags, Network, Segment},
    sample::is_sampled,
    service::{Options, TCP, port_protocol},
    state::State,
};

use super::{Direction, Flow, Measured, Tables, sampled, tcp};

const IPV4: u16 = ETHERTYPE_IPV4.to_be();
const IPV6: u16 = ETHERTYPE_IPV6.to_be();
/// Version 4, header of five words.
const PLAIN_IPV4: u8 = 0x45;
/// More-fragments flag and fragment offset.
const FRAGMENT: u16 = 0x3fff_u16.to_be();

/// Lengths of the headers.
const ETHERNET: usize = 14;
const TCP_HEADER: usize = 20;
/// Ethernet, IPv4 or IPv6, and TCP together.
const LENGTH_V4: usize = ETHERNET + 20 + TCP_HEADER;
const LENGTH_V6: usize = ETHERNET + 40 + TCP_HEADER;

/// Measures a frame as nearly all are; none, and nothing was counted, if this is another.
/// The first part of [`ingress`](super::ingress) and [`egress`](super::egress), for whoever
/// has to prepare a frame before the second.
#[inline(always)]
pub fn plain<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    direction: Direction,
) -> Option<Measured> {
    let start = packet.start::<LENGTH_V4>()?;
    let state = tables.state()?;
    let ethertype: u16 = start.read::<u16>(12);
    if ethertype == IPV4 {
        let is_plain = start.read::<u8>(14) == PLAIN_IPV4
            && start.read::<u16>(20) & FRAGMENT == 0
            && start.read::<u8>(23) == TCP;
        if !is_plain {
            return None;
        }
        measure(tables, state, &Headers(start), direction)
    } else if ethertype == IPV6 {
        let start = packet.start::<LENGTH_V6>()?;
        if start.read::<u8>(20) != TCP {
            return None;
        }
        measure(tables, state, &Headers(start), direction)
    } else {
        None
    }
}

#[inline(always)]
fn measure<T: Tables, const LENGTH: usize>(
    tables: &T,
    state: &State,
    headers: &Headers<'_, LENGTH>,
    direction: Direction,
) -> Option<Measured> {
    let header_length = headers.header_length();
    if header_length < 20 || headers.ip_length() < Headers::<LENGTH>::IP_HEADER + header_length {
        return None;
    }
    let (local, port) = match direction {
        Direction::In => (headers.destination(), headers.destination_port()),
        Direction::Out => (headers.source(), headers.source_port()),
    };
    let local_port_protocol = port_protocol(port, TCP);
    let Some(service) = state.services.find(&local, local_port_protocol) else {
        return Some(Measured::Other);
    };
    let flags = headers.flags();
    if flags.any(tcp::CONTROL) || service.options().any(Options::DNS) {
        return None;
    }
    let (client, port) = match direction {
        Direction::In => (headers.source(), headers.source_port()),
        Direction::Out => (headers.destination(), headers.destination_port()),
    };
    let ends = Ends {
        client,
        client_port: u32::from(port),
        local,
        local_port_protocol,
    };
    let flow = Flow::new(&state.flow_key, service, &ends);
    if state.gate.is_open(flow.hash) {
        return None;
    }
    if is_sampled(flow.hash, service.sample_mask()) {
        let segment = headers.segment(flags);
        match direction {
            Direction::In => sampled::segment_in(tables, &flow, &segment),
            Direction::Out => sampled::segment_out(tables, &flow, &segment),
        }?;
    }
    let (network, segment) = (headers.network(), headers.segment(flags));
    match direction {
        Direction::In => tcp::count_in(tables, service.id, &network, &segment),
        Direction::Out => tcp::count_out(tables, service.id, &network, &segment),
    }?;
    Some(Measured::Service)
}

/// The headers of a plain segment, IPv4's or IPv6's by their length.
///
/// Each field is read where it is needed: what is read ahead lies on the stack meanwhile,
/// at a store and a load for each field, which costs more than to read it.
struct Headers<'a, const LENGTH: usize>(Start<'a, LENGTH>);

impl<const LENGTH: usize> Headers<'_, LENGTH> {
    const IS_V4: bool = LENGTH == LENGTH_V4;
    const TCP_AT: usize = LENGTH - TCP_HEADER;
    const IP_HEADER: u32 = (Self::TCP_AT - ETHERNET) as u32;

    #[inline(always)]
    fn source(&self) -> Address {
        if Self::IS_V4 {
            Address::v4(self.0.read::<u32>(26))
        } else {
            Address::v6(self.0.read::<[u64; 2]>(22))
        }
    }

    #[inline(always)]
    fn destination(&self) -> Address {
        if Self::IS_V4 {
            Address::v4(self.0.read::<u32>(30))
        } else {
            Address::v6(self.0.read::<[u64; 2]>(38))
        }
    }

    #[inline(always)]
    fn ip_length(&self) -> u32 {
        if Self::IS_V4 {
            u32::from(u16::from_be(self.0.read::<u16>(16)))
        } else {
            u32::from(u16::from_be(self.0.read::<u16>(18))) + 40
        }
    }

    #[inline(always)]
    fn source_port(&self) -> u16 {
        u16::from_be(self.0.read(Self::TCP_AT))
    }

    #[inline(always)]
    fn destination_port(&self) -> u16 {
        u16::from_be(self.0.read(Self::TCP_AT + 2))
    }

    /// Of the TCP header.
    #[inline(always)]
    fn header_length(&self) -> u32 {
        u32::from(self.0.read::<u8>(Self::TCP_AT + 12) >> 4) * 4
    }

    #[inline(always)]
    fn flags(&self) -> Flags {
        Flags(self.0.read(Self::TCP_AT + 13))
    }

    #[inline(always)]
    fn network(&self) -> Network {
        Network {
            source: self.source(),
            destination: self.destination(),
            protocol: TCP,
            is_fragment: false,
            ip_length: self.ip_length(),
            header_length: Self::IP_HEADER,
            transport_offset: Self::TCP_AT,
        }
    }

    /// The segment, whose flags were read already.
    #[inline(always)]
    fn segment(&self, flags: Flags) -> Segment {
        let header_length = self.header_length();
        let payload_at = Self::IP_HEADER + header_length;
        Segment {
            source_port: self.source_port(),
            destination_port: self.destination_port(),
            sequence: u32::from_be(self.0.read(Self::TCP_AT + 4)),
            acknowledgment: u32::from_be(self.0.read(Self::TCP_AT + 8)),
            flags,
            window: self.0.read(Self::TCP_AT + 14),
            checksum: self.0.read(Self::TCP_AT + 16),
            header_length,
            payload_length: self.ip_length().wrapping_sub(payload_at),
            payload_offset: Self::TCP_AT + header_length as usize,
        }
    }
}
