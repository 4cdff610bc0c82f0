//! In flow the readings of a service's cohort rings; out flow the totals of every
//! kind of trial, and the news of each.

use std::collections::BTreeMap;

use probe_common::trial::Kind;

use crate::{
    input::TrialReading,
    status::TrialTotals,
    time::Timestamp,
    window::{Outcomes, Read, Window},
};

/// All kinds of trials of one service.
#[derive(Clone, Debug)]
pub struct Tally {
    judged: Kind,
    kinds: BTreeMap<Kind, Trials>,
}

#[derive(Clone, Debug, Default)]
struct Trials {
    window: Window,
    totals: TrialTotals,
}

impl Tally {
    /// A service that is judged by trials of this kind.
    pub fn new(judged: Kind) -> Self {
        Self {
            judged,
            kinds: BTreeMap::new(),
        }
    }

    /// It is judged by trials of this kind from now on.
    pub fn judge_by(&mut self, kind: Kind) {
        self.judged = kind;
    }

    /// Takes a reading that was begun at `now`; what it says of each kind in it.
    pub fn read(&mut self, readings: &[TrialReading], now: Timestamp) -> Vec<(Kind, Read)> {
        let mut told = Vec::with_capacity(readings.len());
        for reading in readings {
            let trials = self.kinds.entry(reading.kind).or_default();
            let mut read = trials.window.read(&reading.ring, now);
            if let Read::News(news) = &mut read {
                trials.totals.add_all(reading.kind, news);
            }
            told.push((reading.kind, read));
        }
        told
    }

    /// Takes it that nothing had changed at `now`; what that says of each kind that was read.
    pub fn unchanged(&mut self, now: Timestamp) -> Vec<(Kind, Read)> {
        let told = self.kinds.iter_mut().filter_map(|(kind, trials)| {
            let mut news = trials.window.unchanged(now)?;
            trials.totals.add_all(*kind, &mut news);
            Some((*kind, Read::News(news)))
        });
        told.collect()
    }

    /// Whether a kind has to be read before anything can be told of it.
    pub fn is_blank(&self) -> bool {
        self.kinds.values().any(|trials| trials.window.is_blank())
    }

    /// Whether trials of any kind are undecided.
    pub fn is_undecided(&self) -> bool {
        let mut kinds = self.kinds.values();
        kinds.any(|trials| trials.window.has_outstanding())
    }

    /// Forgets the last reading: the next one only rebases.
    pub fn forget(&mut self) {
        for trials in self.kinds.values_mut() {
            trials.window.forget();
        }
    }

    /// How many trials of the first kind started between the last two readings of it.
    pub fn started(&self) -> u64 {
        self.kinds
            .get(&self.judged)
            .map_or(0, |trials| trials.window.started())
    }

    /// Whether trials of the first kind are undecided.
    pub fn has_outstanding(&self) -> bool {
        self.kinds
            .get(&self.judged)
            .is_some_and(|trials| trials.window.has_outstanding())
    }

    /// The totals of every kind that was read.
    pub fn totals(&self) -> BTreeMap<Kind, TrialTotals> {
        self.kinds
            .iter()
            .map(|(kind, trials)| (*kind, trials.totals))
            .collect()
    }

    /// The totals of the judged kind.
    pub fn judged(&self) -> TrialTotals {
        self.kinds
            .get(&self.judged)
            .map(|trials| trials.totals)
            .unwrap_or_default()
    }
}

impl TrialTotals {
    fn add_all(&mut self, kind: Kind, news: &mut [Outcomes]) {
        for outcomes in news {
            if kind.silence_is_success() {
                outcomes.succeeded += core::mem::take(&mut outcomes.late);
            }
            self.add(outcomes);
        }
    }

    fn add(&mut self, outcomes: &Outcomes) {
        self.succeeded += outcomes.succeeded;
        self.failed += outcomes.failed;
        self.late += outcomes.late;
        self.abandoned += outcomes.abandoned;
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use probe_common::cohort::BUCKETS;

    use super::*;
    use crate::input::{Bucket, CohortReading};

    fn reading(kind: Kind, count: u32) -> TrialReading {
        let bucket = Bucket {
            started: count,
            succeeded: count,
            failed: 0,
            abandoned: 0,
        };
        TrialReading {
            kind,
            ring: CohortReading {
                width_shift: 22,
                deadline: Duration::from_millis(100),
                after_deadline: 0,
                buckets: vec![bucket; BUCKETS],
            },
        }
    }

    #[test]
    fn replaced_and_wrapping_counters_make_no_spike() {
        let at = |ms: u64| Timestamp::from_nanos(5_000_000_000 + ms * 1_000_000);
        let mut tally = Tally::new(Kind::Connect);
        for (ms, count, expected, why) in [
            (0, u32::MAX, 0, "the first reading only rebases"),
            (10, 1, 2 * BUCKETS as u64, "a wrap is two more each"),
            (20, 1, 2 * BUCKETS as u64, "nothing new"),
            (
                30,
                u32::MAX - 5,
                2 * BUCKETS as u64,
                "backwards: other maps",
            ),
            (40, u32::MAX - 4, 3 * BUCKETS as u64, "one more each"),
        ] {
            tally.read(&[reading(Kind::Connect, count)], at(ms));
            assert_eq!(tally.judged().succeeded, expected, "{why}");
        }
    }

    #[test]
    fn kinds_may_be_read_at_different_times() {
        let at = |ms: u64| Timestamp::from_nanos(5_000_000_000 + ms * 1_000_000);
        let mut tally = Tally::new(Kind::Connect);
        let both = [reading(Kind::Connect, 0), reading(Kind::Request, 0)];
        tally.read(&both, at(0));
        let judged = [reading(Kind::Connect, 1)];
        let told = tally.read(&judged, at(10));
        assert!(matches!(told[..], [(Kind::Connect, Read::News(_))]));
        tally.read(
            &[reading(Kind::Connect, 1), reading(Kind::Request, 2)],
            at(100),
        );
        let totals = tally.totals();
        assert_eq!(totals[&Kind::Connect].succeeded, BUCKETS as u64);
        assert_eq!(totals[&Kind::Request].succeeded, 2 * BUCKETS as u64);
    }
}
