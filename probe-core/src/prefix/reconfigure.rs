//! What another configuration means for a prefix that stays: its phase, flaps and holds
//! go on. No level changes by that alone; from the next decision on the new rules hold.

use super::{Announcement, Held, Phase};
use crate::{
    config::{Mode, Prefix, PrefixId, Recover, ServiceId},
    time::Timestamp,
};

impl Announcement {
    /// It and its services have other numbers. What was known of a service that has none
    /// is forgotten.
    pub fn renumber(&mut self, id: PrefixId, rename: impl Fn(ServiceId) -> Option<ServiceId>) {
        self.id = id;
        match &mut self.phase {
            Phase::Waiting(absence) | Phase::Withdrawn(absence) => absence.rename(&rename),
            Phase::Unread
            | Phase::Announced { .. }
            | Phase::Impaired { .. }
            | Phase::Canary { .. }
            | Phase::Drained { .. } => {}
        }
        self.recorded = core::mem::take(&mut self.recorded)
            .into_iter()
            .filter_map(|held| held.renumbered(&rename))
            .collect();
    }

    /// Other rules from now on.
    pub fn reconfigure(&mut self, config: Prefix, mode: Mode, recover: Recover, now: Timestamp) {
        self.config = in_order(config);
        self.recover = recover;
        if core::mem::replace(&mut self.mode, mode) == mode {
            return;
        }
        self.recorded.clear();
        match (mode, self.observed) {
            // The phase is what was found: it is adopted as at a start.
            (Mode::Enforce, _) => {}
            // From now on the phase is what is found, whatever led to it.
            (Mode::Observe, Some(observed)) => self.adopt(observed, now),
            (Mode::Observe, None) => self.phase = Phase::Unread,
        }
    }
}

/// The order of a prefix's services means nothing.
pub(super) fn in_order(mut config: Prefix) -> Prefix {
    config.services.sort_unstable();
    config.services.dedup();
    config
}

impl Held {
    fn renumbered(self, rename: impl Fn(ServiceId) -> Option<ServiceId>) -> Option<Self> {
        Some(match self {
            Self::Raise(_) | Self::Order(_) => self,
            Self::Fault(service, cause, level, guard) => {
                Self::Fault(rename(service)?, cause, level, guard)
            }
            Self::Probe(service, guard) => Self::Probe(rename(service)?, guard),
            Self::Suspicion(service, guard, since) => {
                Self::Suspicion(rename(service)?, guard, since)
            }
        })
    }
}
