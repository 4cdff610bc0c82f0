//! From a segment to counters and trial outcomes: the whole measurement, as pure
//! functions over tables.
//!
//! Ingress and egress are the two entry points, one per hook. In the kernel the
//! tables are maps; on the host they are plain memory. Nothing here changes a
//! packet, and no error changes its fate.

use crate::{
    cell::Atomics,
    counters::{Counters, RstPhase},
    gate::Gate,
    handshake::{Evicted, FlowKey, HandshakeSet, Inserted, NewFlow, Phase, set_index},
    packet::Packet,
    parse::{Segment, parse},
    service::{Found, ServiceTable, TCP},
    skip::Skip,
    syn::{ChecksumRule, syn_deserves_answer},
    tcp::Flags,
    trial::{CohortRing, Outcome},
};

/// The tables of a measurement and its surroundings.
pub trait Tables: Atomics {
    /// Nanoseconds of the monotonic clock. Costs a helper call in the kernel, so it
    /// is asked only for control segments.
    fn now_ns(&self) -> u64;
    /// How a SYN's checksum may look.
    fn checksum_rule(&self) -> ChecksumRule;
    /// The service table.
    fn services(&self) -> Option<&ServiceTable>;
    /// Changes this CPU's counters of a service.
    fn count(&self, service: u32, change: impl FnOnce(&mut Counters)) -> Option<()>;
    /// Adds a latency from SYN to SYN-ACK to this CPU's histogram of a service.
    fn add_latency(&self, service: u32, latency_ns: u64);
    /// Adds one verified handshake to a network bucket of a service.
    fn add_verified(&self, service: u32, network_bucket: usize);
    /// The gate.
    fn gate(&self) -> Option<&Gate>;
    /// A set of the handshake table.
    fn handshakes(&self, index: u32) -> Option<&HandshakeSet>;
    /// A cohort ring.
    fn ring(&self, index: u32) -> Option<&CohortRing>;
    /// Tells a trace of a control segment of a service; free unless tracing is on.
    fn trace(&self, direction: Direction, segment: &Segment);
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards the service.
    In,
    /// From the service.
    Out,
}

/// What a packet turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// A segment of a service.
    Service,
    /// A TCP segment of nobody that we measure.
    Other,
}

/// A flow's name and its hash, computed once a packet.
struct Flow {
    key: FlowKey,
    hash: u64,
}

/// Measures a frame on its way in. `segments` is how many segments the buffer
/// stands for (GRO).
///
/// # Errors
/// The reason why the frame could not be measured.
#[inline(always)]
pub fn ingress<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    segments: u32,
) -> Result<Measured, Skip> {
    let segment = parse(packet)?;
    let Some((service, flow)) = find(tables, &segment, Direction::In)? else {
        return Ok(Measured::Other);
    };
    tables
        .count(service.id, |counters| {
            counters.packets_in += u64::from(segments.max(1));
            counters.bytes_in += wire_bytes(&segment, segments);
        })
        .ok_or(Skip::NoTable)?;

    let flags = segment.flags;
    let measured = if flags.all(Flags::SYN) {
        if flags.any(Flags::ACK) {
            // A SYN-ACK to a service: simultaneous open, or noise. No trial of ours.
            Some(())
        } else {
            syn_in(tables, packet, service, &flow, &segment)
        }
    } else if flags.any(Flags::RST) {
        rst_in(tables, &flow)
    } else {
        if flags.any(Flags::FIN) {
            tables.count(service.id, |counters| counters.fin_in += 1);
        }
        gated(tables, &flow, &segment)
    };
    measured.map(|()| Measured::Service).ok_or(Skip::NoTable)
}

/// Measures a frame on its way out. `segments` is how many segments the buffer
/// will become (GSO).
///
/// # Errors
/// The reason why the frame could not be measured.
#[inline(always)]
pub fn egress<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    segments: u32,
) -> Result<Measured, Skip> {
    let segment = parse(packet)?;
    let Some((service, flow)) = find(tables, &segment, Direction::Out)? else {
        return Ok(Measured::Other);
    };
    tables
        .count(service.id, |counters| {
            counters.packets_out += u64::from(segments.max(1));
            counters.bytes_out += wire_bytes(&segment, segments);
        })
        .ok_or(Skip::NoTable)?;

    let flags = segment.flags;
    let measured = if flags.all(Flags::SYN | Flags::ACK) {
        synack_out(tables, service, &flow, &segment)
    } else if flags.any(Flags::RST) {
        rst_out(tables, &flow, &segment)
    } else {
        if flags.any(Flags::FIN) {
            tables.count(service.id, |counters| counters.fin_out += 1);
        }
        Some(())
    };
    measured.map(|()| Measured::Service).ok_or(Skip::NoTable)
}

/// The service that a segment belongs to, and its flow; none if it is nobody's. The
/// service's end is the destination on the way in and the source on the way out.
#[inline(always)]
fn find<T: Tables>(
    tables: &T,
    segment: &Segment,
    direction: Direction,
) -> Result<Option<(Found, Flow)>, Skip> {
    let source = (segment.source, segment.source_port);
    let destination = (segment.destination, segment.destination_port);
    let ((address, port), (client, client_port)) = match direction {
        Direction::In => (destination, source),
        Direction::Out => (source, destination),
    };
    let services = tables.services().ok_or(Skip::NoTable)?;
    let Some(service) = services.find(&address, port, TCP) else {
        return Ok(None);
    };
    if segment.flags.any(Flags::SYN | Flags::RST | Flags::FIN) {
        tables.trace(direction, segment);
    }
    let key = FlowKey {
        client,
        client_port,
        service: service.id,
    };
    let hash = key.hash(services.flow_seed.load());
    Ok(Some((service, Flow { key, hash })))
}

/// IP bytes on the wire: a GSO or GRO buffer has one set of headers, its segments
/// have one each.
#[inline(always)]
fn wire_bytes(segment: &Segment, segments: u32) -> u64 {
    let repeated = u64::from(segments.saturating_sub(1));
    u64::from(segment.ip_length) + repeated * u64::from(segment.headers_length)
}

#[inline(always)]
fn syn_in<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    service: Found,
    flow: &Flow,
    segment: &Segment,
) -> Option<()> {
    tables.count(flow.key.service, |counters| counters.syn += 1)?;
    if !syn_deserves_answer(packet, segment, tables.checksum_rule()) {
        return tables.count(flow.key.service, |counters| counters.syn_not_judged += 1);
    }
    let set = tables.handshakes(set_index(flow.hash))?;
    let own = set.find(&flow.key);
    if let Some((entry, state)) = own
        && matches!(state.phase(), Phase::Waiting | Phase::HalfOpen)
        && entry.isn() == segment.sequence
    {
        // The same trial goes on; the deadline runs from its first SYN.
        return tables.count(flow.key.service, |counters| {
            counters.syn_retransmissions += 1;
        });
    }
    let ring = tables.ring(service.ring)?;
    let now_ns = tables.now_ns();
    let deadline_ns = ring.deadline_ns.load();
    let new = NewFlow {
        key: flow.key,
        isn: segment.sequence,
        ring: service.ring,
        syn_ns: now_ns,
        expires_ns: now_ns + deadline_ns,
    };
    let inserted = set.insert::<T>(own, &new);
    if inserted == Inserted::NoRoom {
        return tables.count(flow.key.service, |counters| {
            counters.trials_without_room += 1;
        });
    }
    T::add(&ring.bucket(now_ns).started, 1);
    if let Inserted::Evicting(Evicted { ring, syn_ns }) = inserted {
        let ring = tables.ring(ring)?;
        T::add(ring.outcome(syn_ns, now_ns, Outcome::Abandoned), 1);
    }
    Some(())
}

#[inline(always)]
fn synack_out<T: Tables>(tables: &T, service: Found, flow: &Flow, segment: &Segment) -> Option<()> {
    tables.count(flow.key.service, |counters| counters.synack += 1)?;
    let set = tables.handshakes(set_index(flow.hash))?;
    let Some((entry, state)) = set.find(&flow.key) else {
        return Some(());
    };
    if segment.acknowledgment != entry.isn().wrapping_add(1) {
        return Some(());
    }
    match state.phase() {
        Phase::Waiting => {
            let now_ns = tables.now_ns();
            let syn_ns = entry.syn_ns();
            if entry.ring() == service.ring && entry.answer::<T>(state, segment.sequence) {
                let ring = tables.ring(service.ring)?;
                T::add(ring.outcome(syn_ns, now_ns, Outcome::Succeeded), 1);
                tables.add_latency(flow.key.service, now_ns.saturating_sub(syn_ns));
                tables.gate()?.open(flow.hash, now_ns);
            }
            Some(())
        }
        Phase::HalfOpen | Phase::Established => tables.count(flow.key.service, |counters| {
            counters.synack_retransmissions += 1;
        }),
        Phase::Empty | Phase::Busy | Phase::Closed => Some(()),
    }
}

/// A segment that is neither SYN nor RST may be the ACK that verifies a client.
#[inline(always)]
fn gated<T: Tables>(tables: &T, flow: &Flow, segment: &Segment) -> Option<()> {
    if !tables.gate()?.is_open(flow.hash) {
        return Some(());
    }
    let Some((entry, state)) = tables.handshakes(set_index(flow.hash))?.find(&flow.key) else {
        return Some(());
    };
    if state.phase() == Phase::HalfOpen
        && segment.flags.any(Flags::ACK)
        && segment.acknowledgment == entry.iss().wrapping_add(1)
        && entry.advance::<T>(state, Phase::Established)
    {
        tables.add_verified(flow.key.service, flow.key.client.network_bucket());
        tables.count(flow.key.service, |counters| counters.verified += 1)?;
    }
    Some(())
}

#[inline(always)]
fn rst_in<T: Tables>(tables: &T, flow: &Flow) -> Option<()> {
    let set = tables.handshakes(set_index(flow.hash))?;
    let mut phase = RstPhase::Unmatched;
    if let Some((entry, state)) = set.find(&flow.key) {
        phase = rst_phase(state.phase());
        let syn_ns = entry.syn_ns();
        let ring = entry.ring();
        let closed = state.phase() != Phase::Closed && entry.advance::<T>(state, Phase::Closed);
        if closed && state.phase() == Phase::Waiting {
            // The client takes its SYN back, for example after a challenge ACK.
            let ring = tables.ring(ring)?;
            let now_ns = tables.now_ns();
            T::add(ring.outcome(syn_ns, now_ns, Outcome::Abandoned), 1);
        }
    }
    tables.count(flow.key.service, |counters| {
        counters.rst_in[phase.index()] += 1;
    })
}

#[inline(always)]
fn rst_out<T: Tables>(tables: &T, flow: &Flow, segment: &Segment) -> Option<()> {
    let set = tables.handshakes(set_index(flow.hash))?;
    let mut phase = RstPhase::Unmatched;
    if let Some((entry, state)) = set.find(&flow.key) {
        let waiting = state.phase() == Phase::Waiting;
        // RFC 9293 section 3.10.7.1: the RST that answers a SYN acknowledges it.
        let answers =
            segment.flags.any(Flags::ACK) && segment.acknowledgment == entry.isn().wrapping_add(1);
        if !waiting || answers {
            phase = rst_phase(state.phase());
            let syn_ns = entry.syn_ns();
            let ring = entry.ring();
            let closed = state.phase() != Phase::Closed && entry.advance::<T>(state, Phase::Closed);
            if closed && waiting {
                let ring = tables.ring(ring)?;
                let now_ns = tables.now_ns();
                T::add(ring.outcome(syn_ns, now_ns, Outcome::Failed), 1);
            }
        }
    }
    tables.count(flow.key.service, |counters| {
        counters.rst_out[phase.index()] += 1;
    })
}

#[inline(always)]
fn rst_phase(phase: Phase) -> RstPhase {
    match phase {
        Phase::Waiting => RstPhase::Refused,
        Phase::HalfOpen => RstPhase::HalfOpen,
        Phase::Established => RstPhase::Established,
        Phase::Empty | Phase::Busy | Phase::Closed => RstPhase::Unmatched,
    }
}
