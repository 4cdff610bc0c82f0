//! The bare detector: how long it takes on average until it alarms though nothing has
//! changed. The configured time is a bound (Lorden 1971), so the measured one must not
//! be below it.

use std::time::Duration;

use probe_core::{
    Timestamp,
    detector::{Detector, Outcomes, threshold},
};

use super::{
    draw::Draw,
    finding::{Finding, Group},
};

/// One alarm in ten minutes: short enough to see thousands of them.
pub const PERIOD: Duration = Duration::from_mins(10);
/// The failure ratio called broken.
pub const BROKEN: f64 = 0.5;

/// A bare detector at its worst: the ratio of failures is as high as its baseline
/// allows.
#[derive(Clone, Copy, Debug)]
pub struct Bare {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The part of all trials that fails, and that the detector holds to be normal.
    p0: f64,
    /// Trials that are told at once.
    bucket: u64,
}

impl Bare {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self {
            name: "bare-clean",
            about: "0.5 % of all trials fail, one told at a time",
            p0: 0.005,
            bucket: 1,
        },
        Self {
            name: "bare-clean-buckets",
            about: "0.5 % of all trials fail, eight told at a time",
            p0: 0.005,
            bucket: 8,
        },
        Self {
            name: "bare-noisy",
            about: "2 % of all trials fail, one told at a time",
            p0: 0.02,
            bucket: 1,
        },
        Self {
            name: "bare-bad",
            about: "10 % of all trials fail, the most with which a detector is armed",
            p0: 0.1,
            bucket: 1,
        },
    ];

    /// Measures the mean time between two alarms.
    pub fn measure(&self, rate: f64, alarms: u64, seed: u64) -> Finding {
        let name = format!("{}@{}", self.name, super::rate_name(rate));
        let mut draw = Draw::new(seed, &name, &[]);
        let mut trials = 0;
        let longest = MOST_PERIODS * PERIOD.as_secs_f64() * rate;
        let mut alarmed = 0;
        while alarmed < alarms && (trials as f64) < longest * alarms as f64 {
            trials += self.trials_to_alarm(threshold(PERIOD.as_secs_f64(), rate), &mut draw);
            alarmed += 1;
        }
        let mut finding = Finding::new(name, Group::Detector, self.about, rate);
        let seconds = trials as f64 / rate;
        finding.service_days = seconds / 86_400.0;
        finding.suspicions = alarmed;
        let measured = seconds / alarmed as f64;
        finding.configured_alarm_seconds = Some(PERIOD.as_secs_f64());
        finding.measured_alarm_seconds = Some(measured);
        if measured < PERIOD.as_secs_f64() {
            finding.violations.push(format!(
                "one alarm in {measured:.0} s, more often than the configured one in {:.0} s",
                PERIOD.as_secs_f64()
            ));
        }
        finding
    }

    fn trials_to_alarm(&self, threshold: f64, draw: &mut Draw) -> u64 {
        let mut detector = Detector::new(BROKEN, threshold);
        detector.set_p0(self.p0);
        let mut trials = 0;
        let mut next = draw.until_failure(self.p0);
        loop {
            if self.bucket == 1 {
                feed(&mut detector, next, 0);
                feed(&mut detector, 0, 1);
                trials += next + 1;
                next = draw.until_failure(self.p0);
            } else {
                // Whole buckets without a failure, then one with all its failures.
                let empty = next / self.bucket;
                feed(&mut detector, empty * self.bucket, 0);
                next -= empty * self.bucket;
                let mut failed = 0;
                while next < self.bucket {
                    failed += 1;
                    next = next + 1 + draw.until_failure(self.p0);
                }
                next -= self.bucket;
                feed(&mut detector, self.bucket - failed, failed);
                trials += (empty + 1) * self.bucket;
            }
            if detector.is_suspect() {
                return trials;
            }
        }
    }
}

/// Nobody waits longer for an alarm that does not come.
const MOST_PERIODS: f64 = 100.0;

/// Tells a detector of trials of which the order does not matter.
pub fn feed(detector: &mut Detector, succeeded: u64, failed: u64) {
    detector.feed(&Outcomes {
        start: Timestamp::default(),
        succeeded,
        failed,
        late: 0,
        abandoned: 0,
    });
}
