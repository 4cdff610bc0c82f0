//! Tells the daemon what the table holds and what stands against its wishes, and
//! never waits for it.
//!
//! Observations go through a channel. Should the daemon be behind, each prefix keeps
//! only its newest one until there is room. Conflicts are a set that is replaced as
//! a whole, so that one that comes and goes faster than the daemon reads is told at
//! the daemon's pace.

use std::{collections::BTreeMap, sync::Arc};

use probe_core::config::PrefixId;
use tokio::sync::{mpsc, watch};

use super::{Observation, conflict::Conflict};

pub(super) struct Herald {
    observed: mpsc::Sender<Observation>,
    /// The newest observations that found no room.
    late: BTreeMap<PrefixId, Observation>,
    conflicts: watch::Sender<Arc<Vec<Conflict>>>,
    /// Only prefixes that have any.
    standing: BTreeMap<PrefixId, Vec<Conflict>>,
    changed: bool,
}

impl Herald {
    pub fn new(
        observed: mpsc::Sender<Observation>,
        conflicts: watch::Sender<Arc<Vec<Conflict>>>,
    ) -> Self {
        Self {
            observed,
            late: BTreeMap::new(),
            conflicts,
            standing: BTreeMap::new(),
            changed: false,
        }
    }

    pub fn observed(&mut self, observation: Observation) {
        if let Some(waiting) = self.late.get_mut(&observation.prefix) {
            *waiting = observation;
            return;
        }
        match self.observed.try_send(observation) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(observation)) => {
                self.late.insert(observation.prefix, observation);
            }
        }
    }

    /// Whether an observation waits for room.
    pub fn is_behind(&self) -> bool {
        !self.late.is_empty()
    }

    /// Waits for room and sends the next observation that found none.
    pub async fn catch_up(&mut self) {
        match self.observed.reserve().await {
            Ok(permit) => {
                if let Some((_, observation)) = self.late.pop_first() {
                    permit.send(observation);
                }
            }
            // Nobody listens any more.
            Err(_) => self.late.clear(),
        }
    }

    /// These conflicts of `prefix` stand now, and no others.
    pub fn stand(&mut self, prefix: PrefixId, now: Vec<Conflict>) {
        if now.is_empty() {
            self.changed |= self.standing.remove(&prefix).is_some();
        } else if self.standing.get(&prefix) != Some(&now) {
            self.standing.insert(prefix, now);
            self.changed = true;
        }
    }

    /// Publishes the conflicts if they are others than before.
    pub fn publish(&mut self) {
        if core::mem::take(&mut self.changed) {
            let all = self.standing.values().flatten().cloned().collect();
            self.conflicts.send_replace(Arc::new(all));
        }
    }
}
