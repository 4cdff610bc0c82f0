//! In flow how long a service took to answer, out flows when an answer is late: the
//! deadline of a service that was given none.
//!
//! ```text
//! deadline = 4 · (what 999 of 1,000 answers stay below), from 100 ms to 2 s
//! ```
//! It moves only if it should be half or twice what it is: each move starts new
//! cohorts, and what was undecided is not judged. A service in doubt teaches nothing,
//! so that a slow one does not become the normal one: what is too slow fails first.

use probe_common::latency::{BUCKETS, upper_bound_ns};
use serde::{Deserialize, Serialize};

use core::time::Duration;

/// So many answers must have been seen.
const LEAST_ANSWERS: f64 = 2000.0;
/// The part of them that must stay below.
const QUANTILE: f64 = 0.999;
/// The deadline is so many times that.
const MARGIN: u32 = 4;
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);
/// At each look, so much of what was known before is forgotten.
const KEPT: f64 = 0.98;

/// What is known about the answers of one service.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The cumulative histogram as last read.
    seen: Option<[u64; BUCKETS]>,
    learned: Learned,
}

/// What is remembered over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Answers by the histogram's bucket, fading.
    buckets: Vec<f64>,
}

impl Answers {
    /// Takes a reading, and learns from what is new in it if the service was `healthy`
    /// all the time.
    pub fn read(&mut self, buckets: &[u64], healthy: bool) {
        let Ok(now) = <[u64; BUCKETS]>::try_from(buckets) else {
            self.seen = None;
            return;
        };
        let before = self.seen.replace(now);
        let Some(before) = before.filter(|_| healthy) else {
            return;
        };
        self.learned.buckets.resize(BUCKETS, 0.0);
        for (bucket, learned) in self.learned.buckets.iter_mut().enumerate() {
            // A counter that went backwards belongs to other maps.
            let new = now[bucket].saturating_sub(before[bucket]);
            *learned = *learned * KEPT + new as f64;
        }
    }

    /// The deadline that should replace `present`, if any should.
    pub fn better_than(&self, present: Duration) -> Option<Duration> {
        let wanted = self.deadline()?;
        (wanted >= present * 2 || wanted * 2 <= present).then_some(wanted)
    }

    fn deadline(&self) -> Option<Duration> {
        let total: f64 = self.learned.buckets.iter().sum();
        if total < LEAST_ANSWERS {
            return None;
        }
        let mut sum = 0.0;
        let bucket = self.learned.buckets.iter().position(|count| {
            sum += count;
            sum >= total * QUANTILE
        })?;
        let bound = upper_bound_ns(bucket).map_or(LONGEST, Duration::from_nanos);
        Some((bound * MARGIN).clamp(SHORTEST, LONGEST))
    }

    /// What is worth remembering.
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// Knows again what was remembered.
    pub fn recall(&mut self, learned: Learned) {
        self.learned = learned;
    }
}

#[cfg(test)]
mod tests {
    use probe_common::latency::bucket;

    use super::*;

    const MS: u64 = 1_000_000;

    /// A service of which so many answers took so many milliseconds.
    fn answers(taken: &[(u64, u64)], healthy: bool) -> Answers {
        let mut answers = Answers::default();
        let mut buckets = [7; BUCKETS];
        answers.read(&buckets, true);
        for (count, milliseconds) in taken {
            buckets[bucket(milliseconds * MS)] += count;
        }
        answers.read(&buckets, healthy);
        answers
    }

    #[test]
    fn the_deadline_is_four_times_what_nearly_all_answers_take() {
        let present = Duration::from_millis(200);
        for (description, taken, expected) in [
            ("quick", vec![(10_000, 1)], Some(100)),
            ("too few", vec![(1000, 1)], None),
            ("as it is", vec![(10_000, 50)], None),
            ("a rare slow one", vec![(10_000, 1), (5, 900)], Some(100)),
            ("recursion", vec![(10_000, 1), (100, 150)], Some(671)),
            ("very slow", vec![(10_000, 30_000)], Some(2000)),
        ] {
            let better = answers(&taken, true).better_than(present);
            let better = better.map(|deadline| deadline.as_millis());
            assert_eq!(better, expected, "{description}");
        }
    }

    #[test]
    fn a_service_in_doubt_teaches_nothing() {
        let answers = answers(&[(10_000, 900)], false);
        assert_eq!(answers.better_than(Duration::from_millis(200)), None);
    }

    #[test]
    fn what_is_remembered_counts_and_other_maps_do_not() {
        let mut known = answers(&[(10_000, 1)], true);
        known.read(&[0; BUCKETS], true);
        known.read(&[0; 3], true);
        let mut successor = Answers::default();
        successor.recall(known.learned().clone());
        let better = successor.better_than(Duration::from_millis(200));
        assert_eq!(better, Some(SHORTEST));
    }
}
