//! In flow counts by hash bucket (of client networks, of queried names), cumulative
//! and wrapping; out flow the new ones, and how evenly the recent ones are spread.
//!
//! A few sources can forge failures, but not failures of everybody: what fails more
//! often than the busiest sources come cannot be theirs alone.

use probe_common::address::NETWORK_BUCKETS;

use crate::exact;

/// Per second: recent counts fade with a time constant of ten seconds.
const MEMORY_PER_SECOND: f64 = 0.904_837_418_036;

/// Counts by hash bucket.
#[derive(Clone, Debug)]
pub struct Buckets {
    /// The cumulative counters as last read.
    seen: Option<[u32; NETWORK_BUCKETS]>,
    /// Since the last refresh.
    fresh: [u32; NETWORK_BUCKETS],
    /// The last ten seconds, fading.
    recent: [f64; NETWORK_BUCKETS],
}

impl Default for Buckets {
    fn default() -> Self {
        Self {
            seen: None,
            fresh: [0; NETWORK_BUCKETS],
            recent: [0.0; NETWORK_BUCKETS],
        }
    }
}

impl Buckets {
    /// Takes a reading; says how many are new in it. One that went backwards, or is not
    /// of this ABI, tells nothing.
    pub fn read(&mut self, counts: &[u32]) -> u64 {
        let Ok(counts) = <[u32; NETWORK_BUCKETS]>::try_from(counts) else {
            self.seen = None;
            return 0;
        };
        let mut came = 0;
        if let Some(seen) = &self.seen {
            for ((fresh, now), before) in self.fresh.iter_mut().zip(&counts).zip(seen) {
                let new = now.wrapping_sub(*before);
                if new < 1 << 31 {
                    *fresh = fresh.saturating_add(new);
                    came += u64::from(new);
                }
            }
        }
        self.seen = Some(counts);
        came
    }

    /// Once a second (or after `seconds`): what is new since the last time.
    pub fn refresh(&mut self, seconds: u64) -> [u32; NETWORK_BUCKETS] {
        let kept = exact::power(MEMORY_PER_SECOND, seconds);
        let fresh = core::mem::replace(&mut self.fresh, [0; NETWORK_BUCKETS]);
        for (recent, fresh) in self.recent.iter_mut().zip(fresh) {
            *recent = *recent * kept + f64::from(fresh);
        }
        fresh
    }

    /// The part of the recent counts that stands in the fullest `count` buckets; 1 if
    /// there is none.
    pub fn busiest_share(&self, count: usize) -> f64 {
        let mut buckets = self.now();
        let total: f64 = buckets.iter().sum();
        if total <= 0.0 {
            return 1.0;
        }
        buckets.sort_unstable_by(|a, b| b.total_cmp(a));
        buckets.iter().take(count).sum::<f64>() / total
    }

    /// The cumulative counts as last read; zeros before.
    pub fn counts(&self) -> [u32; NETWORK_BUCKETS] {
        self.seen.unwrap_or([0; NETWORK_BUCKETS])
    }

    /// Whether the counts are known.
    pub fn is_read(&self) -> bool {
        self.seen.is_some()
    }

    /// How much the `count` buckets that grew most have grown since `before`.
    pub fn busiest_since(&self, before: &[u32; NETWORK_BUCKETS], count: usize) -> u64 {
        let now = self.counts();
        let mut grown: [u32; NETWORK_BUCKETS] =
            core::array::from_fn(|bucket| now[bucket].wrapping_sub(before[bucket]));
        grown.sort_unstable_by(|a, b| b.cmp(a));
        grown
            .iter()
            .take(count)
            .map(|grown| u64::from(*grown))
            .sum()
    }

    /// In how many buckets something recent stands.
    pub fn filled(&self) -> usize {
        self.now().iter().filter(|count| **count >= 0.5).count()
    }

    fn now(&self) -> [f64; NETWORK_BUCKETS] {
        core::array::from_fn(|bucket| self.recent[bucket] + f64::from(self.fresh[bucket]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(counts: &[(usize, u32)]) -> Buckets {
        let mut buckets = Buckets::default();
        let mut reading = [7; NETWORK_BUCKETS];
        buckets.read(&reading);
        for (bucket, count) in counts {
            reading[*bucket] += count;
        }
        buckets.read(&reading);
        buckets
    }

    #[test]
    fn the_busiest_are_those_that_lead() {
        let even: Vec<_> = (0..NETWORK_BUCKETS).map(|bucket| (bucket, 10)).collect();
        let cases = [
            ("nobody", vec![], 1.0, 0),
            ("one", vec![(3, 10)], 1.0, 1),
            (
                "two and many",
                vec![(0, 40), (9, 40), (5, 10), (6, 10)],
                0.8,
                4,
            ),
            ("all alike", even, 2.0 / 64.0, 64),
        ];
        for (description, counts, share, filled) in cases {
            let buckets = read(&counts);
            let busiest = buckets.busiest_share(2);
            assert!((busiest - share).abs() < 1e-9, "{description}: {busiest}");
            assert_eq!(buckets.filled(), filled, "{description}");
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut buckets = read(&[(0, 1000)]);
        buckets.refresh(1);
        assert_eq!(buckets.filled(), 1);
        buckets.refresh(100);
        assert_eq!(buckets.filled(), 0);
    }

    #[test]
    fn counters_that_went_backwards_tell_nothing() {
        let mut buckets = read(&[(0, 1000)]);
        assert_eq!(buckets.read(&[0; NETWORK_BUCKETS]), 0);
        assert_eq!(
            buckets.read(&[2; NETWORK_BUCKETS]),
            2 * NETWORK_BUCKETS as u64
        );
        assert_eq!(buckets.read(&[2; 3]), 0);
    }
}
