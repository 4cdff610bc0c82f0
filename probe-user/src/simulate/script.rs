//! What happens to one service, and when. In flow episodes, each a row of situations;
//! out flows the situation that holds at a time, and until when it does.
//!
//! ```text
//! calm ──┬─ silent 60 ms ─┬─ crowd × 25 for 2 s ─┬─ calm ───── … ──┬─ refused 0.5 s ─┬─ calm
//!        └── an episode ──┴──────────────────────┘                 └─ another one ───┘
//! ```

use std::{rc::Rc, time::Duration};

use probe_core::Timestamp;

use super::behaviour::{Networks, Situation};

/// A service's ordinary days.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Days {
    /// Trials per second, on average over a day.
    pub rate: f64,
    /// How much day and night differ: the part of the average that comes and goes.
    pub swing: f64,
    /// Standard deviation of the rate's logarithm from minute to minute.
    pub noise: f64,
    /// The part of all trials that fails on a good day.
    pub background: f64,
    /// Where the clients are.
    pub networks: Networks,
}

impl Days {
    /// Night at a third of the average, noise, and one failure in a thousand trials.
    pub fn usual(rate: f64) -> Self {
        Self {
            rate,
            swing: 0.65,
            noise: 0.1,
            background: 0.001,
            networks: Networks::Many,
        }
    }
}

/// Situations that follow one another.
pub type Episode = Vec<(Duration, Situation)>;

/// What happens to one service.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its ordinary days.
    pub days: Days,
    /// From when on what holds, in order.
    changes: Vec<(Timestamp, Rc<Situation>)>,
    /// The next change.
    next: usize,
    present: Rc<Situation>,
}

impl Script {
    /// Nothing but ordinary days.
    pub fn new(days: Days) -> Self {
        Self {
            days,
            changes: Vec::new(),
            next: 0,
            present: Rc::new(Situation::CALM),
        }
    }

    /// Adds an episode that begins at `at`; what it runs into is put off until it has
    /// ended.
    pub fn add(&mut self, at: Timestamp, episode: Episode) {
        let free = self.changes.last().map_or(at, |(end, _)| *end);
        let mut at = at.max(free);
        for (lasts, situation) in episode {
            self.changes.push((at, Rc::new(situation)));
            at = at.after(lasts);
        }
        self.changes.push((at, Rc::new(Situation::CALM)));
    }

    /// Moves on to `now`. Time does not go back.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some((at, situation)) = self.changes.get(self.next)
            && *at <= now
        {
            self.present = Rc::clone(situation);
            self.next += 1;
        }
    }

    /// What holds now.
    pub fn situation(&self) -> &Rc<Situation> {
        &self.present
    }

    /// When it will change, if it will.
    pub fn changes_at(&self) -> Option<Timestamp> {
        self.changes.get(self.next).map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::behaviour::Ends;

    #[test]
    fn episodes_follow_one_another_and_end_in_calm() {
        let at = |second: u64| Timestamp::from_nanos(second * 1_000_000_000);
        let second = Duration::from_secs(1);
        let refused = Situation::CALM.ends(Ends::refused(1.0));
        let crowd = Situation::CALM.crowd(25.0);
        let mut script = Script::new(Days::usual(10.0));
        script.add(
            at(10),
            vec![(second, refused.clone()), (2 * second, crowd.clone())],
        );
        script.add(at(11), vec![(second, refused.clone())]);
        for (second, expected) in [
            (9, &Situation::CALM),
            (10, &refused),
            (11, &crowd),
            (12, &crowd),
            (13, &refused),
            (14, &Situation::CALM),
            (99, &Situation::CALM),
        ] {
            script.advance(at(second));
            assert_eq!(&**script.situation(), expected, "{second}");
        }
        assert_eq!(script.changes_at(), None);
    }
}
