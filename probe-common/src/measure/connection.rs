//! What a segment means for its connection: the way through the phases of
//! [`flow`](crate::flow), and the trials that start and end on it.

use crate::{
    counters::RstPhase,
    flow::{Entry, Evicted, Inserted, Phase, State},
    packet::Packet,
    parse::{Flags, Network, Segment, http},
    sample::is_sampled,
    service::Options,
    syn::syn_deserves_answer,
    trial::{Kind, Outcome},
};

use super::{Flow, Tables, trials};

/// How far a RST's sequence number may be from what is expected next: a window.
const WINDOW: u32 = 1 << 20;
/// The kernel gives up a half-open connection after five retransmissions of its
/// SYN-ACK, 63 seconds after the first.
const HALF_OPEN_NS: u64 = 64_000_000_000;

/// What a segment changes.
struct Step {
    next: State,
    /// How the present trial ends.
    ends: Option<Outcome>,
    /// The trial that starts.
    begins: Option<Kind>,
    /// How the trial `finish`, which starts and ends at once, ends.
    finishes: Option<bool>,
}

impl Step {
    /// No change.
    #[inline(always)]
    fn none(seen: State) -> Self {
        Self {
            next: seen,
            ends: None,
            begins: None,
            finishes: None,
        }
    }

    /// Marks a FIN. The first FIN of an established connection is its good end.
    #[inline(always)]
    fn mark_fin(&mut self, mark: u32) {
        if self.next.is_established() && !self.next.any(State::FIN_IN | State::FIN_OUT) {
            self.finishes = Some(true);
        }
        self.next = self.next.marked(mark);
    }
}

/// Does what the step says, unless another CPU was first.
#[inline(always)]
fn take<T: Tables>(
    tables: &T,
    flow: &Flow,
    entry: &Entry,
    seen: State,
    step: &Step,
) -> Option<Taken> {
    if step.next == seen {
        return Some(Taken::No);
    }
    let now_ns = tables.now_ns();
    let former = entry.trial();
    let done = if let Some(kind) = step.begins {
        let (trial, ring) = trials::new_trial(tables, &flow.service, kind, now_ns)?;
        let done = entry.begin::<T>(seen, step.next, &trial);
        if done {
            T::add(&ring.bucket(now_ns).started, 1);
        }
        done
    } else {
        entry.advance::<T>(seen, step.next)
    };
    if !done {
        return Some(Taken::No);
    }
    if let Some(outcome) = step.ends {
        trials::end(tables, flow.key.service, former, now_ns, outcome)?;
    }
    if let Some(succeeded) = step.finishes {
        trials::judge(tables, &flow.service, Kind::Finish, now_ns, succeeded)?;
    }
    Some(Taken::At(now_ns))
}

/// Whether a step was taken, and when.
enum Taken {
    No,
    At(u64),
}

#[inline(always)]
pub fn syn_in<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    network: &Network,
    flow: &Flow,
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
        tables.state()?.gate.open(flow.hash, now_ns);
    }
    let (trial, ring) = trials::new_trial(tables, &flow.service, Kind::Connect, now_ns)?;
    let inserted = set.insert::<T>(own, &flow.key, segment.sequence, &trial);
    if inserted == Inserted::NoRoom {
        return tables.count(service, |counters| counters.trials_without_room += 1);
    }
    T::add(&ring.bucket(now_ns).started, 1);
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
        T::add(ring.outcome(started_ns, now_ns, Outcome::Abandoned), 1);
    }
    Some(())
}

#[inline(always)]
pub fn synack_out<T: Tables>(tables: &T, flow: &Flow, segment: &Segment) -> Option<()> {
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
    if entry.answer::<T>(seen, segment.sequence, &trial) {
        T::add(&ring.bucket(now_ns).started, 1);
        trials::end(
            tables,
            flow.key.service,
            connect,
            now_ns,
            Outcome::Succeeded,
        )?;
        tables.state()?.gate.open(flow.hash, now_ns);
    }
    Some(())
}

/// A segment in that is neither SYN nor RST.
#[inline(always)]
pub fn segment_in<T: Tables>(tables: &T, flow: &Flow, segment: &Segment) -> Option<()> {
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
    } else if verifies && flow.service.options.any(Options::SERVER_FIRST) {
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
        tables.state()?.gate.open(flow.hash, now_ns);
    }
    if verifies {
        tables.add_verified(flow.key.service, flow.key.client.network_bucket());
    }
    let sampled = verifies && is_sampled(flow.hash, flow.service.sample_mask);
    let took_cell = sampled
        && tables.cell(flow.key.service, flow.hash)?.take::<T>(
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
    flow: &Flow,
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
    if answers && flow.service.options.any(Options::HTTP) {
        status_out(tables, packet, flow, segment, now_ns)?;
    }
    Some(())
}

/// The first payload of a response, of which a status is wanted.
#[inline(always)]
fn status_out<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    flow: &Flow,
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

#[inline(always)]
pub fn rst_in<T: Tables>(tables: &T, flow: &Flow, segment: &Segment) -> Option<()> {
    let phase = match cell_of_rst(tables, flow, Some(segment.sequence))? {
        RstPhase::Invalid => RstPhase::Invalid,
        by_cell => rst_in_phase(tables, flow, segment, by_cell)?,
    };
    tables.count(flow.key.service, |counters| {
        if let Some(count) = counters.rst_in.get_mut(phase.index()) {
            *count += 1;
        }
    })
}

/// What the sample cell says of a RST: established if the connection is sampled and
/// the RST takes effect, which frees the cell; invalid if it does not.
#[inline(always)]
fn cell_of_rst<T: Tables>(tables: &T, flow: &Flow, sequence: Option<u32>) -> Option<RstPhase> {
    let cell = tables.cell(flow.key.service, flow.hash)?;
    if !cell.is_of(flow.hash) {
        return Some(RstPhase::Unmatched);
    }
    if sequence.is_some_and(|sequence| !cell.accepts_rst(sequence)) {
        return Some(RstPhase::Invalid);
    }
    cell.release();
    Some(RstPhase::Established)
}

/// What a RST in does to its connection; `unknown` if the connection is not in the
/// table. That is established if a sample cell has found the number right.
#[inline(always)]
fn rst_in_phase<T: Tables>(
    tables: &T,
    flow: &Flow,
    segment: &Segment,
    unknown: RstPhase,
) -> Option<RstPhase> {
    let Some((entry, seen)) = tables.connections(flow.hash)?.find(&flow.key) else {
        return Some(unknown);
    };
    let mut step = Step::none(seen);
    step.next = seen.with(Phase::Closed);
    let offset = segment.sequence.wrapping_sub(entry.client_next());
    let phase = match seen.phase() {
        // The client takes its SYN back, for example after a challenge ACK.
        Phase::Waiting if offset.wrapping_add(1) <= 1 => {
            step.ends = Some(Outcome::Abandoned);
            RstPhase::Refused
        }
        Phase::HalfOpen if offset == 0 => {
            step.ends = Some(Outcome::Failed);
            RstPhase::HalfOpen
        }
        Phase::Verified | Phase::Exchanged => established(seen),
        Phase::Greeting | Phase::Requesting
            if offset < WINDOW || unknown == RstPhase::Established =>
        {
            step.ends = Some(Outcome::Abandoned);
            established(seen)
        }
        Phase::Empty | Phase::Busy | Phase::Closed => RstPhase::Unmatched,
        _ => RstPhase::Invalid,
    };
    if phase == RstPhase::Established {
        step.finishes = Some(true);
    }
    if !matches!(phase, RstPhase::Invalid | RstPhase::Unmatched) {
        take(tables, flow, entry, seen, &step)?;
    }
    Some(phase)
}

#[inline(always)]
pub fn rst_out<T: Tables>(tables: &T, flow: &Flow, segment: &Segment) -> Option<()> {
    let by_cell = cell_of_rst(tables, flow, None)?;
    let phase = rst_out_phase(tables, flow, segment, by_cell)?;
    tables.count(flow.key.service, |counters| {
        if let Some(count) = counters.rst_out.get_mut(phase.index()) {
            *count += 1;
        }
    })
}

/// As [`rst_in_phase`], for a RST out.
#[inline(always)]
fn rst_out_phase<T: Tables>(
    tables: &T,
    flow: &Flow,
    segment: &Segment,
    unknown: RstPhase,
) -> Option<RstPhase> {
    let Some((entry, seen)) = tables.connections(flow.hash)?.find(&flow.key) else {
        return Some(unknown);
    };
    let mut step = Step::none(seen);
    step.next = seen.with(Phase::Closed);
    // RFC 9293 section 3.10.7.1: the RST that answers a SYN acknowledges it.
    let answers_syn = segment.flags.any(Flags::ACK)
        && segment.acknowledgment == entry.client_number().wrapping_add(1);
    let phase = match seen.phase() {
        Phase::Waiting if answers_syn => {
            step.ends = Some(Outcome::Failed);
            RstPhase::Refused
        }
        Phase::HalfOpen if is_end_of_half_open(entry, segment) => {
            step.ends = Some(Outcome::Abandoned);
            RstPhase::HalfOpen
        }
        Phase::Greeting | Phase::Requesting => {
            step.ends = Some(Outcome::Failed);
            established(seen)
        }
        Phase::Verified | Phase::Exchanged => established(seen),
        _ => RstPhase::Unmatched,
    };
    if phase == RstPhase::Established {
        step.finishes = Some(false);
    }
    if phase != RstPhase::Unmatched {
        take(tables, flow, entry, seen, &step)?;
    }
    Some(phase)
}

/// Whether a RST out ends a half-open connection. One that turns down an ACK with a
/// wrong number has that number, and ends nothing (RFC 9293 section 3.10.7.4).
#[inline(always)]
fn is_end_of_half_open(entry: &Entry, segment: &Segment) -> bool {
    segment.flags.any(Flags::ACK) || segment.sequence == entry.service_number().wrapping_add(1)
}

/// A RST of an established connection, or one after a FIN, when the connection was
/// at its end anyway.
#[inline(always)]
fn established(seen: State) -> RstPhase {
    if seen.any(State::FIN_IN | State::FIN_OUT) {
        RstPhase::Stray
    } else {
        RstPhase::Established
    }
}
