//! The core's own view of itself, for `status`, metrics and the live page.

use core::time::Duration;
use std::collections::BTreeMap;

use probe_common::trial::Kind;
use serde::{Deserialize, Serialize};

use crate::{
    command::{Guard, TrialEvidence},
    config::{PrefixId, ServiceId},
    input::Order,
    level::Level,
    witness::Other,
};

/// One service as the core sees it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Which service.
    pub service: ServiceId,
    /// What it is held to be.
    pub state: ServiceState,
    /// The fast detector on the kind on which the service is judged before all others.
    pub detector: TrialEvidence,
    /// Trials judged since start.
    pub totals: TrialTotals,
    /// Trials of every kind since start.
    pub trials: BTreeMap<Kind, TrialTotals>,
    /// What is known of every kind.
    pub kinds: BTreeMap<Kind, KindStatus>,
    /// Expected successes per second of the rate leg, if known.
    pub expected_per_second: Option<f64>,
    /// Whether the regular probe passes; none before its first result.
    pub probe_passes: Option<bool>,
}

/// One kind of a service's trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KindStatus {
    /// Whether its detectors may speak.
    pub state: KindState,
    /// The highest score of its detectors as a part of the threshold: 1 = alarm.
    pub score_ratio: f64,
    /// The learned failure ratio (upper confidence bound).
    pub p0: f64,
    /// The failure ratio that its fast detector calls broken.
    #[serde(default)]
    pub p1: f64,
    /// Learned trials per second.
    pub trials_per_second: f64,
}

/// Whether the detectors of a kind may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KindState {
    /// Not enough good trials were seen.
    Learning,
    /// They may.
    Armed,
    /// So much fails normally that they cannot tell a fault from it.
    Unfit,
}

impl KindState {
    /// The name used on screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Learning => "learning",
            Self::Armed => "armed",
            Self::Unfit => "unfit",
        }
    }
}

/// What a service is held to be. One at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// A part of what it does fails, or the way to it.
    Impaired,
    /// Live trials say it may be dead.
    Suspect,
    /// Held to be dead.
    Failed,
}

impl ServiceState {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Unknown,
        Self::Unguarded,
        Self::Learning,
        Self::Armed,
        Self::Impaired,
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
            Self::Impaired => "impaired",
            Self::Suspect => "suspect",
            Self::Failed => "failed",
        }
    }
}

/// Trials by outcome since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Why it stands where it does.
    pub standing: Standing,
    /// Who holds a change that is due, if any.
    pub held_by: Option<Guard>,
    /// The operator's orders for it: a pin, a drain.
    pub orders: Vec<Order>,
    /// While withdrawn: how much of the hold is left (none while probes do not pass).
    pub hold_left: Option<Duration>,
    /// Withdraws since start.
    pub withdrawals: u64,
    /// Who else announces it, or may.
    pub others: Vec<Other>,
}

/// Why a prefix stands where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The table was not read yet.
    Unread,
    /// It waits for its first announcement.
    Waiting,
    /// It is announced.
    Announced,
    /// It is degraded because services are impaired.
    Impaired,
    /// It is degraded on its way back.
    Canary,
    /// It is degraded or withdrawn because the operator drains it.
    Drained,
    /// It is withdrawn because services are dead.
    Withdrawn,
    /// It was withdrawn too often, and stays so for the longest hold.
    LockedOut,
}

impl Standing {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Unread,
        Self::Waiting,
        Self::Announced,
        Self::Impaired,
        Self::Canary,
        Self::Drained,
        Self::Withdrawn,
        Self::LockedOut,
    ];

    /// The name used in metrics and on screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unread => "unread",
            Self::Waiting => "waiting",
            Self::Announced => "announced",
            Self::Impaired => "impaired",
            Self::Canary => "canary",
            Self::Drained => "drained",
            Self::Withdrawn => "withdrawn",
            Self::LockedOut => "locked_out",
        }
    }
}
