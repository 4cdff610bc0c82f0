//! What is remembered of a service over a restart of the daemon.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Watch;
use crate::{clients, deadline, judge, time::Timestamp};

/// What was learned about a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Of each kind of trials.
    judges: Vec<judge::Memory>,
    /// Of its clients.
    clients: clients::Learned,
    /// Of how long its answers take.
    answers: deadline::Learned,
}

impl Watch {
    /// What is worth remembering.
    pub fn memory(&self) -> Memory {
        Memory {
            judges: self.judges.iter().map(judge::Judge::memory).collect(),
            clients: self.clients.learned().clone(),
            answers: self.answers.learned().clone(),
        }
    }

    /// Knows again what was remembered `ago`, at `then` of the clock of that time; now
    /// it is `now`.
    pub fn recall(&mut self, memory: Memory, ago: Duration, then: Timestamp, now: Timestamp) {
        for known in memory.judges {
            if let Some(judge) = self
                .judges
                .iter_mut()
                .find(|judge| judge.kind == known.kind)
            {
                judge.recall(known, ago, then, now);
            }
        }
        self.clients.recall(memory.clients, ago, then, now);
        self.answers.recall(memory.answers);
    }
}
