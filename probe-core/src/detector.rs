//! In flow trial outcomes, out flows whether they look like a dead service: a
//! Bernoulli CUSUM (Page 1954), clamped at its threshold.
//!
//! ```text
//! S ← min(h, max(0, S + failures · ln(p1/p0) + successes · ln((1-p1)/(1-p0))))
//! suspect from S = h until S ≤ h/2
//! ```
//!
//! **Order.** Buckets are fed in the order of time. Within one bucket the order is
//! unknown, and clamping makes it matter, so a bucket is fed as one sum and clamped
//! once, after it. Until the first alarm that score is never above the one of the
//! true order, whatever it was (a floor at zero can only raise a walk), so the
//! false-alarm bound holds; successes first and then failures would let five stray
//! failures among a thousand successes nearly reach the threshold. The price is at
//! most the failures of the one bucket in which a fault began. The sum is monotone:
//! turning a success into a failure never lowers the score.
//!
//! Two are fed with the same outcomes. The *fast* one looks for the failure ratio
//! that the operator calls broken; the *grey* one for three times what is normal, at
//! least 5 %, and so finds a service of which a part fails.

use std::collections::VecDeque;

pub use crate::window::Outcomes;
use crate::{exact, time::Timestamp};

/// p0 is never believed to be lower than this.
pub const P0_FLOOR: f64 = 0.005;

/// A service whose p0 bound is higher than this is unfit for this detector.
pub const P0_UNFIT: f64 = 0.1;

/// So many of the newest trials must still fail when a suspicion acts: enough that a
/// service of which a tenth fails hardly ever looks dead.
const NEWEST: u64 = 10;

/// The least failure ratio that is called grey.
const GREY: f64 = 0.05;
/// What is called grey, as a multiple of what is normal.
const GREY_FACTOR: f64 = 3.0;

/// Which failure ratio a detector looks for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    /// The one that is called broken.
    Broken(f64),
    /// Clearly more than is normal.
    Grey,
}

/// Nearly as often as a ratio is this part of it.
const NEARLY: f64 = 0.7;
/// Nearly all.
const NEARLY_ALL: f64 = 0.9;

/// The score of one kind of a service's trials.
#[derive(Clone, Debug)]
pub struct Detector {
    target: Target,
    p1: f64,
    failure_weight: f64,
    success_weight: f64,
    score: f64,
    threshold: f64,
    suspect: bool,
    episode: Option<Episode>,
    newest: Newest,
}

/// What happened since the score left zero: the CUSUM's own estimate of when the
/// change came.
#[derive(Clone, Copy, Debug)]
pub struct Episode {
    /// Start of the bucket of the first failure.
    pub first_failure: Timestamp,
    /// Failed at once since.
    pub failed: u64,
    /// Late since.
    pub late: u64,
    /// Succeeded since.
    pub succeeded: u64,
}

impl Detector {
    /// A fast detector for a service that is broken when `broken` of its trials fail.
    pub fn new(broken: f64, threshold: f64) -> Self {
        let broken = broken.clamp(P0_UNFIT + 0.01, 0.99);
        Self::with_target(Target::Broken(broken), threshold)
    }

    /// A grey detector.
    pub fn grey(threshold: f64) -> Self {
        Self::with_target(Target::Grey, threshold)
    }

    fn with_target(target: Target, threshold: f64) -> Self {
        let mut detector = Self {
            target,
            p1: 0.0,
            failure_weight: 0.0,
            success_weight: 0.0,
            score: 0.0,
            threshold,
            suspect: false,
            episode: None,
            newest: Newest::default(),
        };
        detector.set_p0(P0_UNFIT);
        detector
    }

    /// Another failure ratio is called broken; says whether that changes anything. What
    /// it is weighed by follows with [`set_p0`](Self::set_p0).
    pub fn set_broken(&mut self, broken: f64) -> bool {
        let Target::Broken(before) = self.target else {
            return false;
        };
        let target = Self::new(broken, self.threshold).target;
        self.target = target;
        target != Target::Broken(before)
    }

    /// Sets the failure ratio that is normal.
    pub fn set_p0(&mut self, p0: f64) {
        let p0 = p0.clamp(P0_FLOOR, P0_UNFIT);
        self.p1 = match self.target {
            Target::Broken(ratio) => ratio,
            Target::Grey => GREY.max(GREY_FACTOR * p0),
        };
        self.failure_weight = exact::ln(self.p1 / p0);
        self.success_weight = exact::ln((1.0 - p0) / (1.0 - self.p1));
    }

    /// Sets the threshold h.
    pub fn set_threshold(&mut self, threshold: f64) {
        self.threshold = threshold;
        self.score = self.score.min(threshold);
    }

    /// Feeds one bucket's news.
    pub fn feed(&mut self, outcomes: &Outcomes) {
        if outcomes.judged() == 0 {
            return;
        }
        let failures = outcomes.failures();
        self.newest.push(failures, outcomes.judged());
        if failures > 0 || self.episode.is_some() {
            let episode = self.episode.get_or_insert(Episode {
                first_failure: outcomes.start,
                failed: 0,
                late: 0,
                succeeded: 0,
            });
            episode.failed += outcomes.failed;
            episode.late += outcomes.late;
            episode.succeeded += outcomes.succeeded;
        }
        let sum = self.score + failures as f64 * self.failure_weight
            - outcomes.succeeded as f64 * self.success_weight;
        self.score = sum.clamp(0.0, self.threshold);
        self.suspect |= self.score >= self.threshold;
        self.suspect &= self.score > self.threshold / 2.0;
        if self.score <= 0.0 {
            self.episode = None;
        }
    }

    /// Whether the score reached its threshold and has not fallen to half of it.
    pub fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Whether no failure is being weighed.
    pub fn is_at_rest(&self) -> bool {
        self.episode.is_none()
    }

    /// Whether the newest ten judged trials fail as often as what is looked for.
    pub fn newest_fail(&self) -> bool {
        self.newest
            .failure_ratio()
            .is_some_and(|ratio| ratio >= self.p1)
    }

    /// The failure ratio at which the score neither rises nor falls.
    pub fn balance(&self) -> f64 {
        self.success_weight / (self.success_weight + self.failure_weight)
    }

    /// Whether the trials since the score left zero fail nearly as often as what is
    /// looked for, and not just often enough to raise the score; or nearly all of the
    /// newest do.
    pub fn looks_broken(&self) -> bool {
        let since_zero = self.episode.is_some_and(|episode| {
            let failures = episode.failed.saturating_add(episode.late);
            let judged = failures.saturating_add(episode.succeeded);
            failures as f64 >= NEARLY * self.p1 * judged as f64
        });
        since_zero
            || self
                .newest
                .failure_ratio()
                .is_some_and(|ratio| ratio >= NEARLY_ALL)
    }

    /// Since when the score is above zero, and what came since.
    pub fn episode(&self) -> Option<&Episode> {
        self.episode.as_ref()
    }

    /// The score, in nats.
    pub fn score(&self) -> f64 {
        self.score
    }

    /// The threshold h, in nats.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The failure ratio that is looked for.
    pub fn p1(&self) -> f64 {
        self.p1
    }

    /// Starts again at zero, with the same baseline.
    pub fn reset(&mut self) {
        self.score = 0.0;
        self.suspect = false;
        self.episode = None;
        self.newest = Newest::default();
    }
}

/// The newest ten judged trials, or more where the tenth is in a bucket whose order is
/// unknown.
#[derive(Clone, Debug, Default)]
struct Newest {
    /// (failures, judged), oldest first; none empty, so at most ten.
    buckets: VecDeque<(u64, u64)>,
    failures: u64,
    judged: u64,
}

impl Newest {
    fn push(&mut self, failures: u64, judged: u64) {
        self.buckets.push_back((failures, judged));
        self.failures = self.failures.saturating_add(failures);
        self.judged = self.judged.saturating_add(judged);
        while let Some(&(failures, judged)) = self.buckets.front()
            && self.judged.saturating_sub(judged) >= NEWEST
        {
            self.failures = self.failures.saturating_sub(failures);
            self.judged = self.judged.saturating_sub(judged);
            self.buckets.pop_front();
        }
    }

    fn failure_ratio(&self) -> Option<f64> {
        (self.judged > 0).then(|| self.failures as f64 / self.judged as f64)
    }
}

/// The threshold that keeps the mean time between two false alarms of all detectors
/// together at `period_seconds`: the mean number of trials to a false alarm of one is
/// at least e^h (Lorden 1971).
pub fn threshold(period_seconds: f64, trials_per_second: f64) -> f64 {
    exact::ln((period_seconds * trials_per_second.max(1.0)).max(core::f64::consts::E))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEN_YEARS: f64 = 315_576_000.0;

    fn outcomes(at: u64, succeeded: u64, failed: u64) -> Outcomes {
        Outcomes {
            start: Timestamp::from_nanos(at),
            succeeded,
            failed,
            late: 0,
            abandoned: 0,
        }
    }

    fn detector() -> Detector {
        let mut detector = Detector::new(0.5, threshold(TEN_YEARS, 1000.0));
        detector.set_p0(0.0);
        detector
    }

    #[test]
    fn dead_service_is_suspect_within_seven_trials() {
        let mut detector = detector();
        let trials = (1..100).find(|&at| {
            detector.feed(&outcomes(at, 0, 1));
            detector.is_suspect()
        });
        assert!(trials.unwrap() <= 7, "{trials:?}");
        assert_eq!(
            detector.episode().unwrap().first_failure,
            Timestamp::from_nanos(1)
        );
    }

    #[test]
    fn recovery_is_as_quick_as_detection() {
        let mut detector = detector();
        detector.feed(&outcomes(0, 0, 1_000_000));
        assert!(detector.is_suspect());
        detector.feed(&outcomes(1, 20, 0));
        assert!(!detector.is_suspect());
    }

    #[test]
    fn stray_failures_in_a_large_bucket_are_nothing() {
        let mut detector = detector();
        detector.feed(&outcomes(0, 1000, 5));
        assert!(detector.is_at_rest());
    }

    #[test]
    fn grey_is_three_times_the_normal_and_at_least_five_percent() {
        for (p0, p1) in [(0.0, 0.05), (0.005, 0.05), (0.02, 0.06), (0.1, 0.3)] {
            let mut detector = Detector::grey(1.0);
            detector.set_p0(p0);
            assert!((detector.p1() - p1).abs() < 1e-9, "{p0}: {}", detector.p1());
        }
    }

    #[test]
    fn a_tenth_failing_is_grey_and_not_broken() {
        let (mut fast, mut grey) = (detector(), Detector::grey(threshold(TEN_YEARS, 1000.0)));
        grey.set_p0(0.0);
        let trials = (1..10_000).find(|&at| {
            let failed = u64::from(at % 10 == 0);
            fast.feed(&outcomes(at, 1 - failed, failed));
            grey.feed(&outcomes(at, 1 - failed, failed));
            grey.is_suspect()
        });
        assert!(trials.unwrap() <= 200, "{trials:?}");
        assert!(!fast.is_suspect() && fast.score() < fast.threshold() / 2.0);
        assert!((0.01..0.02).contains(&grey.balance()), "{}", grey.balance());
    }

    #[test]
    fn newest_trials_outweigh_older_ones() {
        let mut detector = detector();
        detector.feed(&outcomes(0, 0, 100));
        assert!(detector.newest_fail());
        detector.feed(&outcomes(1, 6, 0));
        assert!(detector.newest_fail(), "100 of 106");
        detector.feed(&outcomes(2, 4, 0));
        assert!(!detector.newest_fail(), "none of the newest ten");
    }

    proptest! {
        #[test]
        fn turning_successes_into_failures_never_lowers_the_score(
            buckets in prop::collection::vec((0_u64..40, 0_u64..40, 0_u64..40), 1..60),
        ) {
            let (mut fewer, mut more) = (detector(), detector());
            for (at, (succeeded, failed, turned)) in (0..).zip(buckets) {
                let turned = turned.min(succeeded);
                fewer.feed(&outcomes(at, succeeded, failed));
                more.feed(&outcomes(at, succeeded - turned, failed + turned));
                prop_assert!(more.score() >= fewer.score());
                prop_assert!(more.is_suspect() || !fewer.is_suspect());
                prop_assert!(more.newest_fail() || !fewer.newest_fail());
            }
        }
    }
}
