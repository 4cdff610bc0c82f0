//! In flow the successes of one kind of trials, out flows whether they fell far below
//! what is expected: the rate leg, a Poisson CUSUM.
//!
//! ```text
//! S ← max(0, S + (0.6 - 0.25) · expected · time - successes · ln(0.6/0.25))
//! ```
//! It rises while successes stay below two fifths of the expected. A client can forge
//! failures. It cannot take away the successes of others, so this leg may agree with a
//! suspicion where no local probe sees the fault (packets dropped in front of the host's
//! own stack). But whoever forges failures for hours also waits for every dip of the
//! traffic. So the leg must hold against dips: with successes as low as three quarters
//! of the expected it is wrong once in 10^9 times that the score leaves zero.
//! What is expected comes from
//! [`clients`](crate::clients): the rate of verified handshakes, times the successes
//! of this kind that a verified handshake normally brings, at most one.

use crate::{clients::MEMORY_PER_SECOND, exact, time::Timestamp};

/// ln(1,000,000): the leg's own false-alarm threshold.
const THRESHOLD: f64 = 13.815_510_557_964_274;

/// What is still normal, and what is a fault, as parts of what is expected.
const NORMAL: f64 = 0.6;
const FAULT: f64 = 0.25;
/// ln(NORMAL / FAULT).
const SUCCESS_WEIGHT: f64 = 0.875_468_737_353_899_9;

/// The rate leg of one kind of trials.
#[derive(Clone, Debug, Default)]
pub struct RateLeg {
    score: f64,
    fed_at: Option<Timestamp>,
    /// Successes since the last refresh.
    succeeded: u64,
    /// Successes and verified handshakes of the last ten minutes, fading.
    learned: (f64, f64),
}

impl RateLeg {
    /// Feeds the successes of the time since the last feeding. `expected_per_second`
    /// is that of verified handshakes; `void` while traffic is known to come or go.
    pub fn feed(
        &mut self,
        succeeded: u64,
        expected_per_second: Option<f64>,
        void: bool,
        now: Timestamp,
    ) {
        self.succeeded = self.succeeded.saturating_add(succeeded);
        let fed_at = self.fed_at.replace(now);
        let (Some(fed_at), Some(expected)) = (fed_at, self.expected(expected_per_second)) else {
            return;
        };
        if void {
            self.score = 0.0;
            return;
        }
        let elapsed = now.since(fed_at).as_secs_f64();
        let sum =
            self.score + (NORMAL - FAULT) * expected * elapsed - succeeded as f64 * SUCCESS_WEIGHT;
        self.score = sum.clamp(0.0, THRESHOLD);
    }

    /// A time of which nothing is known: it counts neither for nor against.
    pub fn skip(&mut self, now: Timestamp) {
        self.fed_at = Some(now);
    }

    /// Traffic is known to come or go: what was counted is worth nothing.
    pub fn reset(&mut self) {
        self.score = 0.0;
    }

    /// Once a second (or after `seconds`): learns how many successes a verified
    /// handshake brings, if the service was `healthy` all the time.
    pub fn refresh(&mut self, seconds: u64, verified: u64, healthy: bool) {
        let succeeded = core::mem::take(&mut self.succeeded);
        if !healthy {
            return;
        }
        let kept = exact::power(MEMORY_PER_SECOND, seconds);
        self.learned.0 = self.learned.0 * kept + succeeded as f64;
        self.learned.1 = self.learned.1 * kept + verified as f64;
    }

    /// Whether successes fell far below what is expected.
    pub fn agrees(&self) -> bool {
        self.score >= THRESHOLD
    }

    /// The score as a part of its threshold.
    pub fn score_ratio(&self) -> f64 {
        self.score / THRESHOLD
    }

    /// Expected successes per second, if verified handshakes are expected at this rate.
    pub fn expected(&self, verified_per_second: Option<f64>) -> Option<f64> {
        let (succeeded, verified) = self.learned;
        (verified > 0.0)
            .then(|| (succeeded / verified).min(1.0))
            .zip(verified_per_second)
            .map(|(share, verified)| share * verified)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const EXPECTED: Option<f64> = Some(640.0);

    struct Service {
        leg: RateLeg,
        now: Timestamp,
    }

    /// A leg that has learned that so many successes come with ten verified handshakes.
    fn service(with_ten: u64) -> Service {
        let mut leg = RateLeg::default();
        let now = Timestamp::from_nanos(1);
        leg.feed(with_ten, EXPECTED, false, now);
        leg.refresh(1, 10, true);
        Service { leg, now }
    }

    impl Service {
        fn silence(&mut self, time: Duration, void: bool) {
            self.now = self.now.after(time);
            self.leg.feed(0, EXPECTED, void, self.now);
        }
    }

    #[test]
    fn silence_is_noticed_after_forty_expected_successes() {
        for (with_ten, milliseconds) in [(10, 61), (30, 61), (5, 123)] {
            let mut service = service(with_ten);
            service.silence(Duration::from_millis(milliseconds), false);
            assert!(!service.leg.agrees(), "{with_ten}");
            service.silence(Duration::from_millis(1), false);
            assert!(service.leg.agrees(), "{with_ten}");
            service.leg.feed(3, EXPECTED, false, service.now);
            assert!(!service.leg.agrees(), "{with_ten}");
        }
    }

    #[test]
    fn two_fifths_of_the_expected_are_no_alarm() {
        let mut service = service(10);
        for _ in 0..10_000 {
            service.now = service.now.after(Duration::from_millis(10));
            service.leg.feed(3, EXPECTED, false, service.now); // 300 of 640 per second
            assert!(!service.leg.agrees());
        }
    }

    #[test]
    fn unknown_and_void_times_count_for_nothing() {
        let mut service = service(10);
        service.silence(Duration::from_secs(59), true);
        assert!(!service.leg.agrees());
        service.now = service.now.after(Duration::from_secs(9));
        service.leg.skip(service.now);
        assert!(!service.leg.agrees());
        service.silence(Duration::from_secs(2), false);
        assert!(service.leg.agrees());
        service.leg.reset();
        assert!(!service.leg.agrees());
    }

    #[test]
    fn nothing_is_expected_of_a_kind_that_never_succeeded_with_a_handshake() {
        let leg = RateLeg::default();
        assert_eq!(leg.expected(EXPECTED), None);
    }
}
