//! Cohort rings: what became of the trials of one service and kind, by when they began.
//!
//! Outcomes are added to the ring's bucket of the trial's *start*, so a bucket is a
//! cohort: what became of those that started together. All counts only grow; user space
//! keeps what it has seen and looks at differences, so nothing is ever reset and nothing
//! can be lost between two readings.
//!
//! The ring spans at least twice the deadline, and an outcome is added only while
//! the trial is younger than the deadline, so a bucket's laps cannot mix.
//!
//! ```text
//! heads    │ deadline, width, mark │ deadline, width, mark │ ...     16 bytes each
//! buckets  │ 64 cohorts            │ 64 cohorts            │ ...   1,040 bytes each
//! ```
//! Heads and buckets lie apart: every trial needs its ring's head, and those of thousands
//! of services fit into a processor's cache; so do the marks that user space looks at.

use crate::{
    cell::{Atomics, Shared},
    trial::Outcome,
};

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

    /// Whether a trial of this bucket is undecided.
    #[inline(always)]
    pub fn has_undecided(&self) -> bool {
        let ended = self
            .succeeded
            .load()
            .wrapping_add(self.failed.load())
            .wrapping_add(self.abandoned.load());
        self.started.load() != ended
    }
}

/// The buckets of a ring.
#[repr(C)]
#[derive(Debug)]
pub struct Cohorts {
    /// By time.
    pub buckets: [CohortBucket; BUCKETS],
    /// Explicit padding: at a power of two, the buckets of one time of all rings would
    /// share a few of a cache's sets.
    reserved: [u64; 2],
}

/// What a ring has besides its buckets.
#[repr(C)]
#[derive(Debug)]
pub struct CohortHead {
    /// When an unanswered trial is late. Set before the ring is first used.
    pub deadline_ns: Shared<u64>,
    /// Outcomes that came after the deadline and are in no bucket.
    pub after_deadline: Shared<u32>,
    /// Width of a bucket as a power of two of nanoseconds. Set with the deadline.
    pub width_shift: Shared<u8>,
    /// Whether something was counted since user space last set this to 0. Of a thousand
    /// services most are at rest, and their rings need not be read.
    touched: Shared<u8>,
    reserved: [u8; 2],
}

const _: () = assert!(size_of::<CohortBucket>() == 16);
const _: () = assert!(size_of::<Cohorts>() == 16 * BUCKETS + 16);
const _: () = assert!(size_of::<CohortHead>() == 16);

/// The cohort ring of one service and trial kind.
#[derive(Clone, Copy, Debug)]
pub struct CohortRing<'a> {
    /// Its head.
    pub head: &'a CohortHead,
    /// Its buckets.
    pub cohorts: &'a Cohorts,
}

impl Cohorts {
    /// Unused buckets.
    pub const fn new() -> Self {
        Self {
            buckets: [const { CohortBucket::new() }; BUCKETS],
            reserved: [0; 2],
        }
    }
}

impl Default for Cohorts {
    fn default() -> Self {
        Self::new()
    }
}

impl CohortHead {
    /// That of a ring that was never used, for trials with this deadline.
    pub fn new(deadline_ns: u64) -> Self {
        Self {
            deadline_ns: Shared::new(deadline_ns),
            after_deadline: Shared::new(0),
            width_shift: Shared::new(width_shift(deadline_ns)),
            touched: Shared::new(0),
            reserved: [0; 2],
        }
    }

    /// Says that something was counted, after it was. Stored only where that is news, so
    /// that CPUs do not take the line from each other at every packet.
    #[inline(always)]
    fn touch(&self) {
        if self.touched.load() == 0 {
            self.touched.store(1);
        }
    }

    /// Whether something was counted since the last call. What is read after a full memory
    /// barrier after this call holds all that was counted before it, except, on processors
    /// that order less than x86, for what a CPU is counting just now.
    pub fn take_touched(&self) -> bool {
        let touched = self.touched.load() != 0;
        if touched {
            self.touched.store(0);
        }
        touched
    }
}

impl<'a> CohortRing<'a> {
    /// The bucket of trials that started at `start_ns`.
    #[inline(always)]
    pub fn bucket(&self, start_ns: u64) -> &'a CohortBucket {
        let shift = self.head.width_shift.load() & 63;
        &self.cohorts.buckets[(start_ns >> shift) as usize & (BUCKETS - 1)]
    }

    /// A trial starts.
    #[inline(always)]
    pub fn begin<A: Atomics>(&self, start_ns: u64) {
        A::add(&self.bucket(start_ns).started, 1);
        self.head.touch();
    }

    /// A trial that started at `start_ns` ends.
    #[inline(always)]
    pub fn end<A: Atomics>(&self, start_ns: u64, now_ns: u64, outcome: Outcome) {
        A::add(self.counter(start_ns, now_ns, outcome), 1);
        self.head.touch();
    }

    #[inline(always)]
    fn counter(&self, start_ns: u64, now_ns: u64, outcome: Outcome) -> &'a Shared<u32> {
        if now_ns.saturating_sub(start_ns) > self.head.deadline_ns.load() {
            return &self.head.after_deadline;
        }
        let bucket = self.bucket(start_ns);
        match outcome {
            Outcome::Succeeded => &bucket.succeeded,
            Outcome::Failed => &bucket.failed,
            Outcome::Abandoned => &bucket.abandoned,
        }
    }

    /// Whether trials that started one deadline ago, and a bucket more, are still
    /// undecided: silence, seen at a packet rather than at a reading.
    #[inline(always)]
    pub fn is_silent(&self, now_ns: u64) -> bool {
        let width_ns = 1u64 << (self.head.width_shift.load() & 63);
        let then_ns = now_ns.wrapping_sub(self.head.deadline_ns.load().wrapping_add(width_ns));
        self.bucket(then_ns).has_undecided()
    }
}

/// The narrowest bucket width, as a power of two of nanoseconds, with which a ring
/// spans at least twice `deadline_ns`. At least 2^16 ns (66 µs).
pub fn width_shift(deadline_ns: u64) -> u8 {
    let mut shift: u8 = 16;
    while shift < 40 && (BUCKETS as u64) << shift < deadline_ns.saturating_mul(2) {
        shift += 1;
    }
    shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostTables;

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

    #[test]
    fn a_ring_is_marked_by_whatever_is_counted_there() {
        let (head, cohorts) = (CohortHead::new(100_000_000), Cohorts::new());
        let ring = CohortRing {
            head: &head,
            cohorts: &cohorts,
        };
        assert!(!head.take_touched(), "never used");
        ring.begin::<HostTables>(0);
        assert!(head.take_touched());
        assert!(!head.take_touched(), "taken");
        ring.end::<HostTables>(0, 1, Outcome::Succeeded);
        assert!(head.take_touched());
        ring.end::<HostTables>(0, 200_000_000, Outcome::Failed);
        assert!(head.take_touched(), "after the deadline, too");
    }
}
