//! The core's own view of itself, for `status`, metrics and the live page.

use core::time::Duration;
use std::collections::BTreeMap;

use probe_common::trial::Kind;
use serde::{Deserialize, Serialize};

use crate::{
    command::{Guard, TrialEvidence},
    config::{PrefixId, ServiceId},
    level::Level,
};

/// One service as the core sees it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Which service.
    pub service: ServiceId,
    /// What it is held to be.
    pub state: ServiceState,
    /// The detector on `connect`.
    pub detector: TrialEvidence,
    /// Trials judged since start.
    pub totals: TrialTotals,
    /// Trials of every kind since start.
    pub trials: BTreeMap<Kind, TrialTotals>,
    /// Expected successes per second of the rate leg, if known.
    pub expected_per_second: Option<f64>,
    /// Whether the regular probe passes; none before its first result.
    pub probe_passes: Option<bool>,
}

/// What a service is held to be. One at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// No verdict yet: neither armed nor probed.
    Unknown,
    /// It has no probe, and live trials alone prove nothing: it cannot fail.
    Unguarded,
    /// Alive by its probe; the detector is still learning.
    Learning,
    /// Alive, and live trials guard it.
    Armed,
    /// Live trials say it may be dead.
    Suspect,
    /// Held to be dead.
    Failed,
}

impl ServiceState {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Unknown,
        Self::Unguarded,
        Self::Learning,
        Self::Armed,
        Self::Suspect,
        Self::Failed,
    ];

    /// The name used in metrics and on screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unguarded => "unguarded",
            Self::Learning => "learning",
            Self::Armed => "armed",
            Self::Suspect => "suspect",
            Self::Failed => "failed",
        }
    }
}

/// Trials by outcome since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialTotals {
    /// Answered in time.
    pub succeeded: u64,
    /// Failed at once.
    pub failed: u64,
    /// Not answered by the deadline.
    pub late: u64,
    /// Nobody can say.
    pub abandoned: u64,
}

/// One prefix as the core sees it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrefixStatus {
    /// Which prefix.
    pub prefix: PrefixId,
    /// What was decided last; none before the table was read.
    pub wanted: Option<Level>,
    /// What the table holds, as last observed.
    pub observed: Option<Level>,
    /// Who holds a change that is due, if any.
    pub held_by: Option<Guard>,
    /// While withdrawn: how much of the hold is left (none while probes do not pass).
    pub hold_left: Option<Duration>,
    /// Withdraws since start.
    pub withdrawals: u64,
}
