//! Counts what happens: events of the core, decisions, and how far changes have come.

use std::time::Duration;

use probe_core::{Level, Reason, Timestamp, command::Event, config::PrefixId};

use super::View;
use crate::{
    announce::conflict::Conflict,
    follow::{
        Finding, Followed,
        traffic::{Moved, Outcome},
    },
    metrics::Phase,
};

impl View {
    /// Counts an event of the core.
    pub fn count_event(&mut self, event: &Event) {
        match event {
            Event::Held { prefix, guard, .. } => self.tally.held(*prefix, *guard),
            Event::RouteDiffers { prefix, .. } => self.tally.route_differed(*prefix),
            Event::Armed { .. }
            | Event::Suspected { .. }
            | Event::Cleared { .. }
            | Event::Verdict { .. }
            | Event::Impaired { .. }
            | Event::LockedOut { .. }
            | Event::Deadline { .. }
            | Event::Ordered { .. }
            | Event::ProbeChanged { .. }
            | Event::Blind { .. } => {}
        }
    }

    /// Counts a conflict that began or ended.
    pub fn count_conflict(&mut self, conflict: &Conflict, stands: bool) {
        let Conflict { prefix, kind, .. } = conflict;
        if stands {
            self.tally.conflict_began(*prefix, *kind);
        } else {
            self.tally.conflict_ended(*prefix, *kind);
        }
    }

    /// Counts a decision that was taken at `decided`.
    pub fn count_decision(
        &mut self,
        prefix: PrefixId,
        level: Level,
        reason: &Reason,
        decided: Timestamp,
    ) {
        self.tally.decided(prefix, level, reason.cause);
        match (level, reason.first_failure) {
            (Level::Withdrawn, Some(first)) => {
                self.tally.took(level, Phase::Decided, decided.since(first));
            }
            (Level::Withdrawn, None) | (Level::Degraded | Level::Full, _) => {}
        }
    }

    /// Counts an acknowledged level change.
    pub fn count_set(&mut self, level: Level, took: Duration) {
        self.tally.took(level, Phase::Kernel, took);
    }

    /// Counts what the closed loop found.
    pub fn count_finding(&mut self, finding: &Finding) {
        match finding {
            Finding::Followed(Followed {
                level,
                learned,
                exported,
                ..
            }) => {
                for (phase, took) in [(Phase::Rib, learned), (Phase::Export, exported)] {
                    if let Some(took) = took {
                        self.tally.took(*level, phase, *took);
                    }
                }
            }
            Finding::Helped { .. } => self.tally.reloaded(),
            Finding::BirdUp { .. } | Finding::BirdDown { .. } | Finding::Alert(_) => {}
        }
    }

    /// Counts how soon clients followed a change.
    pub fn count_moved(&mut self, moved: &Moved) {
        match moved.outcome {
            Outcome::Left | Outcome::Came => {
                self.tally
                    .took(moved.change.level, Phase::Traffic, moved.took);
            }
            Outcome::Stay | Outcome::TooFew | Outcome::Superseded => {}
        }
    }
}
