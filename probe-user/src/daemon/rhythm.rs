//! When the loop does what by itself.

use std::time::Duration;

use probe_core::Timestamp;

use crate::journal::record::nanoseconds;

/// The next point of a rhythm; what was missed is left out.
pub fn next(last: Timestamp, period: Duration, now: Timestamp) -> Timestamp {
    let next = last.after(period);
    if next > now { next } else { now.after(period) }
}

/// How often the maps are read: as finely as the finest ring has buckets and as a
/// deadline is worth, at most every half millisecond.
pub fn tick(deadlines: impl Iterator<Item = Duration>) -> Duration {
    const LEAST: Duration = Duration::from_micros(500);
    const MOST: Duration = Duration::from_millis(5);
    deadlines
        .map(|deadline| {
            let shift = probe_common::trial::width_shift(nanoseconds(deadline));
            Duration::from_nanos(1 << shift).min(deadline / 4)
        })
        .min()
        .unwrap_or(MOST)
        .clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tick_follows_the_shortest_deadline_within_bounds() {
        let milliseconds = Duration::from_millis;
        for (deadlines, expected) in [
            (vec![], milliseconds(5)),
            (vec![milliseconds(200)], milliseconds(5)),
            (
                vec![milliseconds(200), milliseconds(100)],
                Duration::from_nanos(1 << 22),
            ),
            (vec![milliseconds(10)], Duration::from_nanos(1 << 19)),
        ] {
            assert_eq!(tick(deadlines.iter().copied()), expected, "{deadlines:?}");
        }
    }

    #[test]
    fn a_rhythm_leaves_out_what_it_missed() {
        let at = Timestamp::from_nanos;
        let period = Duration::from_nanos(10);
        assert_eq!(next(at(100), period, at(103)), at(110));
        assert_eq!(next(at(100), period, at(125)), at(135));
    }
}
