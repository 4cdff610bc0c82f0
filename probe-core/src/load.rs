//! In flow what arrives and what is served; out flows whether a service is overloaded:
//! much more than usual arrives, and a good part of the usual is still served.
//!
//! Moving an attack or a crowd to the next site cascades (RFC 9199 section 4), so an
//! overloaded service is held. One that serves nobody is not overloaded but dead,
//! however often its clients try again: what is refused at once is no load.
//!
//! What arrives is looked at closely, since a flood must be known before its first
//! trials are late, and remembered for some seconds: what it left unanswered is late, and
//! its backlog full, when it is over already. What is served is a mean over seconds: a full backlog serves in
//! bursts, whenever its half-open connections time out together.

use core::time::Duration;

use crate::time::Timestamp;

/// The time constant of what arrives: that of so many usual trials, within bounds.
const ARRIVALS_MEMORY_TRIALS: f64 = 10.0;
const ARRIVALS_MEMORY_SECONDS: (f64, f64) = (0.1, 5.0);
/// A surge is remembered for so long.
const SURGE: Duration = Duration::from_secs(3);
/// The time constant of what is served: at least twice the time after which the first
/// half-open connections leave a backlog, and that of so many as are usually served. Of a
/// few clients, half of whom are served, chance serves nobody for a second or two.
const SERVED_MEMORY_TRIALS: f64 = 50.0;
const SERVED_MEMORY_SECONDS: (f64, f64) = (2.0, 20.0);

/// The part of what is usually served that must still be.
const SERVED: f64 = 0.2;

/// The present rates of one service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    at: Option<Timestamp>,
    arrivals_per_second: f64,
    served_per_second: f64,
    /// The highest rate of the last seconds, and when it was.
    surge: (f64, Timestamp),
}

/// What is usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// Trials per second.
    pub arrivals_per_second: f64,
    /// Verified handshakes per second, or successes where none are verified.
    pub served_per_second: f64,
}

impl Load {
    /// Counts what came since the last time, of it what was refused at once, and what
    /// was served.
    pub fn add(
        &mut self,
        (arrivals, refused, served): (u64, u64, u64),
        usual: Usual,
        now: Timestamp,
    ) {
        let Some(before) = self.at.replace(now) else {
            return;
        };
        let elapsed = now.since(before).as_secs_f64();
        let mean =
            |rate: f64, memory: f64, count: f64| (rate * memory + count) / (memory + elapsed);
        // What is refused may have arrived before the last reading.
        let arrived = arrivals as f64 - refused as f64;
        let memory = |trials: f64, per_second: f64, (least, most): (f64, f64)| {
            (trials / per_second.max(f64::MIN_POSITIVE)).clamp(least, most)
        };
        let arrivals_memory = memory(
            ARRIVALS_MEMORY_TRIALS,
            usual.arrivals_per_second,
            ARRIVALS_MEMORY_SECONDS,
        );
        self.arrivals_per_second = mean(self.arrivals_per_second, arrivals_memory, arrived);
        let (highest, at) = self.surge;
        if self.arrivals_per_second >= highest || now.since(at) > SURGE {
            self.surge = (self.arrivals_per_second, now);
        }
        let served_memory = memory(
            SERVED_MEMORY_TRIALS,
            usual.served_per_second,
            SERVED_MEMORY_SECONDS,
        );
        self.served_per_second = mean(self.served_per_second, served_memory, served as f64);
    }

    /// Whether more than `factor` times the usual arrives, and enough of the usual is
    /// served.
    pub fn is_overload(&self, usual: Usual, factor: f64) -> bool {
        usual.arrivals_per_second > 0.0
            && self.surge.0 > factor * usual.arrivals_per_second
            && self.served_per_second >= SERVED * usual.served_per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Usual = Usual {
        arrivals_per_second: 1000.0,
        served_per_second: 1000.0,
    };

    /// A time as usual, and then so much of each in every millisecond.
    fn after(milliseconds: u64, arrivals: u64, refused: u64, served: u64) -> Load {
        let mut load = Load::default();
        let mut now = Timestamp::default();
        load.add((0, 0, 0), USUAL, now);
        for _ in 0..20_000 {
            now = now.after(Duration::from_millis(1));
            load.add((1, 0, 1), USUAL, now);
        }
        for _ in 0..milliseconds {
            now = now.after(Duration::from_millis(1));
            load.add((arrivals, refused, served), USUAL, now);
        }
        load
    }

    #[test]
    fn overload_is_much_arriving_while_a_part_is_served() {
        for (description, milliseconds, (arrivals, refused, served), expected) in [
            ("as usual", 1000, (1, 0, 1), false),
            ("twice as much", 1000, (2, 0, 1), false),
            ("a flood, served", 10, (100, 0, 1), true),
            ("five times as much", 200, (5, 0, 1), true),
            ("retries of refused clients", 5, (25, 25, 0), false),
            ("... and later", 1000, (25, 25, 0), false),
            ("a flood, and nobody is served", 600, (25, 0, 0), true),
            ("... for seconds", 3500, (25, 0, 0), false),
            ("silence", 1000, (0, 0, 0), false),
        ] {
            let load = after(milliseconds, arrivals, refused, served);
            assert_eq!(load.is_overload(USUAL, 3.0), expected, "{description}");
        }
    }

    #[test]
    fn a_surge_is_remembered_for_some_seconds() {
        let mut load = after(100, 100, 0, 1);
        let mut now = Timestamp::default().after(Duration::from_millis(20_100));
        for (seconds, expected) in [(2, true), (2, false)] {
            for _ in 0..seconds * 1000 {
                now = now.after(Duration::from_millis(1));
                load.add((1, 0, 1), USUAL, now);
            }
            assert_eq!(load.is_overload(USUAL, 3.0), expected);
        }
    }

    /// The simulation withdrew a service of ten clients a second once in two years: half
    /// of them were served, and of these, by chance, hardly anybody for some seconds.
    #[test]
    fn a_lull_in_what_few_clients_get_is_no_death() {
        let usual = Usual {
            arrivals_per_second: 10.0,
            served_per_second: 10.0,
        };
        let mut load = Load::default();
        let mut now = Timestamp::default();
        load.add((0, 0, 0), usual, now);
        let mut tenths = |count: u32, arrivals: u64, served: fn(u32) -> u64| {
            for tenth in 0..count {
                now = now.after(Duration::from_millis(100));
                load.add((arrivals, 0, served(tenth)), usual, now);
            }
            load.is_overload(usual, 3.0)
        };
        assert!(!tenths(600, 1, |_| 1));
        assert!(tenths(20, 21, |tenth| u64::from(tenth % 2)));
        assert!(tenths(28, 21, |_| 0), "a lull");
        assert!(!tenths(100, 21, |_| 0), "death");
    }

    #[test]
    fn nothing_is_overload_where_nothing_is_usual() {
        let usual = Usual {
            arrivals_per_second: 0.0,
            served_per_second: 0.0,
        };
        assert!(!after(100, 100, 0, 100).is_overload(usual, 3.0));
    }
}
