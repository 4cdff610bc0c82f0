//! In flow outcomes of a healthy service; out flow what is normal for it: its
//! failure ratio p0 (as an upper confidence bound), its trial rate, and whether
//! enough good trials were seen for the detector to speak at all.
//!
//! What may be the beginning of a fault must not become normal. So outcomes wait in
//! a vestibule until the detector's score is back at zero, and are thrown away when
//! it reaches the threshold instead: a fault never dilutes its own evidence.
//!
//! Some services fail more at some hours (a nightly job, a scanner's hour): what was
//! normal at this hour yesterday is normal today, if it is more than what the last
//! hours say.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    detector::{P0_FLOOR, P0_UNFIT},
    exact,
    hours::{hour_of, is_within_a_day, is_yesterday, renumber},
    time::Timestamp,
    window::Outcomes,
};

/// Per second: half of the counts are forgotten in an hour.
const MEMORY_PER_SECOND: f64 = 0.999_807_477_651;

/// Counts do not fade below this, or a quiet night would make the bound meaningless.
/// It is what a clean service needs to prove a p0 of half a percent.
const ENOUGH: f64 = 540.0;

/// One-sided 95 %.
const Z: f64 = 1.644_853_626_951;

/// The success ratio that arms a detector.
const ARMING_RATIO: f64 = 0.95;

/// Time constant of the trial rate, in seconds.
const RATE_MEMORY_SECONDS: f64 = 16.0;

/// What is normal for one kind of a service's trials.
#[derive(Clone, Debug)]
pub struct Baseline {
    arm_after: u64,
    /// The current block of `arm_after` trials.
    block: Counts,
    known: Known,
    /// The upper bound of this hour yesterday.
    yesterday: f64,
    vestibule: Counts,
    /// What left the vestibule since the last [`Baseline::refresh`].
    accepted: Counts,
    /// Judged trials since the last [`Baseline::refresh`].
    trials_since_refresh: u64,
    rate_known_seconds: f64,
}

/// What is remembered over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    armed: bool,
    learned: Learned,
    trials_per_second: f64,
    hours: Vec<Hour>,
}

/// What was learned in one hour of [`Baseline::refresh`]'s clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Hour {
    number: u64,
    learned: Learned,
}

/// A detector was armed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Armed {
    /// After so many trials.
    pub trials: u64,
    /// With this success ratio.
    pub success_ratio: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    trials: u64,
    failures: u64,
}

impl Counts {
    fn add(&mut self, outcomes: &Outcomes) {
        self.join(Self {
            trials: outcomes.judged(),
            failures: outcomes.failures(),
        });
    }

    fn join(&mut self, other: Self) {
        self.trials = self.trials.saturating_add(other.trials);
        self.failures = self.failures.saturating_add(other.failures);
    }
}

/// Counts with a fading memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Learned {
    trials: f64,
    failures: f64,
}

impl Learned {
    fn add(&mut self, counts: Counts) {
        self.trials += counts.trials as f64;
        self.failures += counts.failures as f64;
    }

    /// Wilson's upper bound of the failure ratio.
    fn upper_bound(self) -> f64 {
        self.wilson(1.0).unwrap_or(1.0).min(1.0)
    }

    /// Wilson's lower bound of the failure ratio.
    fn lower_bound(self) -> f64 {
        self.wilson(-1.0).unwrap_or(0.0).max(0.0)
    }

    fn wilson(self, side: f64) -> Option<f64> {
        let n = self.trials;
        if n <= 0.0 {
            return None;
        }
        let p = (self.failures / n).min(1.0);
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        Some((p + Z * Z / (2.0 * n) + side * half) / (1.0 + Z * Z / n))
    }
}

impl Baseline {
    /// Nothing is known.
    pub fn new(arm_after: u32) -> Self {
        Self {
            arm_after: u64::from(arm_after.max(1)),
            block: Counts::default(),
            known: Known::default(),
            yesterday: 0.0,
            vestibule: Counts::default(),
            accepted: Counts::default(),
            trials_since_refresh: 0,
            rate_known_seconds: 0.0,
        }
    }

    /// So many good trials arm it from now on; what is armed stays so.
    pub fn set_arm_after(&mut self, arm_after: u32) {
        self.arm_after = u64::from(arm_after.max(1));
    }

    /// Learns from outcomes that may be normal, and says whether they armed the
    /// detector. `at_rest`: no failure is being weighed after them.
    ///
    /// A baseline that arms begins with the very block that armed it: what a service
    /// did before it was good is not its normal state.
    pub fn learn(&mut self, outcomes: &Outcomes, at_rest: bool) -> Option<Armed> {
        self.trials_since_refresh = self.trials_since_refresh.saturating_add(outcomes.judged());
        self.vestibule.add(outcomes);
        // While nothing depends on it, learn from everything: that is how a service
        // that never gets armed is shown as unfit.
        if at_rest || !self.known.armed {
            let counts = core::mem::take(&mut self.vestibule);
            self.known.learned.add(counts);
            self.accepted.join(counts);
        }
        if self.known.armed {
            return None;
        }
        self.block.add(outcomes);
        if self.block.trials < self.arm_after {
            return None;
        }
        let block = core::mem::take(&mut self.block);
        let success_ratio = 1.0 - block.failures as f64 / block.trials as f64;
        if success_ratio < ARMING_RATIO {
            return None;
        }
        let mut learned = Learned::default();
        learned.add(block);
        if learned.upper_bound() > P0_UNFIT {
            // So few trials that even a good block proves nothing yet.
            self.block = block;
            return None;
        }
        self.known.learned = learned;
        self.known.armed = true;
        Some(Armed {
            trials: block.trials,
            success_ratio,
        })
    }

    /// Throws away what waits: it was a fault, or may have been.
    pub fn discard(&mut self) {
        self.vestibule = Counts::default();
        self.trials_since_refresh = 0;
    }

    /// The present hooks are not those that armed it.
    pub fn disarm(&mut self) {
        self.known.armed = false;
        self.block = Counts::default();
        self.discard();
    }

    /// Once a second (or after `seconds`, if nothing came): ages the counts, and
    /// disarms a service that is not fit for its detector any more. The rate is
    /// learned only if the service was `healthy` all the time.
    pub fn refresh(&mut self, seconds: u64, healthy: bool, now: Timestamp) {
        let trials = core::mem::take(&mut self.trials_since_refresh) as f64;
        if healthy && seconds > 0 {
            let elapsed = seconds as f64;
            let memory = (self.rate_known_seconds + elapsed).min(RATE_MEMORY_SECONDS.max(elapsed));
            self.known.trials_per_second +=
                (trials / elapsed - self.known.trials_per_second) * (elapsed / memory);
            self.rate_known_seconds = memory.min(RATE_MEMORY_SECONDS);
        }
        let learned = &mut self.known.learned;
        if healthy && learned.trials > ENOUGH {
            let kept = exact::power(MEMORY_PER_SECOND, seconds).max(ENOUGH / learned.trials);
            learned.trials *= kept;
            learned.failures *= kept;
        }
        self.remember_hour(now);
        if self.known.armed && self.known.learned.upper_bound() > P0_UNFIT {
            self.disarm();
        }
    }

    fn remember_hour(&mut self, now: Timestamp) {
        let number = hour_of(now);
        let accepted = core::mem::take(&mut self.accepted);
        let hours = &mut self.known.hours;
        hours.retain(|hour| is_within_a_day(hour.number, now));
        if accepted.trials > 0 {
            if let Some(hour) = hours.iter_mut().find(|hour| hour.number == number) {
                hour.learned.add(accepted);
            } else {
                let mut learned = Learned::default();
                learned.add(accepted);
                hours.push(Hour { number, learned });
            }
        }
        self.yesterday = hours
            .iter()
            .find(|hour| is_yesterday(hour.number, now))
            .filter(|hour| hour.learned.trials >= ENOUGH)
            .map_or(0.0, |hour| hour.learned.upper_bound());
    }

    /// What is worth remembering.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Knows again what was remembered `ago`, at `then` of a clock that has been
    /// another one since; now it is `now`.
    pub fn recall(&mut self, mut known: Known, ago: Duration, then: Timestamp, now: Timestamp) {
        known.hours = known
            .hours
            .iter()
            .filter_map(|hour| {
                let number = renumber(hour.number, ago, then, now)?;
                Some(Hour { number, ..*hour })
            })
            .collect();
        if known.trials_per_second > 0.0 {
            self.rate_known_seconds = RATE_MEMORY_SECONDS;
        }
        self.known = known;
        self.remember_hour(now);
    }

    /// Whether the detector may speak.
    pub fn is_armed(&self) -> bool {
        self.known.armed
    }

    /// Whether so much fails normally that no detector can speak.
    pub fn is_unfit(&self) -> bool {
        let learned = &self.known.learned;
        !self.known.armed && learned.trials >= ENOUGH && learned.lower_bound() > P0_UNFIT
    }

    /// Upper confidence bound of the normal failure ratio, not below its floor; 1 if
    /// nothing is known.
    pub fn p0(&self) -> f64 {
        let recent = self.known.learned.upper_bound();
        recent.max(P0_FLOOR).max(self.yesterday.min(P0_UNFIT))
    }

    /// Judged trials per second while healthy.
    pub fn trials_per_second(&self) -> f64 {
        self.known.trials_per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn outcomes(succeeded: u64, failed: u64) -> Outcomes {
        Outcomes {
            start: Timestamp::default(),
            succeeded,
            failed,
            late: 0,
            abandoned: 0,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn arms_after_a_block_of_good_trials() {
        let mut baseline = Baseline::new(200);
        assert_eq!(baseline.learn(&outcomes(199, 0), true), None);
        let armed = baseline.learn(&outcomes(0, 1), true).unwrap();
        assert_eq!(armed.trials, 200);
        assert!((armed.success_ratio - 0.995).abs() < 1e-12);
        assert!(baseline.is_armed());
    }

    #[test]
    fn bad_block_does_not_arm_and_is_forgotten_by_a_good_one() {
        let mut baseline = Baseline::new(200);
        assert_eq!(baseline.learn(&outcomes(100, 100), true), None);
        assert!(baseline.p0() > 0.5);
        assert!(baseline.learn(&outcomes(200, 0), true).is_some());
        assert!(baseline.p0() < 0.02, "{}", baseline.p0());
    }

    #[test]
    fn outcomes_of_a_fault_are_not_learned() {
        let mut baseline = Baseline::new(200);
        baseline.learn(&outcomes(2000, 0), true);
        let before = baseline.p0();
        baseline.learn(&outcomes(0, 500), false);
        baseline.discard();
        baseline.learn(&outcomes(100, 0), true);
        assert!(baseline.p0() <= before);
    }

    #[test]
    fn service_that_becomes_unfit_is_disarmed_until_a_good_block() {
        let mut baseline = Baseline::new(200);
        baseline.learn(&outcomes(1000, 0), true);
        baseline.learn(&outcomes(0, 200), true);
        baseline.refresh(1, true, at(1));
        assert!(!baseline.is_armed());
        assert!(baseline.p0() > P0_UNFIT);
        assert!(baseline.learn(&outcomes(200, 0), true).is_some());
    }

    #[test]
    fn idle_night_does_not_disarm() {
        let mut baseline = Baseline::new(200);
        baseline.learn(&outcomes(5000, 0), true);
        baseline.refresh(24 * 3600, true, at(24 * 3600));
        assert!(baseline.is_armed());
        assert!(baseline.p0() < 0.006, "{}", baseline.p0());
    }

    #[test]
    fn what_was_normal_at_this_hour_yesterday_is_normal_today() {
        let mut baseline = Baseline::new(200);
        let mut hour = |number: u64, failed: u64| {
            baseline.learn(&outcomes(100_000 - failed, failed), true);
            baseline.refresh(3600, true, at(number * 3600 + 60));
            baseline.p0()
        };
        hour(0, 3000);
        for number in 1..24 {
            hour(number, 0);
        }
        assert!(hour(23, 0) < 0.006);
        assert!(hour(24, 0) > 0.029);
        assert!(hour(25, 0) < 0.006);
        let known = baseline.known().clone();
        let mut restarted = Baseline::new(200);
        restarted.recall(
            known,
            Duration::from_mins(5),
            at(25 * 3600 + 60),
            at(47 * 3600),
        );
        assert!(restarted.is_armed());
        assert!(restarted.p0() < 0.006);
        restarted.refresh(1, true, at(47 * 3600));
        assert!(restarted.p0() < 0.006);
    }

    #[test]
    fn a_kind_of_which_much_fails_normally_is_unfit() {
        let mut baseline = Baseline::new(200);
        baseline.learn(&outcomes(800, 200), true);
        assert!(baseline.is_unfit() && !baseline.is_armed());
        let mut unknown = Baseline::new(200);
        unknown.learn(&outcomes(8, 2), true);
        assert!(!unknown.is_unfit());
    }

    #[test]
    fn small_blocks_add_up_until_they_prove_something() {
        let mut baseline = Baseline::new(10);
        assert_eq!(baseline.learn(&outcomes(10, 0), true), None);
        assert_eq!(baseline.learn(&outcomes(10, 0), true), None);
        assert_eq!(baseline.learn(&outcomes(10, 0), true).unwrap().trials, 30);
    }

    #[test]
    fn rate_is_right_at_once_and_follows_slowly() {
        let mut baseline = Baseline::new(200);
        baseline.learn(&outcomes(1000, 0), true);
        baseline.refresh(1, true, at(1));
        assert!((baseline.trials_per_second() - 1000.0).abs() < 1e-9);
        for _ in 0..60 {
            baseline.refresh(1, true, at(1));
        }
        assert!(baseline.trials_per_second() < 100.0);
        let before = baseline.trials_per_second();
        baseline.refresh(60, false, at(60));
        assert!((baseline.trials_per_second() - before).abs() < 1e-9);
    }
}
