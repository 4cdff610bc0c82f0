//! In flow the outcomes of trials, out flows whether failures go on, or came all at
//! once and are over.
//!
//! A score that looks for a few failures among many trials falls as slowly as it rose:
//! half a second of restart is still in it a minute later where few clients come. So
//! what is to last must be seen in each of the last three spans of time: what is over
//! within a span touches two at most.

use core::time::Duration;

use crate::time::Timestamp;

/// A span has at least so many trials at the usual rate.
const LEAST_TRIALS: f64 = 20.0;
const LONGEST: Duration = Duration::from_mins(10);

/// Failures and trials by span.
#[derive(Clone, Copy, Debug, Default)]
pub struct Persistence {
    span: Duration,
    began: Timestamp,
    /// The present span and the two before, newest first.
    spans: [Counts; 3],
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    failures: u64,
    judged: u64,
}

impl Counts {
    fn fails_above(self, ratio: f64) -> bool {
        self.failures > 0 && self.failures as f64 > ratio * self.judged as f64
    }
}

impl Persistence {
    /// Sets the length of a span: at least this, and long enough for a few trials.
    pub fn set_span(&mut self, least: Duration, trials_per_second: f64) {
        let seconds = (LEAST_TRIALS / trials_per_second.max(f64::MIN_POSITIVE))
            .clamp(0.0, LONGEST.as_secs_f64());
        self.span = least.max(Duration::from_secs_f64(seconds));
    }

    /// Adds what was read at `now`.
    pub fn add(&mut self, failures: u64, judged: u64, now: Timestamp) {
        let passed = now.since(self.began).as_nanos() / self.span.as_nanos().max(1);
        if passed >= 3 {
            self.spans = [Counts::default(); 3];
            self.began = now;
        } else {
            for _ in 0..passed {
                self.spans.rotate_right(1);
                self.spans[0] = Counts::default();
                self.began = self.began.after(self.span);
            }
        }
        let current = &mut self.spans[0];
        current.failures = current.failures.saturating_add(failures);
        current.judged = current.judged.saturating_add(judged);
    }

    /// Whether more than this part failed in each of the last three spans.
    pub fn goes_on(&self, ratio: f64) -> bool {
        self.spans.iter().all(|span| span.fails_above(ratio))
    }

    /// Whether so much failed in none of them.
    pub fn has_ended(&self, ratio: f64) -> bool {
        !self.spans.iter().any(|span| span.fails_above(ratio))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(failures: impl Fn(u64) -> u64) -> bool {
        let mut persistence = Persistence::default();
        persistence.set_span(Duration::from_millis(1900), 100.0);
        for decisecond in 0..60 {
            let now = Timestamp::from_nanos(1_000_000_000 + decisecond * 100_000_000);
            persistence.add(failures(decisecond), 10, now);
        }
        assert!(!persistence.goes_on(0.02) || !persistence.has_ended(0.02));
        persistence.goes_on(0.02)
    }

    #[test]
    fn what_is_over_does_not_go_on() {
        assert!(play(|_| 1));
        assert!(play(|at| u64::from(at % 10 == 5) * 3));
        assert!(!play(|at| if at < 5 { 10 } else { 0 }), "a restart");
        assert!(!play(|at| if at > 57 { 10 } else { 0 }), "a beginning");
        assert!(
            !play(|at| if (30..49).contains(&at) { 10 } else { 0 }),
            "a gap"
        );
        assert!(!play(|_| 0));
    }

    #[test]
    fn spans_are_long_where_few_trials_come() {
        let mut persistence = Persistence::default();
        for (rate, seconds) in [(1000.0, 2), (1.0, 20), (0.0, 600)] {
            persistence.set_span(Duration::from_secs(2), rate);
            assert_eq!(persistence.span, Duration::from_secs(seconds), "{rate}");
        }
    }
}
