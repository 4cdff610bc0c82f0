//! Tracing: one log record per control segment, for `lapwing run --trace`.
//!
//! aya-log's level is read-only data set before load; at level 0 the verifier
//! removes all of this from the programs. There is one place that logs, early in
//! each program: the verifier walks a log once for each way that leads to it.

use aya_log_ebpf::debug;
use probe_common::measure::{Direction, Event};

/// Tells of one control segment.
#[inline(always)]
pub fn log(event: &Event) {
    let direction = match event.direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    debug!(
        (),
        "service {} {} client {:i}:{} flags {:x} seq {} ack {}",
        event.key.service,
        direction,
        event.key.client.octets(),
        event.key.client_port,
        event.flags,
        event.sequence,
        event.acknowledgment
    );
}
