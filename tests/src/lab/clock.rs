//! One clock for every witness: `CLOCK_MONOTONIC`, which the daemon's journal and
//! the kernel side use too. Packet sockets stamp in `CLOCK_REALTIME`; the
//! conversion lives here.

use std::time::Duration;

use nix::{
    sys::time::TimeSpec,
    time::{ClockId, clock_gettime},
};
use probe_core::Timestamp;

/// Now, on the monotonic clock.
pub fn now() -> Timestamp {
    Timestamp::from_nanos(read(ClockId::CLOCK_MONOTONIC))
}

/// The point that is `duration` in the past.
pub fn ago(duration: Duration) -> Timestamp {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Timestamp::from_nanos(now().as_nanos().saturating_sub(nanos))
}

/// The monotonic point of a wall-clock stamp that was taken a moment ago.
pub fn from_realtime(stamp: TimeSpec) -> Timestamp {
    let age = read(ClockId::CLOCK_REALTIME).saturating_sub(nanos(stamp));
    Timestamp::from_nanos(now().as_nanos().saturating_sub(age))
}

/// Milliseconds from `earlier` to `later`, negative if they are the other way round.
pub fn millis_between(earlier: Timestamp, later: Timestamp) -> f64 {
    if later >= earlier {
        later.since(earlier).as_secs_f64() * 1e3
    } else {
        -(earlier.since(later).as_secs_f64() * 1e3)
    }
}

/// Lets the calling thread run as soon as it is woken, so that what it stamps is not
/// late on a busy machine. Without the right to do so the stamps are a little later.
pub fn stamp_promptly() {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameter is valid for the call; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const lowest) };
}

fn read(clock: ClockId) -> u64 {
    // The two clocks exist on every Linux.
    clock_gettime(clock).map_or(0, nanos)
}

fn nanos(time: TimeSpec) -> u64 {
    u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX)
}
