//! What a RST means for its connection, and whether it takes effect at all.

use crate::{
    counters::RstPhase,
    flow::{Entry, Phase, State},
    parse::{Flags, Segment},
    trial::Outcome,
};

use super::{
    Flow, Tables,
    step::{Step, take},
};

/// How far a RST's sequence number may be from what is expected next: a window.
const WINDOW: u32 = 1 << 20;

#[inline(always)]
pub fn rst_in<T: Tables>(tables: &T, flow: &Flow<'_>, segment: &Segment) -> Option<()> {
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
fn cell_of_rst<T: Tables>(tables: &T, flow: &Flow<'_>, sequence: Option<u32>) -> Option<RstPhase> {
    let holder = tables.holder(flow.key.service, flow.hash)?;
    if !holder.is(flow.hash) {
        return Some(RstPhase::Unmatched);
    }
    if let Some(sequence) = sequence
        && !tables
            .cell(flow.key.service, flow.hash)?
            .accepts_rst(sequence)
    {
        return Some(RstPhase::Invalid);
    }
    holder.release();
    Some(RstPhase::Established)
}

/// What a RST in does to its connection; `unknown` if the connection is not in the
/// table. That is established if a sample cell has found the number right.
#[inline(always)]
fn rst_in_phase<T: Tables>(
    tables: &T,
    flow: &Flow<'_>,
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
pub fn rst_out<T: Tables>(tables: &T, flow: &Flow<'_>, segment: &Segment) -> Option<()> {
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
    flow: &Flow<'_>,
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
