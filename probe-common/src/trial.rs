//! Trials and cohort rings.
//!
//! A trial starts at one packet and succeeds, fails, is abandoned, or is late at
//! its deadline. Outcomes are added to the ring's bucket of the trial's *start*, so
//! a bucket is a cohort: what became of those that started together. All counts
//! only grow; user space keeps what it has seen and looks at differences, so
//! nothing is ever reset and nothing can be lost between two readings.
//!
//! The ring spans at least twice the deadline, and an outcome is added only while
//! the trial is younger than the deadline, so a bucket's laps cannot mix.

use crate::cell::Shared;

/// Buckets of a cohort ring.
pub const BUCKETS: usize = 64;

/// Trials that started in one bucket's span of time: cumulative over all laps.
#[repr(C)]
#[derive(Debug, Default)]
pub struct CohortBucket {
    /// Trials started.
    pub started: Shared<u32>,
    /// ... of which succeeded in time.
    pub succeeded: Shared<u32>,
    /// ... of which failed at once.
    pub failed: Shared<u32>,
    /// ... of which nobody can say: the entry was evicted, or the client gave up.
    pub abandoned: Shared<u32>,
}

impl CohortBucket {
    /// An unused bucket.
    pub const fn new() -> Self {
        Self {
            started: Shared::new(0),
            succeeded: Shared::new(0),
            failed: Shared::new(0),
            abandoned: Shared::new(0),
        }
    }
}

/// The cohort ring of one service and trial kind.
#[repr(C)]
#[derive(Debug)]
pub struct CohortRing {
    /// When an unanswered trial is late. Set before the ring is first used.
    pub deadline_ns: Shared<u64>,
    /// Width of a bucket as a power of two of nanoseconds. Set with the deadline.
    pub width_shift: Shared<u32>,
    /// Outcomes that came after the deadline and are in no bucket.
    pub after_deadline: Shared<u32>,
    /// The buckets.
    pub buckets: [CohortBucket; BUCKETS],
}

const _: () = assert!(size_of::<CohortBucket>() == 16);
const _: () = assert!(size_of::<CohortRing>() == 16 + 16 * BUCKETS);

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered as it should be.
    Succeeded,
    /// Turned down at once.
    Failed,
    /// Nobody can say.
    Abandoned,
}

impl CohortRing {
    /// The bucket of trials that started at `start_ns`.
    #[inline(always)]
    pub fn bucket(&self, start_ns: u64) -> &CohortBucket {
        let shift = self.width_shift.load() & 63;
        &self.buckets[(start_ns >> shift) as usize & (BUCKETS - 1)]
    }

    /// The counter to which an outcome at `now_ns` of a trial from `start_ns` belongs.
    #[inline(always)]
    pub fn outcome(&self, start_ns: u64, now_ns: u64, outcome: Outcome) -> &Shared<u32> {
        if now_ns.saturating_sub(start_ns) > self.deadline_ns.load() {
            return &self.after_deadline;
        }
        let bucket = self.bucket(start_ns);
        match outcome {
            Outcome::Succeeded => &bucket.succeeded,
            Outcome::Failed => &bucket.failed,
            Outcome::Abandoned => &bucket.abandoned,
        }
    }
}

/// The narrowest bucket width, as a power of two of nanoseconds, with which a ring
/// spans at least twice `deadline_ns`. At least 2^16 ns (66 µs).
pub fn width_shift(deadline_ns: u64) -> u32 {
    let mut shift = 16;
    while shift < 40 && (BUCKETS as u64) << shift < deadline_ns.saturating_mul(2) {
        shift += 1;
    }
    shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_spans_twice_the_deadline_and_no_more_than_needed() {
        for deadline_ms in [1u64, 5, 50, 100, 200, 1_000, 60_000] {
            let deadline_ns = deadline_ms * 1_000_000;
            let span = (BUCKETS as u64) << width_shift(deadline_ns);
            assert!(span >= 2 * deadline_ns, "{deadline_ms} ms");
            assert!(
                span < 4 * deadline_ns || width_shift(deadline_ns) == 16,
                "{deadline_ms} ms"
            );
        }
    }
}
