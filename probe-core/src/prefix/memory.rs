//! What is remembered of a prefix over a restart of the daemon.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Announcement, Phase};
use crate::{
    config::ServiceId,
    level::Level,
    recovery::{self, Absence, Flaps},
    time::Timestamp,
};

/// What was going on with a prefix. Times are ages at the moment of writing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    flaps: Flaps,
    degrade_flaps: Flaps,
    recent: Vec<Duration>,
    last_retry: Option<Duration>,
    withdrawals: u64,
    phase: Remembered,
}

/// The phases that the table alone does not tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Remembered {
    /// What is found decides.
    AsFound,
    /// Degraded by a fault, with this hold.
    Impaired { hold: Duration },
    /// Degraded on its way back.
    Canary,
    /// By order.
    Drained { since: Duration },
    /// By a fault.
    Withdrawn(recovery::Remembered),
}

impl Memory {
    /// The same with other names of services; what has none any more is left out.
    #[must_use]
    pub fn with_services(mut self, rename: impl Fn(ServiceId) -> Option<ServiceId>) -> Self {
        if let Remembered::Withdrawn(absence) = &mut self.phase {
            absence.rename(rename);
        }
        self
    }
}

impl Announcement {
    /// What is worth remembering at `now`.
    pub fn memory(&self, now: Timestamp) -> Memory {
        Memory {
            flaps: self.flaps,
            degrade_flaps: self.degrade_flaps,
            recent: self.recent.iter().map(|at| now.since(*at)).collect(),
            last_retry: self.last_retry.map(|at| now.since(at)),
            withdrawals: self.withdrawals,
            phase: match &self.phase {
                Phase::Unread | Phase::Waiting(_) | Phase::Announced { .. } => Remembered::AsFound,
                Phase::Impaired { hold, .. } => Remembered::Impaired { hold: *hold },
                Phase::Canary { .. } => Remembered::Canary,
                Phase::Drained { since, .. } => Remembered::Drained {
                    since: now.since(*since),
                },
                Phase::Withdrawn(absence) => Remembered::Withdrawn(absence.remember(now)),
            },
        }
    }

    /// Knows again what was remembered `ago`. To be called when the table was read: a
    /// phase that does not fit what stands there is forgotten.
    pub fn recall(&mut self, memory: &Memory, ago: Duration, now: Timestamp) {
        let at = |age: Duration| now.before(age.saturating_add(ago));
        self.flaps = memory.flaps;
        self.degrade_flaps = memory.degrade_flaps;
        self.recent = memory.recent.iter().map(|age| at(*age)).collect();
        self.last_retry = memory.last_retry.map(at);
        self.withdrawals = memory.withdrawals;
        let phase = match (&memory.phase, self.observed) {
            (Remembered::Impaired { hold }, Some(Level::Degraded)) => Phase::Impaired {
                since: now,
                clear_since: None,
                hold: *hold,
            },
            (Remembered::Canary, Some(Level::Degraded)) => Phase::Canary { since: now },
            (Remembered::Drained { since }, Some(level @ (Level::Degraded | Level::Withdrawn))) => {
                Phase::Drained {
                    since: at(*since),
                    level,
                }
            }
            (Remembered::Withdrawn(absence), Some(Level::Withdrawn)) => {
                Phase::Withdrawn(Absence::recall(absence, ago, now))
            }
            (
                Remembered::AsFound
                | Remembered::Impaired { .. }
                | Remembered::Canary
                | Remembered::Drained { .. }
                | Remembered::Withdrawn(_),
                _,
            ) => return,
        };
        self.phase = phase;
    }
}
