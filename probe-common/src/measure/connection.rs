//! What a segment means for its connection: the way through the phases of
//! [`flow`](crate::flow), and the trials that start and end on it.

use crate::{
    flow::{Evicted, Inserted, Newcomer, Phase, State},
    packet::Packet,
    parse::{Flags, Network, Segment, http},
    sample::is_sampled,
    service::Options,
    syn::syn_deserves_answer,
    trial::{Kind, Outcome},
    uplink::Ways,
};

use super::{
    Flow, Tables,
    step::{Step, Taken, take},
    trials,
};

/// The kernel gives up a half-open connection after five retransmissions of its
/// SYN-ACK, 63 seconds after the first.
const HALF_OPEN_NS: u64 = 64_000_000_000;

#[inline(always)]
pub fn syn_in<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    network: &Network,
    flow: &Flow<'_>,
    segment: &Segment,
) -> Option<()> {
    let service = flow.key.service;
    if !syn_deserves_answer(packet, network, segment, tables.checksum_rule()) {
        return tables.count(service, |counters| counters.syn_not_judged += 1);
    }
    let set = tables.connections(flow.hash)?;
    let own = set.find(&flow.key);
    let now_ns = tables.now_ns();
    if let Some((entry, state)) = own {
        if matches!(state.phase(), Phase::Waiting | Phase::HalfOpen)
            && entry.client_number() == segment.sequence
        {
            // The same trial goes on; the deadline runs from its first SYN.
            return tables.count(service, |counters| counters.syn_retransmissions += 1);
        }
        if state.is_established() && !state.any(State::FIN_IN | State::FIN_OUT) {
            // The kernel answers with a challenge ACK (RFC 5961 section 4).
            return tables.count(service, |counters| counters.syn_not_judged += 1);
        }
        if state.phase() == Phase::HalfOpen
            && now_ns.saturating_sub(entry.trial().started_ns) < HALF_OPEN_NS
        {
            // It answers for the connection that is half open: with an ACK of before,
            // or with a RST, so that two SYNs would make a failure.
            return tables.count(service, |counters| counters.syn_not_judged += 1);
        }
        // In TIME-WAIT the kernel may answer by a bare ACK, which is to be seen.
        tables.state()?.gate.open::<T>(flow.hash, now_ns);
    }
    let (trial, ring) = trials::new_trial(tables, &flow.service, Kind::Connect, now_ns)?;
    let client = Newcomer {
        number: segment.sequence,
        ways: Ways::came_by(tables.interface()),
    };
    let inserted = set.insert::<T>(own, &flow.key, client, &trial);
    if inserted == Inserted::NoRoom {
        return tables.count(service, |counters| counters.trials_without_room += 1);
    }
    ring.begin::<T>(now_ns);
    if ring.is_silent(now_ns) {
        tables.wake();
    }
    evict(tables, inserted, now_ns)
}

/// An undecided trial that had to give way says nothing about its service.
#[inline(always)]
pub fn evict<T: Tables>(tables: &T, inserted: Inserted, now_ns: u64) -> Option<()> {
    if let Inserted::Evicting(Evicted { ring, started_ns }) = inserted {
        let ring = tables.ring(ring)?;
        ring.end::<T>(started_ns, now_ns, Outcome::Abandoned);
    }
    Some(())
}

#[inline(always)]
pub fn synack_out<T: Tables>(tables: &T, flow: &Flow<'_>, segment: &Segment) -> Option<()> {
    let Some((entry, seen)) = tables.connections(flow.hash)?.find(&flow.key) else {
        return Some(());
    };
    if segment.acknowledgment != entry.client_number().wrapping_add(1) {
        return Some(());
    }
    if seen.phase() != Phase::Waiting {
        if seen.phase() == Phase::HalfOpen {
            // A SYN cookie holds the minute; what the client acknowledges is the latest.
            entry.set_service_number(segment.sequence);
        }
        if seen.phase() == Phase::HalfOpen || seen.is_established() {
            tables.count(flow.key.service, |counters| {
                counters.synack_retransmissions += 1;
            })?;
        }
        return Some(());
    }
    let now_ns = tables.now_ns();
    let connect = entry.trial();
    let (trial, ring) = trials::new_trial(tables, &flow.service, Kind::Handshake, now_ns)?;
    let ways = entry.ways().left_by(tables.interface());
    if entry.answer::<T>(seen, segment.sequence, ways, &trial) {
        ring.begin::<T>(now_ns);
        tables.uplink(ways.came())?.came.answer::<T>();
        tables.uplink(ways.left())?.left.answer::<T>();
        trials::end(
            tables,
            flow.key.service,
            connect,
            now_ns,
            Outcome::Succeeded,
        )?;
        tables.state()?.gate.open::<T>(flow.hash, now_ns);
    }
    Some(())
}

/// A segment in that is neither SYN nor RST.
#[inline(always)]
pub fn segment_in<T: Tables>(tables: &T, flow: &Flow<'_>, segment: &Segment) -> Option<()> {
    let Some((entry, seen)) = tables.connections(flow.hash)?.find(&flow.key) else {
        return Some(());
    };
    let has_payload = segment.payload_length != 0;
    let mut step = Step::none(seen);
    let mut verifies = false;
    match seen.phase() {
        Phase::HalfOpen => {
            verifies = segment.flags.any(Flags::ACK)
                && segment.acknowledgment == entry.service_number().wrapping_add(1)
                && segment.sequence == entry.client_number().wrapping_add(1);
            if verifies {
                step.ends = Some(Outcome::Succeeded);
                step.next = seen.with(Phase::Verified);
            }
        }
        Phase::Greeting if has_payload => {
            // It was not the server's turn after all.
            step.ends = Some(Outcome::Abandoned);
            step.next = seen.with(Phase::Verified);
        }
        _ => {}
    }
    let speaks = has_payload
        && step.next.phase() == Phase::Verified
        && segment.sequence == entry.client_next();
    let first = speaks && !seen.any(State::SPOKEN);
    if speaks {
        step.next = step.next.with(Phase::Requesting).marked(State::SPOKEN);
        step.begins = Some(Kind::Request);
    } else if verifies && flow.service.options().any(Options::SERVER_FIRST) {
        step.next = seen.with(Phase::Greeting);
        step.begins = Some(Kind::Greet);
    }
    if has_payload && segment.sequence == entry.client_next() {
        entry.set_client_next(segment.end());
    }
    if segment.flags.any(Flags::FIN) {
        step.mark_fin(State::FIN_IN);
    }
    let Taken::At(now_ns) = take(tables, flow, entry, seen, &step)? else {
        return Some(());
    };
    if step.begins.is_some() {
        // The answer is awaited for as long again.
        tables.state()?.gate.open::<T>(flow.hash, now_ns);
    }
    if verifies {
        tables.add_verified(flow.key.service, flow.key.client.network_bucket());
        let ways = entry.ways();
        tables.uplink(ways.came())?.came.complete::<T>();
        tables.uplink(ways.left())?.left.complete::<T>();
    }
    let sampled = verifies && is_sampled(flow.hash, flow.service.sample_mask());
    let took_cell = sampled
        && tables.holder(flow.key.service, flow.hash)?.take::<T>(
            tables.cell(flow.key.service, flow.hash)?,
            flow.hash,
            now_ns,
            segment.end(),
            segment.acknowledgment,
        );
    if verifies || first {
        tables.count(flow.key.service, |counters| {
            counters.verified += u64::from(verifies);
            counters.client_first += u64::from(first);
            counters.sampled += u64::from(took_cell);
            counters.cells_busy += u64::from(sampled && !took_cell);
        })?;
    }
    Some(())
}

/// A segment out that is neither SYN nor RST.
#[inline(always)]
pub fn segment_out<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    flow: &Flow<'_>,
    segment: &Segment,
) -> Option<()> {
    let Some((entry, seen)) = tables.connections(flow.hash)?.find(&flow.key) else {
        return Some(());
    };
    let has_payload = segment.payload_length != 0;
    let is_fin = segment.flags.any(Flags::FIN);
    let mut step = Step::none(seen);
    let mut first = false;
    let mut answers = false;
    match seen.phase() {
        // TIME-WAIT, or a challenge: the SYN was for a connection of before.
        Phase::Waiting if !has_payload && !is_fin => {
            step.ends = Some(Outcome::Abandoned);
            step.next = seen.with(Phase::Closed);
        }
        Phase::Verified | Phase::Greeting if has_payload => {
            first = !seen.any(State::SPOKEN);
            if seen.phase() == Phase::Greeting {
                step.ends = Some(Outcome::Succeeded);
            }
            step.next = seen.with(Phase::Verified).marked(State::SPOKEN);
        }
        Phase::Requesting if has_payload || is_fin => {
            answers = has_payload;
            step.ends = Some(if answers {
                Outcome::Succeeded
            } else {
                Outcome::Failed
            });
            step.next = seen.with(Phase::Exchanged);
        }
        _ => {}
    }
    if is_fin {
        step.mark_fin(State::FIN_OUT);
    }
    let Taken::At(now_ns) = take(tables, flow, entry, seen, &step)? else {
        return Some(());
    };
    if first {
        tables.count(flow.key.service, |counters| counters.server_first += 1)?;
    }
    if answers && flow.service.options().any(Options::HTTP) {
        status_out(tables, packet, flow, segment, now_ns)?;
    }
    Some(())
}

/// The first payload of a response, of which a status is wanted.
#[inline(always)]
fn status_out<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    flow: &Flow<'_>,
    segment: &Segment,
    now_ns: u64,
) -> Option<()> {
    let Some(class) = http::status_class(packet, segment.payload_offset, segment.payload_length)
    else {
        return Some(());
    };
    let index = crate::verifier::bounded(usize::from(class) - 1, 7);
    tables.count(flow.key.service, |counters| {
        if let Some(count) = counters.http_responses.get_mut(index) {
            *count += 1;
        }
    })?;
    // An interim response (RFC 9110 section 15.2) says nothing yet.
    if class == 1 {
        return Some(());
    }
    trials::judge(tables, &flow.service, Kind::Status, now_ns, class < 5)
}
