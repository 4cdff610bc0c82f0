//! A quarrel with another program over one prefix, and when to give in for a while.
//!
//! In flow our repairs; out flows when the next one may be made. Each repair of an
//! announced prefix is a withdraw and an announcement upstream, and route-flap
//! damping there (RFC 2439) ends in the loss of the prefix. So the first repairs come
//! at once, then the pause before the next one grows sixfold each time.
//!
//! ```text
//! repair                    1   2   3     4     5      6       7 and on
//! pause, wanted announced   0   0   1 s   6 s   36 s   216 s   5 min
//!        wanted withdrawn   0   0   1 s   1 s   1 s    1 s     1 s
//! ```
//!
//! A withdrawn prefix that comes back into the table sends clients to a dead site:
//! there the pause only keeps us from spinning.

use core::time::Duration;

use probe_core::{Level, Timestamp};

/// So many repairs come at once.
const FREE: u32 = 2;
/// The pause before the first repair that does not.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Each pause is so many times the one before.
const GROWTH: u32 = 6;
/// No pause is longer. A withdraw costs 1000 points of damping, half of which are
/// gone after 15 minutes: so a fight never costs the 6000 from which RFC 7196 damps.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// At so many repairs the pause is the longest; more are not counted.
const MOST: u32 = FREE + 4;
/// After so long without a repair, one of them is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(15);
/// A quarrel is over if nothing happens for so long, and for as long as the pause.
const PEACE: Duration = Duration::from_secs(10);

/// The state of the quarrel.
#[derive(Clone, Debug, Default)]
pub struct Contest {
    repairs: u32,
    last_repair: Timestamp,
    /// A repair was due and had to wait.
    standing: bool,
}

impl Contest {
    /// When a repair towards `wanted` that is due `now` may be made: now, or later.
    /// Then it is a quarrel.
    pub fn next_repair(&mut self, wanted: Level, now: Timestamp) -> Timestamp {
        let next = self.last_repair.after(self.pause(wanted, now));
        if next > now {
            self.standing = true;
        }
        next.max(now)
    }

    /// A repair was made or tried.
    pub fn repaired(&mut self, now: Timestamp) {
        self.repairs = (self.remembered(now) + 1).min(MOST);
        self.last_repair = now;
    }

    /// When the quarrel will be over if nothing more happens; none if there is none.
    pub fn over_at(&mut self, wanted: Level, now: Timestamp) -> Option<Timestamp> {
        let over = self.last_repair.after(self.pause(wanted, now).max(PEACE));
        if over <= now {
            self.standing = false;
        }
        self.standing.then_some(over)
    }

    /// Whether there is a quarrel.
    pub fn stands(&self) -> bool {
        self.standing
    }

    fn remembered(&self, now: Timestamp) -> u32 {
        let peace = now.since(self.last_repair);
        let forgotten = peace.as_secs() / FORGOTTEN_AFTER.as_secs();
        self.repairs
            .saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    fn pause(&self, wanted: Level, now: Timestamp) -> Duration {
        let longest = match wanted {
            Level::Full | Level::Degraded => LONGEST_PAUSE,
            Level::Withdrawn => FIRST_PAUSE,
        };
        match self.remembered(now).checked_sub(FREE) {
            None => Duration::ZERO,
            Some(steps) => FIRST_PAUSE
                .saturating_mul(GROWTH.saturating_pow(steps))
                .min(longest),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(seconds))
    }

    /// Repairs as soon as they may be, against a program that undoes each at once;
    /// the seconds at which they come.
    fn fight(wanted: Level, repairs: usize) -> Vec<u64> {
        let mut contest = Contest::default();
        let mut now = at(1000);
        let mut seconds = Vec::new();
        for _ in 0..repairs {
            now = contest.next_repair(wanted, now);
            contest.repaired(now);
            seconds.push(now.since(at(1000)).as_secs());
        }
        seconds
    }

    #[test]
    fn the_pause_grows_up_to_the_longest() {
        let sums = [0, 0, 1, 7, 43, 259, 559, 859];
        for level in [Level::Full, Level::Degraded] {
            assert_eq!(fight(level, sums.len()), sums, "{level}");
        }
        assert_eq!(fight(Level::Withdrawn, 6), [0, 0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_quarrel_stands_from_the_first_wait_until_peace() {
        let mut contest = Contest::default();
        let full = Level::Full;
        for _ in 0..2 {
            assert_eq!(contest.next_repair(full, at(1000)), at(1000));
            contest.repaired(at(1000));
            assert_eq!(contest.over_at(full, at(1000)), None);
        }
        assert_eq!(contest.next_repair(full, at(1000)), at(1001));
        assert!(contest.stands());
        contest.repaired(at(1001));
        assert!(contest.stands(), "a repair is not the end");
        assert_eq!(contest.over_at(full, at(1010)), Some(at(1011)));
        assert_eq!(contest.over_at(full, at(1011)), None);
        assert!(!contest.stands());
    }

    #[test]
    fn repairs_are_forgotten_one_by_one() {
        let mut contest = Contest::default();
        for _ in 0..3 {
            contest.repaired(at(1000));
        }
        // Two are left of the three.
        assert_eq!(contest.next_repair(Level::Full, at(1900)), at(1900));
        contest.repaired(at(1900));
        assert_eq!(contest.next_repair(Level::Full, at(1900)), at(1906));
    }

    proptest! {
        #[test]
        fn no_fight_reaches_the_damping_threshold(
            strikes in prop::collection::vec(prop_oneof![Just(0), Just(300), Just(900), 0..2000u64], 1..300),
        ) {
            let mut contest = Contest::default();
            let mut now = at(10_000);
            let mut last = now;
            let mut penalty = 0.0_f64;
            for strike in strikes {
                now = contest.next_repair(Level::Full, now.after(Duration::from_secs(strike)));
                contest.repaired(now);
                penalty *= (-now.since(last).as_secs_f64() / 900.0).exp2();
                penalty += 1000.0;
                last = now;
                prop_assert!(penalty < 6000.0, "{penalty}");
            }
        }
    }
}
