//! What a scenario came to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One scenario at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// The scenario's name, with the rate.
    pub name: String,
    /// What kind of scenario it is.
    pub group: Group,
    /// What happens in it.
    pub about: String,
    /// Trials per second of each service.
    pub trials_per_second: f64,
    /// Services times days.
    pub service_days: f64,
    /// Withdraws of services that were well.
    pub false_withdrawals: u64,
    /// Degradations.
    pub degraded: u64,
    /// Faults that withdrew nothing in time.
    pub missed: u64,
    /// Suspicions in which nothing was withdrawn: what the second leg and patience are
    /// for.
    pub suspicions: u64,
    /// Trials from the fault's beginning to the decision, for a fault.
    pub delay_trials_p50: Option<f64>,
    /// ... of which the slowest hundredth needs more.
    pub delay_trials_p99: Option<f64>,
    /// The same in seconds.
    pub delay_seconds_p50: Option<f64>,
    /// ... of which the slowest hundredth needs more.
    pub delay_seconds_p99: Option<f64>,
    /// Trials that were already past their deadline at the decision.
    pub delay_trials_after_deadline_p50: Option<f64>,
    /// ... of which the slowest hundredth needs more.
    pub delay_trials_after_deadline_p99: Option<f64>,
    /// Where nothing was withdrawn: with 95 % confidence, there are fewer than so many
    /// false withdraws per service and year.
    pub upper_bound_per_service_year: Option<f64>,
    /// For a bare detector: the configured mean time between two alarms.
    pub configured_alarm_seconds: Option<f64>,
    /// ... and the measured one.
    pub measured_alarm_seconds: Option<f64>,
    /// What must not have happened.
    pub violations: Vec<String>,
}

/// What a scenario is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Nothing may be withdrawn.
    Calm,
    /// It must be withdrawn, and soon.
    Fault,
    /// The detector alone.
    Detector,
}

impl Finding {
    /// Nothing found yet.
    pub fn new(name: String, group: Group, about: &str, trials_per_second: f64) -> Self {
        Self {
            name,
            group,
            about: about.to_owned(),
            trials_per_second,
            service_days: 0.0,
            false_withdrawals: 0,
            degraded: 0,
            missed: 0,
            suspicions: 0,
            delay_trials_p50: None,
            delay_trials_p99: None,
            delay_seconds_p50: None,
            delay_seconds_p99: None,
            delay_trials_after_deadline_p50: None,
            delay_trials_after_deadline_p99: None,
            upper_bound_per_service_year: None,
            configured_alarm_seconds: None,
            measured_alarm_seconds: None,
            violations: Vec::new(),
        }
    }

    /// Adds what another part of the same calm scenario came to.
    pub fn add(&mut self, other: Self) {
        self.service_days += other.service_days;
        self.false_withdrawals += other.false_withdrawals;
        self.degraded += other.degraded;
        self.missed += other.missed;
        self.suspicions += other.suspicions;
        self.violations.extend(other.violations);
    }

    /// Sums up the delays of a fault's runs.
    pub fn delays(&mut self, delays: &[Delay]) {
        let of = |value: fn(&Delay) -> f64| -> Vec<f64> {
            let mut values: Vec<f64> = delays.iter().map(value).collect();
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        let trials = of(|delay| delay.trials as f64);
        let after = of(|delay| delay.trials_after_deadline as f64);
        let seconds = of(|delay| delay.time.as_secs_f64());
        self.delay_trials_p50 = quantile(&trials, 0.5);
        self.delay_trials_p99 = quantile(&trials, 0.99);
        self.delay_trials_after_deadline_p50 = quantile(&after, 0.5);
        self.delay_trials_after_deadline_p99 = quantile(&after, 0.99);
        self.delay_seconds_p50 = quantile(&seconds, 0.5);
        self.delay_seconds_p99 = quantile(&seconds, 0.99);
    }

    /// Bounds what was not seen: the rule of three.
    pub fn bound(&mut self) {
        if self.false_withdrawals == 0 && self.service_days > 0.0 {
            self.upper_bound_per_service_year = Some(3.0 * 365.25 / self.service_days);
        }
    }
}

/// From the beginning of a fault to the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Trials of the service that started.
    pub trials: u64,
    /// ... of which one deadline before the decision or earlier.
    pub trials_after_deadline: u64,
    /// How long it took.
    pub time: Duration,
}

/// The smallest value that is not below this part of all; they are sorted.
pub fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a length is not negative"
    )]
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        for (part, expected) in [(0.0, 1.0), (0.5, 100.0), (0.99, 198.0), (1.0, 200.0)] {
            assert_eq!(quantile(&values, part), Some(expected));
        }
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn nothing_seen_in_two_years_bounds_the_rate_to_three_halves_a_year() {
        let mut finding = Finding::new("x".into(), Group::Calm, "", 10.0);
        finding.service_days = 2.0 * 365.25;
        finding.bound();
        assert!((finding.upper_bound_per_service_year.unwrap() - 1.5).abs() < 1e-12);
        finding.upper_bound_per_service_year = None;
        finding.false_withdrawals = 1;
        finding.bound();
        assert_eq!(finding.upper_bound_per_service_year, None);
    }
}
