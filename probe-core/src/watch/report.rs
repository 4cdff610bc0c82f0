//! What a watch tells about itself: the reason for something, and its status.

use core::time::Duration;

use super::Watch;
use crate::{
    command::{Cause, Reason, SecondLeg, TrialEvidence},
    status::{ServiceState, ServiceStatus},
};

impl Watch {
    /// What is known now, as the reason for something.
    pub fn reason(&self, cause: Cause, stood: Duration, second_leg: Option<SecondLeg>) -> Reason {
        let failures = self.probing.failures_in_a_row();
        Reason {
            cause,
            service: self.id,
            service_name: self.config.name.clone(),
            trials: self.evidence(),
            second_leg,
            probe_failures: failures,
            probe_failure: self
                .probing
                .last_failure()
                .map(|(_, failure)| failure.clone()),
            first_failure: self.detector.episode().map(|episode| episode.first_failure),
            stood,
            failed_services: Vec::new(),
        }
    }

    fn evidence(&self) -> TrialEvidence {
        let episode = self.detector.episode();
        TrialEvidence {
            score_ratio: self.detector.score() / self.detector.threshold(),
            score: self.detector.score(),
            threshold: self.detector.threshold(),
            p0: self.baseline.p0(),
            p1: self.detector.p1(),
            failed: episode.map_or(0, |episode| episode.failed),
            late: episode.map_or(0, |episode| episode.late),
            succeeded: episode.map_or(0, |episode| episode.succeeded),
            trials_per_second: self.baseline.trials_per_second(),
            armed: self.baseline.is_armed(),
        }
    }

    /// Its status.
    pub fn status(&self) -> ServiceStatus {
        ServiceStatus {
            service: self.id,
            state: self.state(),
            detector: self.evidence(),
            totals: self.tally.judged(),
            trials: self.tally.totals(),
            expected_per_second: self.rate.expected_per_second(),
            probe_passes: self.probing.passes(),
        }
    }

    fn state(&self) -> ServiceState {
        if self.has_failed() {
            ServiceState::Failed
        } else if self.suspicion.is_some() {
            ServiceState::Suspect
        } else if self.probing.is_none() {
            ServiceState::Unguarded
        } else if self.baseline.is_armed() {
            ServiceState::Armed
        } else if self.probing.passes() == Some(true) {
            ServiceState::Learning
        } else {
            ServiceState::Unknown
        }
    }
}
