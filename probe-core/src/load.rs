//! In flow what arrives and what is served; out flows whether a service is overloaded:
//! much more than usual arrives, and a good part of the usual is still served.
//!
//! Moving an attack or a crowd to the next site cascades (RFC 9199 section 4), so an
//! overloaded service is held. One that serves nobody is not overloaded but dead,
//! however often its clients try again.

use crate::time::Timestamp;

/// The time constant of both rates.
const MEMORY_SECONDS: f64 = 0.1;

/// The part of the usual verified handshakes that must still come.
const SERVED: f64 = 0.2;

/// The present rates of one service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    at: Option<Timestamp>,
    arrivals_per_second: f64,
    verified_per_second: f64,
}

/// What is usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// Trials per second.
    pub arrivals_per_second: f64,
    /// Verified handshakes per second, or judged successes where none are verified.
    pub served_per_second: f64,
}

impl Load {
    /// Counts what came since the last time.
    pub fn add(&mut self, arrivals: u64, verified: u64, now: Timestamp) {
        let Some(before) = self.at.replace(now) else {
            return;
        };
        let elapsed = now.since(before).as_secs_f64();
        let kept = MEMORY_SECONDS / (MEMORY_SECONDS + elapsed);
        let gained = 1.0 / (MEMORY_SECONDS + elapsed);
        self.arrivals_per_second = self.arrivals_per_second * kept + arrivals as f64 * gained;
        self.verified_per_second = self.verified_per_second * kept + verified as f64 * gained;
    }

    /// Whether more than `factor` times the usual arrives, and enough of the usual is
    /// served.
    pub fn is_overload(&self, usual: Usual, factor: f64) -> bool {
        usual.arrivals_per_second > 0.0
            && self.arrivals_per_second > factor * usual.arrivals_per_second
            && self.verified_per_second >= SERVED * usual.served_per_second
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const USUAL: Usual = Usual {
        arrivals_per_second: 1000.0,
        served_per_second: 1000.0,
    };

    fn after(milliseconds: u64, arrivals: u64, verified: u64) -> Load {
        let mut load = Load::default();
        let mut now = Timestamp::default();
        load.add(0, 0, now);
        for _ in 0..2000 {
            now = now.after(Duration::from_millis(1));
            load.add(1, 1, now);
        }
        for _ in 0..milliseconds {
            now = now.after(Duration::from_millis(1));
            load.add(arrivals, verified, now);
        }
        load
    }

    #[test]
    fn overload_is_much_arriving_while_a_part_is_served() {
        for (description, milliseconds, arrivals, verified, expected) in [
            ("as usual", 1000, 1, 1, false),
            ("twice as much", 1000, 2, 1, false),
            ("a flood, served", 10, 100, 1, true),
            ("five times as much", 200, 5, 1, true),
            ("retries of refused clients at first", 50, 25, 0, true),
            ("... and soon", 300, 25, 0, false),
            ("silence", 1000, 0, 0, false),
        ] {
            let load = after(milliseconds, arrivals, verified);
            assert_eq!(load.is_overload(USUAL, 3.0), expected, "{description}");
        }
    }

    #[test]
    fn nothing_is_overload_where_nothing_is_usual() {
        let usual = Usual {
            arrivals_per_second: 0.0,
            served_per_second: 0.0,
        };
        assert!(!after(100, 100, 100).is_overload(usual, 3.0));
    }
}
