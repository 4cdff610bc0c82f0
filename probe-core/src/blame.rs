//! In flow the trials that started since a suspicion began, and how many of them each
//! network began; out flows whether more fails than the busiest networks could make fail.
//!
//! Both are counted over the same time, and of the same trials. Against its part of the
//! clients of the last minutes, whoever suddenly opens many connections would seem to be
//! everybody; against the handshakes of the same time, whoever opened them slowly before
//! and now sends a request on each.

use core::time::Duration;

use probe_common::address::NETWORK_BUCKETS;

use crate::{spread::Buckets, time::Timestamp, window::Outcomes};

/// What so many networks could have done is no fault of the server's.
const BUSIEST: usize = 4;

/// What failed since a moment, and who came.
#[derive(Clone, Debug)]
pub struct Blame {
    since: Timestamp,
    failures: u64,
    judged: u64,
    /// The trials that each network had begun by then.
    before: [u32; NETWORK_BUCKETS],
}

/// The part of the trials that failed, and the part that the busiest networks could
/// have made fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// What failed.
    pub failing: f64,
    /// What the busiest networks began; above 1 while some of that is undecided.
    pub busiest: f64,
}

impl Blame {
    /// Counts from now on.
    pub fn begin(begun: &Buckets, now: Timestamp) -> Self {
        Self {
            since: now,
            failures: 0,
            judged: 0,
            before: begun.counts(),
        }
    }

    /// Adds the news of one bucket. Trials that started before count for nothing: who
    /// began them is not known either.
    pub fn add(&mut self, outcomes: &Outcomes) {
        if outcomes.start >= self.since {
            self.failures = self.failures.saturating_add(outcomes.failures());
            self.judged = self.judged.saturating_add(outcomes.judged());
        }
    }

    /// For how long it counts.
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(self.since)
    }

    /// What is known; nothing without trials, or where nobody counts who begins them.
    pub fn shares(&self, begun: &Buckets) -> Option<Shares> {
        if self.judged == 0 || !begun.is_read() {
            return None;
        }
        let judged = self.judged as f64;
        Some(Shares {
            failing: self.failures as f64 / judged,
            busiest: begun.busiest_since(&self.before, BUSIEST) as f64 / judged,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn outcomes(second: u64, succeeded: u64, late: u64) -> Outcomes {
        Outcomes {
            start: at(second),
            succeeded,
            failed: 0,
            late,
            abandoned: 0,
        }
    }

    #[test]
    fn failures_and_who_began_are_of_the_same_time() {
        let mut counts = [u32::MAX - 3; NETWORK_BUCKETS];
        let mut begun = Buckets::default();
        begun.read(&counts);
        let mut blame = Blame::begin(&begun, at(10));
        assert_eq!(blame.shares(&begun), None);
        // One network begins thirty trials that all fail, and all together ten more.
        counts[5] = counts[5].wrapping_add(30);
        for count in counts.iter_mut().skip(20).take(10) {
            *count = count.wrapping_add(1);
        }
        begun.read(&counts);
        blame.add(&outcomes(9, 0, 99));
        blame.add(&outcomes(10, 10, 0));
        blame.add(&outcomes(11, 0, 30));
        let shares = blame.shares(&begun).unwrap();
        assert!((shares.failing - 0.75).abs() < 1e-9, "{shares:?}");
        assert!((shares.busiest - 0.825).abs() < 1e-9, "{shares:?}");
        assert_eq!(blame.age(at(12)), Duration::from_secs(2));
        assert_eq!(blame.shares(&Buckets::default()), None);
    }
}
