//! TCP segments of services: counted, and passed on to what they may mean.

use crate::{
    ends::Ends,
    packet::Packet,
    parse::{self, Flags, Network, Segment},
    sample::is_sampled,
    service::{Options, TCP},
    skip::Skip,
    state::State,
};

use super::{
    Direction, Event, Flow, Measured, Tables, connection, packets, reset, sampled, tcp_dns,
    wire_bytes,
};

/// The bits of a segment that is not plain.
pub const CONTROL: u8 = Flags::SYN | Flags::FIN | Flags::RST;

#[inline(always)]
pub fn ingress<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    state: &State,
    network: &Network,
) -> Result<Measured, Skip> {
    let segment = parse::segment(packet, network)?;
    let ends = Ends::of(
        Direction::In,
        (network.source, segment.source_port),
        (network.destination, segment.destination_port),
        TCP,
    );
    let Some(service) = state.services.find(&ends.local, ends.local_port_protocol) else {
        return Ok(Measured::Other);
    };
    count_in(tables, service.id, network, &segment).ok_or(Skip::NoTable)?;
    let flow = Flow::new(&state.flow_key, service, &ends);
    let flags = segment.flags;
    if flags.any(CONTROL) {
        trace(tables, Direction::In, &flow, &segment);
    }
    let measured = if flags.any(Flags::SYN) {
        if flags.any(Flags::ACK) {
            // A SYN-ACK to a service: simultaneous open (RFC 9293 section 3.5), or
            // noise. No trial of ours.
            Some(())
        } else {
            connection::syn_in(tables, packet, network, &flow, &segment)
        }
    } else if flags.any(Flags::RST) {
        reset::rst_in(tables, &flow, &segment)
    } else {
        if is_sampled(flow.hash, service.sample_mask()) {
            sampled::segment_in(tables, &flow, &segment);
        }
        if service.options().any(Options::DNS) && segment.payload_length != 0 {
            tcp_dns::segment_in(tables, packet, &flow, &segment);
        }
        if flags.any(Flags::FIN) || state.gate.is_open(flow.hash) {
            connection::segment_in(tables, &flow, &segment)
        } else {
            Some(())
        }
    };
    measured.map(|()| Measured::Service).ok_or(Skip::NoTable)
}

#[inline(always)]
pub fn egress<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    state: &State,
    network: &Network,
) -> Result<Measured, Skip> {
    let segment = parse::segment(packet, network)?;
    let ends = Ends::of(
        Direction::Out,
        (network.source, segment.source_port),
        (network.destination, segment.destination_port),
        TCP,
    );
    let Some(service) = state.services.find(&ends.local, ends.local_port_protocol) else {
        return Ok(Measured::Other);
    };
    count_out(tables, service.id, network, &segment).ok_or(Skip::NoTable)?;
    let flow = Flow::new(&state.flow_key, service, &ends);
    let flags = segment.flags;
    if flags.any(CONTROL) {
        trace(tables, Direction::Out, &flow, &segment);
    }
    let measured = if flags.any(Flags::SYN) {
        if flags.any(Flags::ACK) {
            connection::synack_out(tables, &flow, &segment)
        } else {
            // The service's host connects from the service's own port.
            Some(())
        }
    } else if flags.any(Flags::RST) {
        reset::rst_out(tables, &flow, &segment)
    } else {
        if is_sampled(flow.hash, service.sample_mask()) {
            sampled::segment_out(tables, &flow, &segment);
        }
        if service.options().any(Options::DNS) && segment.payload_length != 0 {
            tcp_dns::segment_out(tables, packet, &flow, &segment);
        }
        if flags.any(Flags::FIN) || state.gate.is_open(flow.hash) {
            connection::segment_out(tables, packet, &flow, &segment)
        } else {
            Some(())
        }
    };
    measured.map(|()| Measured::Service).ok_or(Skip::NoTable)
}

/// Counts a segment of a service, on its way in.
#[inline(always)]
pub fn count_in<T: Tables>(
    tables: &T,
    service: u32,
    network: &Network,
    segment: &Segment,
) -> Option<()> {
    tables.count_traffic(service, |traffic| {
        traffic.packets_in += packets(tables);
        traffic.bytes_in += wire_bytes(tables, network, segment.header_length);
    })?;
    let flags = segment.flags;
    if flags.any(CONTROL) {
        tables.count(service, |counters| {
            counters.fin_in += u64::from(flags.any(Flags::FIN));
            counters.syn += u64::from(flags.any(Flags::SYN) && !flags.any(Flags::ACK));
        })
    } else if segment.window == 0 {
        tables.count(service, |counters| counters.zero_window_in += 1)
    } else {
        Some(())
    }
}

/// As [`count_in`], on its way out.
#[inline(always)]
pub fn count_out<T: Tables>(
    tables: &T,
    service: u32,
    network: &Network,
    segment: &Segment,
) -> Option<()> {
    tables.count_traffic(service, |traffic| {
        traffic.packets_out += packets(tables);
        traffic.bytes_out += wire_bytes(tables, network, segment.header_length);
    })?;
    let flags = segment.flags;
    if flags.any(CONTROL) {
        tables.count(service, |counters| {
            counters.fin_out += u64::from(flags.any(Flags::FIN));
            counters.synack += u64::from(flags.all(Flags::SYN | Flags::ACK));
        })
    } else if segment.window == 0 {
        tables.count(service, |counters| counters.zero_window_out += 1)
    } else {
        Some(())
    }
}

#[inline(always)]
fn trace<T: Tables>(tables: &T, direction: Direction, flow: &Flow<'_>, segment: &Segment) {
    tables.trace(&Event {
        direction,
        key: flow.key,
        flags: segment.flags.0,
        sequence: segment.sequence,
        acknowledgment: segment.acknowledgment,
    });
}
