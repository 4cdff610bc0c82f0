//! What a watch tells about itself: the reason for something, and its status.

use core::time::Duration;

use probe_common::trial::Kind;

use super::Watch;
use crate::{
    alarm::Alarm,
    command::{Cause, Reason, SecondLeg, TrialEvidence},
    detector::Detector,
    judge::Judge,
    status::{KindState, KindStatus, ServiceState, ServiceStatus},
    uplinks::{LossyUplink, Way},
};

impl Watch {
    /// What is known now of the first kind of trials, as the reason for something.
    pub fn reason(&self, cause: Cause, stood: Duration) -> Reason {
        let judge = self.primary();
        self.reason_of(judge, judge.fast(), cause, stood, None)
    }

    /// What is known now of one kind of trials, as the reason for something.
    pub fn reason_of(
        &self,
        judge: &Judge,
        detector: &Detector,
        cause: Cause,
        stood: Duration,
        second_leg: Option<SecondLeg>,
    ) -> Reason {
        Reason {
            cause,
            class: None,
            kind: judge.kind,
            service: self.id,
            service_name: self.config.name.clone(),
            trials: evidence(judge, detector),
            second_leg,
            probe_failures: self.probing.failures_in_a_row(),
            probe_failure: self
                .probing
                .last_failure()
                .map(|(_, failure)| failure.clone()),
            first_failure: detector.episode().map(|episode| episode.first_failure),
            stood,
            failed_services: Vec::new(),
            evidence: judge
                .evidence
                .clone()
                .filter(|_| cause == Cause::LiveTrials),
            uplinks: self.lossy_for(judge.kind, cause),
            guards: Vec::new(),
            order: None,
            others: Vec::new(),
        }
    }

    /// The interfaces that lose what trials of this kind are about.
    fn lossy_for(&self, kind: Kind, cause: Cause) -> Vec<LossyUplink> {
        let concerns = |way| match way {
            Way::Came | Way::Left => kind == Kind::Handshake,
            Way::Sent => kind == Kind::Deliver,
        };
        let lossy = self.lossy_uplinks.iter();
        lossy
            .filter(|uplink| cause == Cause::LiveTrials && concerns(uplink.way))
            .cloned()
            .collect()
    }

    /// Its status.
    pub fn status(&self) -> ServiceStatus {
        let judge = self.primary();
        let verified = self.clients.expected_per_second();
        ServiceStatus {
            service: self.id,
            state: self.state(),
            detector: evidence(judge, judge.fast()),
            totals: self.tally.judged(),
            trials: self.tally.totals(),
            kinds: self
                .judges
                .iter()
                .map(|judge| (judge.kind, kind_status(judge)))
                .collect(),
            expected_per_second: judge.rate.expected(verified),
            probe_passes: self.probing.passes(),
        }
    }

    fn state(&self) -> ServiceState {
        let armed = |judge: &Judge| judge.baseline.is_armed();
        if self.has_failed() {
            ServiceState::Failed
        } else if self.suspect_since().is_some() {
            ServiceState::Suspect
        } else if self.impairments().next().is_some() {
            ServiceState::Impaired
        } else if self.probing.is_none() {
            ServiceState::Unguarded
        } else if armed(self.primary()) {
            ServiceState::Armed
        } else if self.probing.passes() == Some(true) {
            ServiceState::Learning
        } else {
            ServiceState::Unknown
        }
    }
}

fn kind_status(judge: &Judge) -> KindStatus {
    let fraction = |alarm: &Alarm| alarm.detector.score() / alarm.detector.threshold();
    KindStatus {
        state: if judge.baseline.is_armed() {
            KindState::Armed
        } else if judge.baseline.is_unfit() {
            KindState::Unfit
        } else {
            KindState::Learning
        },
        score_ratio: judge.alarms.iter().map(fraction).fold(0.0, f64::max),
        p0: judge.baseline.p0(),
        p1: judge.fast().p1(),
        trials_per_second: judge.baseline.trials_per_second(),
    }
}

fn evidence(judge: &Judge, detector: &Detector) -> TrialEvidence {
    let episode = detector.episode();
    TrialEvidence {
        score_ratio: detector.score() / detector.threshold(),
        score: detector.score(),
        threshold: detector.threshold(),
        p0: judge.baseline.p0(),
        p1: detector.p1(),
        failed: episode.map_or(0, |episode| episode.failed),
        late: episode.map_or(0, |episode| episode.late),
        succeeded: episode.map_or(0, |episode| episode.succeeded),
        trials_per_second: judge.baseline.trials_per_second(),
        armed: judge.baseline.is_armed(),
    }
}
