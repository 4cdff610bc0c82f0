//! How long answers took in the last seconds: the kernel side's histograms, which only
//! grow, flow in once a second; medians and 99th percentiles flow out.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use probe_common::{
    latency::{BUCKETS, Histogram, upper_bound_ns},
    trial::Kind,
};
use probe_core::{Renumbering, Timestamp};
use serde::{Deserialize, Serialize};

/// Of one service and kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LatencyView {
    /// Half of the answers came sooner.
    pub p50_seconds: f64,
    /// Of a hundred answers, one came later.
    pub p99_seconds: f64,
}

/// A service's histograms, without those that are empty.
type Histograms = BTreeMap<Kind, Histogram>;

/// The histograms of a few seconds ago.
#[derive(Debug, Default)]
pub struct Latencies {
    /// Two at most: a histogram is nearly a kilobyte, and services may be a thousand.
    marks: VecDeque<(Timestamp, Vec<Histograms>)>,
}

impl Latencies {
    /// "Recent" means since so long ago, up to twice as long.
    const SPAN: Duration = Duration::from_secs(5);

    /// Takes the present histograms, one map per service.
    pub fn push(&mut self, now: Timestamp, histograms: &[Histograms]) {
        let due = self
            .marks
            .back()
            .is_none_or(|(at, _)| now.since(*at) >= Self::SPAN);
        if !due {
            return;
        }
        if self.marks.len() == 2 {
            self.marks.pop_front();
        }
        let filled = |kinds: &Histograms| {
            let filled = kinds.iter().filter(|(_, histogram)| !is_empty(histogram));
            filled
                .map(|(kind, histogram)| (*kind, *histogram))
                .collect()
        };
        self.marks
            .push_back((now, histograms.iter().map(filled).collect()));
    }

    /// The services have other numbers; there are `count` of them now.
    pub fn renumber(&mut self, numbers: &Renumbering, count: usize) {
        for (_, services) in &mut self.marks {
            let moved = numbers.move_services(core::mem::take(services), count);
            *services = moved.into_iter().map(Option::unwrap_or_default).collect();
        }
    }

    /// What came between the oldest mark and `now`, the service's present histograms.
    pub fn recent(&self, service: usize, now: &Histograms) -> BTreeMap<Kind, LatencyView> {
        let Some(then) = self
            .marks
            .front()
            .and_then(|(_, services)| services.get(service))
        else {
            return BTreeMap::new();
        };
        let none = Histogram::default();
        now.iter()
            .filter_map(|(kind, now)| {
                let since = since(then.get(kind).unwrap_or(&none), now)?;
                Some((*kind, view(&since)?))
            })
            .collect()
    }
}

/// What a histogram says; nothing if it is empty.
pub fn view(buckets: &[u64; BUCKETS]) -> Option<LatencyView> {
    Some(LatencyView {
        p50_seconds: quantile(buckets, 0.5)?,
        p99_seconds: quantile(buckets, 0.99)?,
    })
}

fn is_empty(histogram: &Histogram) -> bool {
    histogram.buckets.iter().all(|count| *count == 0)
}

/// What was added; none if nothing was, or if it was counted anew.
fn since(then: &Histogram, now: &Histogram) -> Option<[u64; BUCKETS]> {
    // Most kinds of most services are quiet.
    if then.sum_ns == now.sum_ns {
        return None;
    }
    let mut added = [0; BUCKETS];
    let mut any = false;
    for ((added, then), now) in added.iter_mut().zip(&then.buckets).zip(&now.buckets) {
        *added = now.checked_sub(*then)?;
        any |= *added > 0;
    }
    any.then_some(added)
}

/// The time below which this part of the answers lies, taken as evenly spread within
/// their bucket, in seconds.
fn quantile(buckets: &[u64; BUCKETS], part: f64) -> Option<f64> {
    let all: u64 = buckets.iter().sum();
    let rank = part * all as f64;
    let mut below = 0.0;
    for (bucket, count) in buckets.iter().enumerate() {
        let count = *count as f64;
        if count > 0.0 && below + count >= rank {
            let lower = match bucket {
                0 => 0,
                bucket => upper_bound_ns(bucket - 1)?,
            } as f64;
            // The last bucket has no upper end.
            let upper = upper_bound_ns(bucket).map_or(lower, |bound| bound as f64);
            return Some((lower + (upper - lower) * (rank - below) / count) / 1e9);
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use probe_common::latency::bucket;

    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000)
    }

    fn histograms(answers: &[(u64, u64)]) -> Histograms {
        let mut histogram = Histogram::default();
        for (ns, count) in answers {
            histogram.buckets[bucket(*ns)] += count;
            histogram.sum_ns += ns * count;
        }
        BTreeMap::from([(Kind::Connect, histogram)])
    }

    #[test]
    fn quantiles_lie_in_the_right_bucket() {
        let ms = 1_000_000;
        for (description, answers, part, low, high) in [
            ("one answer", vec![(3 * ms, 1)], 0.5, 2.6e-3, 3.4e-3),
            (
                "the median of a hundred",
                vec![(ms, 99), (50 * ms, 1)],
                0.5,
                0.9e-3,
                1.1e-3,
            ),
            (
                "one slow of a hundred is not the 99th",
                vec![(ms, 99), (50 * ms, 1)],
                0.99,
                0.9e-3,
                1.2e-3,
            ),
            (
                "two slow of a hundred are",
                vec![(ms, 98), (50 * ms, 2)],
                0.99,
                45e-3,
                60e-3,
            ),
            ("below all bounds", vec![(1, 10)], 0.99, 0.0, 4.1e-6),
            (
                "above all bounds",
                vec![(100_000 * ms, 10)],
                0.5,
                68.0,
                69.0,
            ),
        ] {
            let found = quantile(&histograms(&answers)[&Kind::Connect].buckets, part).unwrap();
            assert!(low <= found && found <= high, "{description}: {found}");
        }
        assert_eq!(quantile(&[0; BUCKETS], 0.5), None);
    }

    #[test]
    fn only_the_last_seconds_count() {
        let mut latencies = Latencies::default();
        let ms = 1_000_000;
        let p99 = |latencies: &Latencies, now: &Histograms| {
            let recent = latencies.recent(0, now);
            recent.get(&Kind::Connect).map(|view| view.p99_seconds)
        };
        let (slow, quick) = ((200 * ms, 100), (2 * ms, 100));
        assert_eq!(
            p99(&latencies, &histograms(&[slow])),
            None,
            "nothing to compare"
        );
        for second in 0..30 {
            latencies.push(at(second), &[histograms(&[slow])]);
            assert!(latencies.marks.len() <= 2);
        }
        assert_eq!(p99(&latencies, &histograms(&[slow])), None, "nothing new");
        let found = p99(&latencies, &histograms(&[slow, quick])).unwrap();
        assert!(found < 3e-3, "{found}");
        assert_eq!(p99(&latencies, &histograms(&[quick])), None, "counted anew");
        assert!(
            latencies.recent(1, &histograms(&[quick])).is_empty(),
            "a new service"
        );
    }
}
