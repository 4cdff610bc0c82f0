//! The capture's clock. In flow the times of packets, out flows the time that the
//! programs see: monotonic, and counted from the first packet, so that a capture
//! gives the same whenever it was taken.

use std::time::Duration;

/// The replayed clock at the first packet: far enough from zero for everything that
/// looks back, and at a border of the coarsest time bucket.
pub const START_NS: u64 = 1 << 41;

/// Beyond any capture, and not so far that what is added to it would overflow.
const LAST_NS: u64 = 1 << 62;

/// A clock that only goes forward.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    first_ns: Option<u64>,
    now_ns: u64,
    backwards: u64,
}

impl Clock {
    /// The clock before the first packet.
    pub fn new() -> Self {
        Self {
            first_ns: None,
            now_ns: START_NS,
            backwards: 0,
        }
    }

    /// The replayed time of a packet of this time; one that says an earlier time than
    /// those before it, or none, is taken to have come at the same time as the last.
    pub fn advance(&mut self, time_ns: Option<u64>) -> u64 {
        if let Some(time) = time_ns {
            let first = *self.first_ns.get_or_insert(time);
            let now = time
                .checked_sub(first)
                .map(|since| START_NS.saturating_add(since).min(LAST_NS));
            match now {
                Some(now) if now >= self.now_ns => self.now_ns = now,
                Some(_) | None => self.backwards += 1,
            }
        }
        self.now_ns
    }

    /// The time of the first packet that has one, in nanoseconds since 1970.
    pub fn first_ns(&self) -> Option<u64> {
        self.first_ns
    }

    /// The time since then.
    pub fn span(&self) -> Duration {
        Duration::from_nanos(self.now_ns - START_NS)
    }

    /// Packets whose time went backwards.
    pub fn backwards(&self) -> u64 {
        self.backwards
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_from_the_first_packet_and_never_goes_back() {
        const FIRST: u64 = 1_700_000_000_000_000_000;
        let mut clock = Clock::new();
        for (description, time, after_start, backwards) in [
            ("the first", Some(FIRST), 0, 0),
            ("later", Some(FIRST + 5), 5, 0),
            ("at the same time", Some(FIRST + 5), 5, 0),
            ("earlier", Some(FIRST + 3), 5, 1),
            ("before the first", Some(FIRST - 1), 5, 2),
            ("without a time", None, 5, 2),
            ("later again", Some(FIRST + 6), 6, 2),
        ] {
            let now = clock.advance(time);
            assert_eq!(now - START_NS, after_start, "{description}");
            assert_eq!(clock.backwards(), backwards, "{description}");
        }
    }

    #[test]
    fn capture_without_any_time_stands_still() {
        let mut clock = Clock::new();
        assert_eq!(clock.advance(None), START_NS);
        assert_eq!(clock.advance(None), START_NS);
        assert_eq!(clock.backwards(), 0);
    }

    #[test]
    fn absurd_times_do_not_overflow() {
        let mut clock = Clock::new();
        clock.advance(Some(0));
        assert_eq!(clock.advance(Some(u64::MAX)), LAST_NS);
    }
}
