//! Every segment of a sampled connection.

use crate::{
    parse::{Flags, Segment},
    sample::{Cell, Sequence},
    trial::{Kind, Outcome},
};

use super::{Flow, Tables, packets};

#[inline(always)]
pub fn segment_in<T: Tables>(tables: &T, flow: &Flow<'_>, segment: &Segment) -> Option<()> {
    let holder = tables.holder(flow.key.service, flow.hash)?;
    if !holder.is(flow.hash) {
        return Some(());
    }
    let cell = tables.cell(flow.key.service, flow.hash)?;
    let end = segment.end();
    let is_keep_alive = if segment.sequence == end {
        if !cell.is_keep_alive_in(segment.sequence) {
            return Some(());
        }
        true
    } else {
        let is_fin = segment.flags.any(Flags::FIN);
        let now_ns = tables.coarse_now_ns();
        let sequence = cell.segment_in(segment.sequence, end, is_fin, now_ns);
        if sequence != Sequence::KeepAlive {
            tables.count(flow.key.service, |counters| {
                counters.sampled_segments_in += 1;
                counters.retransmissions_in += u64::from(sequence == Sequence::Retransmission);
                counters.out_of_order_in += u64::from(sequence == Sequence::OutOfOrder);
            })?;
        }
        sequence == Sequence::KeepAlive
    };
    if is_keep_alive {
        tables.count(flow.key.service, |counters| counters.keep_alives_in += 1)?;
    }
    if segment.flags.any(Flags::FIN) && cell.end_in() {
        holder.release();
    }
    Some(())
}

#[inline(always)]
pub fn segment_out<T: Tables>(tables: &T, flow: &Flow<'_>, segment: &Segment) -> Option<()> {
    let holder = tables.holder(flow.key.service, flow.hash)?;
    if !holder.is(flow.hash) {
        return Some(());
    }
    let cell = tables.cell(flow.key.service, flow.hash)?;
    cell.acknowledge(segment.acknowledgment);
    let end = segment.end();
    let is_keep_alive = if segment.sequence == end {
        if !cell.is_keep_alive_out(segment.sequence) {
            return Some(());
        }
        true
    } else {
        let now_ns = tables.coarse_now_ns();
        let is_fin = segment.flags.any(Flags::FIN);
        let sequence = cell.segment_out(segment.sequence, end, is_fin, now_ns);
        if sequence != Sequence::KeepAlive {
            deliver(tables, flow, cell, sequence, now_ns)?;
        }
        sequence == Sequence::KeepAlive
    };
    if is_keep_alive {
        tables.count(flow.key.service, |counters| counters.keep_alives_out += 1)?;
    }
    if segment.flags.any(Flags::FIN) && cell.end_out() {
        holder.release();
    }
    Some(())
}

/// The trial `deliver`: a span of an active connection, which the first segment in
/// it starts and the first retransmission fails. A span without one has succeeded.
#[inline(always)]
fn deliver<T: Tables>(
    tables: &T,
    flow: &Flow<'_>,
    cell: &Cell,
    sequence: Sequence,
    now_ns: u64,
) -> Option<()> {
    let ring = tables.ring(flow.service.ring(Kind::Deliver))?;
    if let Some(start_ns) = cell.new_span(now_ns) {
        ring.begin::<T>(start_ns);
        T::add_wide(&tables.uplink(tables.interface())?.spans, 1);
    }
    let again = sequence == Sequence::Retransmission;
    if again && let Some(start_ns) = cell.fail_span() {
        ring.end::<T>(start_ns, now_ns, Outcome::Failed);
        T::add_wide(&tables.uplink(tables.interface())?.spans_failed, 1);
    }
    let segments = packets(tables);
    tables.count(flow.key.service, |counters| {
        counters.sampled_segments_out += segments;
        if again {
            counters.retransmissions_out += segments;
        }
    })
}
