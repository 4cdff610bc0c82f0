//! What the first service of a host looks like to the core, step by step: for a
//! picture of one fault.

use probe_core::{Engine, Level, Timestamp};

use super::kernel::End;

/// A record of what happened.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Trials by their start, and how they ended; none if they never did.
    pub trials: Vec<(Timestamp, Option<End>)>,
    /// The score as a part of its threshold, whenever the core took an input.
    pub scores: Vec<(Timestamp, f64)>,
    /// The level that is wanted, whenever it changed.
    pub levels: Vec<(Timestamp, Level)>,
}

impl Trace {
    /// Looks at the core.
    pub fn look(&mut self, engine: &Engine, now: Timestamp) {
        if let Some(service) = engine.services().first() {
            self.scores.push((now, service.detector.score_ratio));
        }
        let level = engine.prefixes().first().and_then(|prefix| prefix.wanted);
        if let Some(level) = level
            && self.levels.last().is_none_or(|(_, last)| *last != level)
        {
            self.levels.push((now, level));
        }
    }
}
