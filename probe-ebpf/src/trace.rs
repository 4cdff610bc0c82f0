//! Tracing: one log record per control segment, for `lapwing run --trace`.
//!
//! aya-log's level is read-only data set before load; at level 0 the verifier
//! removes all of this from the programs. There is one place that logs, early in
//! each program: the verifier walks a log once for each way that leads to it.

use aya_log_ebpf::debug;
use probe_common::{measure::Direction, parse::Segment};

/// Tells of one control segment.
#[inline(always)]
pub fn log(direction: Direction, segment: &Segment) {
    let direction = match direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    debug!(
        (),
        "{} {:i}:{} > {:i}:{} flags {:x} seq {} ack {}",
        direction,
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
