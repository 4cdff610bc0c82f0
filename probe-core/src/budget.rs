//! How often this host may lower prefixes: a bound on what any mistake of ours can do.

use core::time::Duration;
use std::collections::VecDeque;

use crate::{config::Guards, time::Timestamp};

const HOUR: Duration = Duration::from_hours(1);

/// The lowerings of the last hour.
#[derive(Clone, Debug)]
pub struct Budget {
    limit: usize,
    lowered: VecDeque<Timestamp>,
}

impl Budget {
    /// Nothing was lowered yet.
    pub fn new(guards: Guards) -> Self {
        Self {
            limit: usize::try_from(guards.lowerings_per_hour).unwrap_or(usize::MAX),
            lowered: VecDeque::new(),
        }
    }

    /// Another limit; what was lowered already counts.
    pub fn set_guards(&mut self, guards: Guards) {
        self.limit = Self::new(guards).limit;
    }

    /// Whether one more is within the budget.
    pub fn allows(&self, now: Timestamp) -> bool {
        self.within(now) < self.limit
    }

    /// Counts one.
    pub fn spend(&mut self, now: Timestamp) {
        self.lowered.retain(|at| now.since(*at) < HOUR);
        self.lowered.push_back(now);
    }

    /// When a lowering is allowed again, if none is now.
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        if self.allows(now) {
            return None;
        }
        // The one that must be an hour old for the others to be few enough.
        let index = self.lowered.len().checked_sub(self.limit.max(1))?;
        Some(self.lowered.get(index)?.after(HOUR))
    }

    fn within(&self, now: Timestamp) -> usize {
        self.lowered
            .iter()
            .filter(|at| now.since(**at) < HOUR)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_one_of_the_last_hour() {
        let at = |minutes: u64| Timestamp::from_nanos(minutes * 60 * 1_000_000_000);
        let mut budget = Budget::new(Guards {
            lowerings_per_hour: 2,
        });
        assert!(budget.allows(at(0)));
        budget.spend(at(0));
        budget.spend(at(30));
        assert!(!budget.allows(at(59)));
        assert_eq!(budget.due(at(59)), Some(at(60)));
        assert!(budget.allows(at(60)));
        assert_eq!(budget.due(at(60)), None);
        budget.spend(at(60));
        assert_eq!(budget.due(at(61)), Some(at(90)));
    }
}
