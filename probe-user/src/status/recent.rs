//! What came in the last seconds: totals since the start flow in once a second, rates and
//! ratios of now flow out.

use std::{collections::VecDeque, time::Duration};

use probe_core::{Renumbering, Timestamp, status::TrialTotals};
use serde::{Deserialize, Serialize};

/// Trials of the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Recent {
    /// Judged trials per second.
    pub trials_per_second: f64,
    /// Failed and late ones among them; none if there were no trials.
    pub failure_ratio: Option<f64>,
}

/// Totals of the last seconds, to tell what is happening now.
#[derive(Clone, Debug, Default)]
pub struct History {
    samples: VecDeque<(Timestamp, Vec<TrialTotals>)>,
}

impl History {
    /// "Recent" means so long ago.
    const SPAN: Duration = Duration::from_secs(10);

    /// Adds the present totals, one per service.
    pub fn push(&mut self, now: Timestamp, totals: Vec<TrialTotals>) {
        while self
            .samples
            .get(1)
            .is_some_and(|(at, _)| now.since(*at) >= Self::SPAN)
        {
            self.samples.pop_front();
        }
        self.samples.push_back((now, totals));
    }

    /// The services have other numbers; there are `count` of them now.
    pub fn renumber(&mut self, numbers: &Renumbering, count: usize) {
        for (_, totals) in &mut self.samples {
            let moved = numbers.move_services(core::mem::take(totals), count);
            *totals = moved.into_iter().map(Option::unwrap_or_default).collect();
        }
    }

    /// What came between the oldest and the newest sample.
    pub fn recent(&self, service: usize) -> Recent {
        let (Some((from, old)), Some((to, new))) = (self.samples.front(), self.samples.back())
        else {
            return Recent::default();
        };
        let (Some(old), Some(new)) = (old.get(service), new.get(service)) else {
            return Recent::default();
        };
        let good = new.succeeded.saturating_sub(old.succeeded);
        let bad = new.failed.saturating_sub(old.failed) + new.late.saturating_sub(old.late);
        let seconds = to.since(*from).as_secs_f64();
        Recent {
            trials_per_second: if seconds > 0.0 {
                (good + bad) as f64 / seconds
            } else {
                0.0
            },
            failure_ratio: (good + bad > 0).then(|| bad as f64 / (good + bad) as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(succeeded: u64, failed: u64, late: u64) -> TrialTotals {
        TrialTotals {
            succeeded,
            failed,
            late,
            abandoned: 7,
        }
    }

    #[test]
    fn recent_means_the_last_ten_seconds() {
        let mut history = History::default();
        assert_eq!(history.recent(0), Recent::default());
        let at = |second: u64| Timestamp::from_nanos(second * 1_000_000_000);
        for second in 0..60 {
            history.push(at(second), vec![totals(second * 10, 0, 0)]);
        }
        history.push(at(60), vec![totals(590, 5, 5)]);
        let recent = history.recent(0);
        assert!((recent.trials_per_second - 10.0).abs() < 1e-9, "{recent:?}");
        assert!(
            (recent.failure_ratio.unwrap() - 0.1).abs() < 1e-9,
            "{recent:?}"
        );
        assert_eq!(history.recent(1), Recent::default());
    }
}
