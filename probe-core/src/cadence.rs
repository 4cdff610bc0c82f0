//! When the regular probes of a service are due. In flows when one was launched, out
//! flows when the next one is due: one per interval, each at another place in it.
//!
//! ```text
//!  slots    |--------------|--------------|--------------|
//!  due       ^              .^             ^  (up to a tenth of the interval later)
//! ```
//!
//! Without that, probes of many services that once fell together would do so for ever. The
//! core has no randomness: the place is a hash of the service and the probe's number. The
//! slots do not move with it, so the mean stays.
//!
//! What is due lies on a grid that all services of this interval share. A thousand of them
//! are launched and answered twenty at a time: to wake up for each would cost more than the
//! probes.

use core::time::Duration;

use crate::{config::ServiceId, time::Timestamp};

/// The shortest time between two regular probes, whatever the configuration says.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

/// A probe is late by less than this part of the interval, so that two of them are at
/// most this part nearer or farther than the interval.
const SPREAD: u32 = 10;

/// Lines of the grid in an interval.
const LINES: u32 = 50;

/// Places within the spread.
const PLACES: u32 = 1024;

/// The rhythm of one service's regular probes.
#[derive(Clone, Copy, Debug)]
pub struct Cadence {
    service: ServiceId,
    interval: Duration,
    /// Where the next probe would be due without spreading.
    slot: Timestamp,
    due: Timestamp,
    launched: u64,
}

impl Cadence {
    /// A rhythm that begins at `first`, exactly.
    pub fn new(service: ServiceId, interval: Duration, first: Timestamp) -> Self {
        Self {
            service,
            interval: interval.max(LEAST_INTERVAL),
            slot: first,
            due: first,
            launched: 0,
        }
    }

    /// When the next probe is due.
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// Time between two probes, on average.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Another interval from `now` on. The places within it stay those that they were.
    pub fn set_interval(&mut self, interval: Duration, now: Timestamp) {
        let interval = interval.max(LEAST_INTERVAL);
        if self.interval == interval {
            return;
        }
        self.interval = interval;
        self.slot = self.slot.min(now.after(interval));
        self.due = self.due.min(self.slot);
    }

    /// A probe was launched: what was missed until now is not made up for.
    pub fn launch(&mut self, now: Timestamp) {
        let next = self.slot.after(self.interval);
        self.slot = if next > now {
            next
        } else {
            now.after(self.interval)
        };
        self.launched = self.launched.wrapping_add(1);
        // A probe that was launched late must not bring the next one nearer: `fall`
        // failures in a row would then span less time than the operator asked for.
        let nearest = now.after(self.interval / SPREAD * (SPREAD - 1));
        let due = self.slot.after(self.lateness());
        self.due = self.on_the_grid(due.max(nearest).max(now.after(LEAST_INTERVAL)));
    }

    /// The next line of the grid.
    fn on_the_grid(&self, time: Timestamp) -> Timestamp {
        let line = u64::try_from((self.interval / LINES).as_nanos()).unwrap_or(u64::MAX);
        Timestamp::from_nanos(time.as_nanos().div_ceil(line).saturating_mul(line))
    }

    fn lateness(&self) -> Duration {
        let seed = u64::from(self.service.0) << 32 ^ self.launched;
        let place = u32::try_from(mixed(seed) % u64::from(PLACES)).unwrap_or_default();
        // The way to the next line of the grid comes on top.
        let spread = (self.interval / SPREAD).saturating_sub(self.interval / LINES);
        (spread / PLACES).saturating_mul(place)
    }
}

/// Every bit of the seed moves about half of the bits (the last steps of `SplitMix64`).
fn mixed(seed: u64) -> u64 {
    let mut hash = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// When the first so many probes are launched if nothing delays them.
    fn launches(service: u32, interval: Duration, count: usize) -> Vec<Duration> {
        let mut cadence = Cadence::new(ServiceId(service), interval, Timestamp::default());
        (0..count)
            .map(|_| {
                let due = cadence.due();
                cadence.launch(due);
                due.since(Timestamp::default())
            })
            .collect()
    }

    proptest! {
        #[test]
        fn the_mean_stays_and_no_two_are_much_nearer_or_farther(
            service in any::<u32>(),
            interval in (0_u64..3_600_000_000).prop_map(Duration::from_micros),
        ) {
            let launches = launches(service, interval, 200);
            let interval = interval.max(LEAST_INTERVAL);
            let tenth = interval / SPREAD;
            let mut slot = Duration::ZERO;
            for (index, pair) in launches.windows(2).enumerate() {
                let gap = pair[1].saturating_sub(pair[0]);
                prop_assert!(gap >= LEAST_INTERVAL, "{index}: {gap:?}");
                prop_assert!(gap + tenth >= interval && gap <= interval + tenth, "{index}: {gap:?}");
                slot += interval;
                // Where the least interval pushes one back, it pushes those behind it.
                if interval > LEAST_INTERVAL * 2 {
                    prop_assert!(pair[1] >= slot && pair[1] < slot + tenth, "{index}");
                }
            }
        }
    }

    #[test]
    fn services_that_begin_together_part() {
        let places: BTreeSet<Duration> = (0..100)
            .map(|service| launches(service, Duration::from_secs(1), 2)[1])
            .collect();
        // The slots themselves lie on lines, which only an exact place keeps.
        let lines = (LINES / SPREAD - 1) as usize;
        assert!(
            places.len() >= lines,
            "all lines within the spread: {places:?}"
        );
        let seconds: BTreeSet<u128> = launches(0, Duration::from_secs(1), 100)
            .iter()
            .map(|launch| launch.as_micros() % 1_000_000)
            .collect();
        assert!(seconds.len() >= lines, "{seconds:?}");
    }

    #[test]
    fn probes_of_many_services_are_due_together() {
        let second = Duration::from_secs(1);
        let due: BTreeSet<Timestamp> = (0..1000)
            .map(|service| {
                let first = Timestamp::default().after(second / 1000 * service);
                let mut cadence = Cadence::new(ServiceId(service), second, first);
                cadence.launch(first);
                cadence.due()
            })
            .collect();
        assert!(due.len() <= 60, "{} times to wake up", due.len());
    }

    #[test]
    fn a_late_probe_brings_no_other_one_nearer() {
        let second = Duration::from_secs(1);
        let least = second / SPREAD * (SPREAD - 1);
        for late in (0..1000).step_by(50).map(Duration::from_millis) {
            let mut cadence = Cadence::new(ServiceId(3), second, Timestamp::default());
            let mut launched = Timestamp::default().after(late);
            cadence.launch(launched);
            for _ in 0..20 {
                let due = cadence.due();
                assert!(due.since(launched) >= least, "{late:?} late");
                launched = due;
                cadence.launch(launched);
            }
            let lag = launched.since(Timestamp::default().after(second * 20));
            assert!(lag < second / SPREAD, "back in its slots: {lag:?}");
        }
    }

    #[test]
    fn what_was_missed_is_not_made_up_for() {
        let second = Duration::from_secs(1);
        let mut cadence = Cadence::new(ServiceId(3), second, Timestamp::default());
        let late = Timestamp::default().after(10 * second + second / 2);
        cadence.launch(late);
        let wait = cadence.due().since(late);
        assert!(
            wait >= second && wait < second + second / SPREAD,
            "{wait:?}"
        );
    }
}
