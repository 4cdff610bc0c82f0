//! What is known of the daemon: an answer flows in, what is wrong in it flows out.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

use super::ask::Told;
use crate::status::troubles::{Severity, Subject, Trouble, troubles};

/// What it told last, and what follows from that.
#[derive(Debug)]
pub struct Known {
    /// What it told.
    pub told: Told,
    /// What is wrong, worst first.
    pub troubles: Vec<Trouble>,
    /// When its loop told it.
    pub at: (Instant, SystemTime),
    worst: BTreeMap<(Subject, String), Severity>,
}

impl Known {
    /// After an answer that came now. One that its loop had told before is as old as then.
    pub fn new(told: Told, before: Option<&Self>, now: (Instant, SystemTime)) -> Self {
        // Told by the loop each second, so the same number is the same telling.
        let telling = |told: &Told| (told.document.pid, told.document.uptime_seconds.to_bits());
        let same = before.filter(|before| telling(&before.told) == telling(&told));
        let troubles = troubles(&told.document);
        let mut worst = BTreeMap::new();
        for trouble in &troubles {
            // Worst first, so the first one counts.
            worst
                .entry((trouble.subject, trouble.name.clone()))
                .or_insert(trouble.severity);
        }
        Self {
            told,
            troubles,
            at: same.map_or(now, |same| same.at),
            worst,
        }
    }

    /// The worst that is wrong with a prefix or a service, if anything is.
    pub fn worst(&self, subject: Subject, name: &str) -> Option<Severity> {
        self.worst.get(&(subject, name.to_owned())).copied()
    }

    /// Whether somebody should look at a prefix or a service.
    pub fn needs_attention(&self, subject: Subject, name: &str) -> bool {
        match self.worst(subject, name) {
            Some(Severity::Fault | Severity::Warning) => true,
            Some(Severity::Advice) | None => false,
        }
    }
}
