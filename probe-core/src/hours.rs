//! The hours by which what was normal yesterday is found again: counted from the start
//! of the clock, and counted anew over a restart, when the clock may be another one.

use core::time::Duration;

use crate::time::Timestamp;

/// An hour.
pub const HOUR: Duration = Duration::from_hours(1);
/// The hours of a day.
pub const DAY: u64 = 24;

/// The number of the hour in which `time` lies.
pub fn hour_of(time: Timestamp) -> u64 {
    time.as_nanos() / 1_000_000_000 / HOUR.as_secs()
}

/// Whether an hour is at most a day ago.
pub fn is_within_a_day(number: u64, now: Timestamp) -> bool {
    hour_of(now).saturating_sub(number) <= DAY
}

/// Whether an hour is the present one, a day ago.
pub fn is_yesterday(number: u64, now: Timestamp) -> bool {
    number + DAY == hour_of(now)
}

/// The present number of an hour that had `number` on the clock that said `then`, `ago`;
/// none if the present clock, which says `now`, had not begun.
pub fn renumber(number: u64, ago: Duration, then: Timestamp, now: Timestamp) -> Option<u64> {
    let passed = ago.as_secs() / HOUR.as_secs();
    let hours_ago = hour_of(then).checked_sub(number)? + passed;
    hour_of(now).checked_sub(hours_ago)
}
