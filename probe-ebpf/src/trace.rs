//! Tracing: one log record per control segment, for `lapwing run --trace`.
//!
//! aya-log's level is read-only data set before load; at level 0 the verifier
//! removes all of this from the programs.

use aya_log_ebpf::debug;
use probe_common::{measure::TraceEvent, parse::Segment};

/// Tells of one control segment.
#[inline(always)]
pub fn record(event: TraceEvent, segment: &Segment) {
    match event {
        TraceEvent::Started => line("started", segment),
        TraceEvent::NotJudged => line("not judged", segment),
        TraceEvent::Answered => line("answered", segment),
        TraceEvent::Refused => line("refused", segment),
        TraceEvent::Verified => line("verified", segment),
        TraceEvent::Reset => line("reset", segment),
    }
}

#[inline(always)]
fn line(what: &'static str, segment: &Segment) {
    debug!(
        (),
        "{} {:i}:{} > {:i}:{} flags {:x} seq {} ack {}",
        what,
        octets(segment.source.0),
        segment.source_port,
        octets(segment.destination.0),
        segment.destination_port,
        segment.flags.0,
        segment.sequence,
        segment.acknowledgment
    );
}

#[inline(always)]
fn octets(words: [u32; 4]) -> [u8; 16] {
    // SAFETY: any sixteen bytes are sixteen bytes.
    unsafe { core::mem::transmute(words) }
}
