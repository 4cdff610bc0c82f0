//! One kind of a service's trials: what is normal for it, and the alarms that watch
//! it. In flow its outcomes, out flows what the [`watch`](crate::watch) weighs.

use core::time::Duration;

use probe_common::trial::Kind;
use serde::{Deserialize, Serialize};

use crate::{
    alarm::{Alarm, Purpose},
    baseline::{self, Armed, Baseline},
    config::Detect,
    detector::Detector,
    input::Sample,
    kinds::{self, Effect},
    rate::RateLeg,
    time::Timestamp,
    window::Outcomes,
};

/// The judge of one kind of trials of one service.
#[derive(Clone, Debug)]
pub struct Judge {
    /// Which kind.
    pub kind: Kind,
    /// What is normal.
    pub baseline: Baseline,
    /// Whether successes fell.
    pub rate: RateLeg,
    /// The fast detector, and the grey one where there is one.
    pub alarms: Vec<Alarm>,
    /// When a trial was last judged.
    pub last_judged: Option<Timestamp>,
    /// When a trial was last judged a failure.
    pub last_failed: Option<Timestamp>,
    /// Which flows failed, as of the last suspicion.
    pub evidence: Option<Sample>,
    /// Judged trials and failures since the last reset.
    since_reset: (u64, u64),
    grey_patience: Duration,
}

/// What is remembered of a judge over a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Which kind.
    pub kind: Kind,
    /// What was normal.
    pub baseline: baseline::Known,
}

impl Judge {
    /// A judge that knows nothing.
    pub fn new(kind: Kind, detect: &Detect, threshold: f64) -> Self {
        let fast = |purpose| Alarm::new(purpose, Detector::new(detect.broken, threshold));
        let grey = || Alarm::new(Purpose::DegradeServer, Detector::grey(threshold));
        Self {
            kind,
            baseline: Baseline::new(detect.arm_after),
            rate: RateLeg::default(),
            alarms: match kinds::effect(kind) {
                Effect::Withdraw => vec![fast(Purpose::Withdraw), grey()],
                Effect::DegradeServer => vec![fast(Purpose::DegradeServer), grey()],
                Effect::DegradePath => vec![fast(Purpose::DegradePath)],
            },
            last_judged: None,
            last_failed: None,
            evidence: None,
            since_reset: (0, 0),
            grey_patience: detect.grey_patience,
        }
    }

    /// The operator wants something else from now on. What was learned and what is being
    /// weighed stay; what comes is weighed by the new ratio.
    pub fn reconfigure(&mut self, detect: &Detect) {
        self.baseline.set_arm_after(detect.arm_after);
        self.grey_patience = detect.grey_patience;
        let mut changed = false;
        for alarm in &mut self.alarms {
            changed |= alarm.detector.set_broken(detect.broken);
        }
        if changed {
            self.set_p0();
        }
    }

    /// Feeds one bucket's news, and learns from it unless it may belong to a fault.
    /// Says whether that armed the detectors.
    pub fn feed(&mut self, outcomes: &Outcomes, failed: bool, now: Timestamp) -> Option<Armed> {
        if outcomes.judged() > 0 {
            self.last_judged = Some(now);
        }
        if outcomes.failures() > 0 {
            self.last_failed = Some(now);
        }
        self.since_reset.0 = self.since_reset.0.saturating_add(outcomes.judged());
        self.since_reset.1 = self.since_reset.1.saturating_add(outcomes.failures());
        for alarm in &mut self.alarms {
            alarm.feed(outcomes, now);
        }
        let suspect = self.alarms.iter().any(|alarm| alarm.detector.is_suspect());
        if failed || (suspect && self.baseline.is_armed()) {
            self.baseline.discard();
            return None;
        }
        let at_rest = self.is_at_rest();
        let armed = self.baseline.learn(outcomes, at_rest)?;
        self.set_p0();
        // What a detector saw before it could speak is no evidence.
        for alarm in &mut self.alarms {
            if alarm.detector.is_suspect() {
                alarm.reset();
            }
        }
        Some(armed)
    }

    /// Once a second (or after `seconds`): ages what was learned.
    pub fn refresh(&mut self, seconds: u64, healthy: bool, verified: u64, now: Timestamp) {
        let quiet = self.alarms.iter().all(|alarm| alarm.suspicion.is_none());
        self.baseline.refresh(seconds, healthy && quiet, now);
        self.rate.refresh(seconds, verified, healthy && quiet);
        self.set_p0();
        let rate = self.baseline.trials_per_second();
        for alarm in &mut self.alarms {
            alarm.set_span(self.grey_patience, rate);
        }
    }

    fn set_p0(&mut self) {
        let p0 = self.baseline.p0();
        for alarm in &mut self.alarms {
            alarm.detector.set_p0(p0);
        }
    }

    /// Sets the thresholds of the alarms that may withdraw, and of those that degrade.
    pub fn set_thresholds(&mut self, withdraw: f64, degrade: f64) {
        for alarm in &mut self.alarms {
            alarm.detector.set_threshold(if alarm.purpose.is_degrade() {
                degrade
            } else {
                withdraw
            });
        }
    }

    /// Whether no failure is being weighed.
    pub fn is_at_rest(&self) -> bool {
        self.alarms.iter().all(|alarm| alarm.detector.is_at_rest())
    }

    /// The fast detector.
    pub fn fast(&self) -> &Detector {
        &self.alarms[0].detector
    }

    /// Starts again at zero with the same baseline; says whether a fault was proven.
    pub fn reset(&mut self) -> bool {
        self.last_judged = None;
        self.last_failed = None;
        self.evidence = None;
        self.since_reset = (0, 0);
        let mut had_fault = false;
        for alarm in &mut self.alarms {
            had_fault |= alarm.reset();
        }
        had_fault
    }

    /// Judged trials since the last reset, and the part of them that failed.
    pub fn since_reset(&self) -> (u64, f64) {
        let (judged, failures) = self.since_reset;
        (judged, failures as f64 / judged.max(1) as f64)
    }

    /// Knows again what was remembered `ago`, at `then` of the clock of that time.
    pub fn recall(&mut self, memory: Memory, ago: Duration, then: Timestamp, now: Timestamp) {
        self.baseline.recall(memory.baseline, ago, then, now);
        self.set_p0();
    }

    /// What is worth remembering.
    pub fn memory(&self) -> Memory {
        Memory {
            kind: self.kind,
            baseline: self.baseline.known().clone(),
        }
    }
}
