//! The way of nearly every packet: a segment without options of the link or network
//! layer, to nobody's port or of an established connection that nothing is asked of.
//!
//! It is told with one bounds check and few loads, and is done with here. All others,
//! and whatever is doubtful, go the long way from the start; nothing was counted then.

use crate::{
    address::Address,
    packet::{Packet, Start},
    parse::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Flags, Network, Segment},
    sample::is_sampled,
    service::{Options, TCP},
    state::State,
};

use super::{Client, Direction, Flow, Measured, Tables, sampled, tcp};

const IPV4: u16 = ETHERTYPE_IPV4.to_be();
const IPV6: u16 = ETHERTYPE_IPV6.to_be();
/// Version 4, header of five words.
const PLAIN_IPV4: u8 = 0x45;
/// More-fragments flag and fragment offset.
const FRAGMENT: u16 = 0x3fff_u16.to_be();

/// Lengths of Ethernet, IPv4 or IPv6, and TCP headers together.
const LENGTH_V4: usize = 14 + 20 + 20;
const LENGTH_V6: usize = 14 + 40 + 20;
const TCP_V4: usize = 14 + 20;
const TCP_V6: usize = 14 + 40;

/// What the packet turned out to be, if that is all.
#[inline(always)]
pub fn segment<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    state: &State,
    packet: &P,
    direction: Direction,
    segments: u32,
) -> Option<Measured> {
    let start = packet.start::<LENGTH_V4>()?;
    let ethertype: u16 = start.read::<u16>(12);
    if ethertype == IPV4 {
        let is_plain = start.read::<u8>(14) == PLAIN_IPV4
            && start.read::<u16>(20) & FRAGMENT == 0
            && start.read::<u8>(23) == TCP;
        if !is_plain {
            return None;
        }
        let network = Network {
            source: Address::v4(start.read::<u32>(26)),
            destination: Address::v4(start.read::<u32>(30)),
            protocol: TCP,
            is_fragment: false,
            ip_length: u32::from(u16::from_be(start.read::<u16>(16))),
            header_length: 20,
            transport_offset: TCP_V4,
        };
        let segment = read_segment(&start, &network)?;
        measure(tables, state, &network, &segment, direction, segments)
    } else if ethertype == IPV6 {
        let start = packet.start::<LENGTH_V6>()?;
        if start.read::<u8>(20) != TCP {
            return None;
        }
        let network = Network {
            source: Address::v6(start.read::<[u64; 2]>(22)),
            destination: Address::v6(start.read::<[u64; 2]>(38)),
            protocol: TCP,
            is_fragment: false,
            ip_length: u32::from(u16::from_be(start.read::<u16>(18))) + 40,
            header_length: 40,
            transport_offset: TCP_V6,
        };
        let segment = read_segment(&start, &network)?;
        measure(tables, state, &network, &segment, direction, segments)
    } else {
        None
    }
}

/// The TCP header, if it is one of a plain segment.
#[inline(always)]
fn read_segment<const LENGTH: usize>(
    start: &Start<'_, LENGTH>,
    network: &Network,
) -> Option<Segment> {
    let at = network.transport_offset;
    let header_length = u32::from(start.read::<u8>(at + 12) >> 4) * 4;
    let payload_at = network.header_length + header_length;
    if header_length < 20 || network.ip_length < payload_at {
        return None;
    }
    Some(Segment {
        source_port: u16::from_be(start.read(at)),
        destination_port: u16::from_be(start.read(at + 2)),
        sequence: u32::from_be(start.read(at + 4)),
        acknowledgment: u32::from_be(start.read(at + 8)),
        flags: Flags(start.read(at + 13)),
        window: start.read(at + 14),
        checksum: start.read(at + 16),
        header_length,
        payload_length: network.ip_length - payload_at,
        payload_offset: at + header_length as usize,
    })
}

#[inline(always)]
fn measure<T: Tables>(
    tables: &T,
    state: &State,
    network: &Network,
    segment: &Segment,
    direction: Direction,
    segments: u32,
) -> Option<Measured> {
    let (address, port, client) = match direction {
        Direction::In => (
            &network.destination,
            segment.destination_port,
            Client {
                address: network.source,
                port: u32::from(segment.source_port),
            },
        ),
        Direction::Out => (
            &network.source,
            segment.source_port,
            Client {
                address: network.destination,
                port: u32::from(segment.destination_port),
            },
        ),
    };
    let Some(service) = state.services.find(address, port, TCP) else {
        return Some(Measured::Other);
    };
    let flow = Flow::new(&state.services, service, client);
    let is_all = !segment.flags.any(tcp::CONTROL)
        && !service.options.any(Options::DNS)
        && !state.gate.is_open(flow.hash);
    if !is_all {
        return None;
    }
    if is_sampled(flow.hash, service.sample_mask) {
        match direction {
            Direction::In => sampled::segment_in(tables, &flow, segment),
            Direction::Out => sampled::segment_out(tables, &flow, segment, segments),
        }?;
    }
    tables.count(service.id, |counters| match direction {
        Direction::In => tcp::count_in(counters, network, segment, segments),
        Direction::Out => tcp::count_out(counters, network, segment, segments),
    })?;
    Some(Measured::Service)
}
