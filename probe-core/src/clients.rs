//! In flow a service's verified handshakes by client network; out flow how many
//! successes per second are expected, how many handshakes come now, and by how much
//! the busiest networks lead.
//!
//! *Expected* is the rate of handshakes whose client proved itself: the mean of the last
//! ten minutes, but not more than in the quietest minute of the last hour, nor than at the
//! same hour yesterday. A crowd that leaves again is no fault, and whoever wants it to
//! look like one must bring it for an hour. One client network must not make it: with `c`
//! the handshakes of each network (by hash bucket) and `T` their sum,
//!
//! ```text
//! counted = min( Σ min(c, T/10),  (T - max c) · 10/9 )      two networks or more
//! counted = T/10                                            one network
//! ```
//!
//! The first term counts each network with at most a tenth of all. The second counts
//! the largest with at most a tenth of what is counted: it is for services of few
//! networks, where a tenth of all, if nearly all is its own, is still too much for
//! one. So the leaving of one network alone never looks like a fault. A service with
//! a single network has nobody else to be harmed and gets a tenth of its rate as a
//! bound. From ten networks of equal size on, all is counted.

use core::time::Duration;
use std::collections::VecDeque;

use probe_common::address::NETWORK_BUCKETS;
use serde::{Deserialize, Serialize};

use crate::{
    exact,
    hours::{hour_of, is_within_a_day, is_yesterday, renumber},
    spread::Buckets,
    time::Timestamp,
};

/// Per second: counts fade with a time constant of ten minutes.
pub const MEMORY_PER_SECOND: f64 = 0.998_334_721_451;

/// Less than this teaches nothing about a rate: two seconds, of which a part has
/// faded already.
const LEAST_SECONDS: f64 = 1.9;
/// Less than this teaches nothing about a rate.
const LEAST_VERIFIED: f64 = 50.0;

const MINUTE_SECONDS: u64 = 60;
/// The minutes of which the quietest counts.
const MINUTES: usize = 60;

/// The clients of one service.
#[derive(Clone, Debug)]
pub struct Clients {
    buckets: Buckets,
    learned: Learned,
    expected: Option<f64>,
}

/// What is remembered over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// The last ten minutes by network, fading.
    networks: Vec<f64>,
    /// The seconds behind them, fading as they do.
    seconds: f64,
    /// The minute that is being filled.
    minute: Minute,
    /// The rates of the last whole minutes, oldest first.
    minutes: VecDeque<f64>,
    /// By hour of [`Clients::refresh`]'s clock.
    hours: Vec<Hour>,
}

/// The handshakes of a minute by network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Minute {
    networks: Vec<f64>,
    seconds: u64,
}

impl Minute {
    /// Adds so many seconds; the rate of the minute if that made it whole.
    fn add(&mut self, fresh: &[u32; NETWORK_BUCKETS], seconds: u64) -> Option<f64> {
        self.networks.resize(NETWORK_BUCKETS, 0.0);
        for (count, fresh) in self.networks.iter_mut().zip(fresh) {
            *count += f64::from(*fresh);
        }
        self.seconds += seconds;
        if self.seconds < MINUTE_SECONDS {
            return None;
        }
        let minute = core::mem::take(self);
        Some(counted(&minute.networks) / minute.seconds as f64)
    }
}

/// The mean of what was expected during one hour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Hour {
    number: u64,
    seconds: f64,
    sum: f64,
}

impl Clients {
    /// Knows nothing.
    pub fn new() -> Self {
        Self {
            buckets: Buckets::default(),
            learned: Learned::default(),
            expected: None,
        }
    }

    /// Takes the verified handshakes by network, cumulative and wrapping; says how many
    /// there were since the last reading.
    pub fn read(&mut self, verified: &[u32]) -> u64 {
        self.buckets.read(verified)
    }

    /// The verified handshakes by network.
    pub fn verified(&self) -> &Buckets {
        &self.buckets
    }

    /// Once a second (or after `seconds`): learns from the handshakes since, if the
    /// service was `healthy` all the time. Says how many came.
    pub fn refresh(&mut self, seconds: u64, healthy: bool, now: Timestamp) -> u64 {
        let fresh = self.buckets.refresh(seconds);
        let came = fresh.iter().map(|count| u64::from(*count)).sum();
        if !healthy || seconds == 0 {
            return came;
        }
        let kept = exact::power(MEMORY_PER_SECOND, seconds);
        self.learned.networks.resize(NETWORK_BUCKETS, 0.0);
        for (learned, fresh) in self.learned.networks.iter_mut().zip(fresh) {
            *learned = *learned * kept + f64::from(fresh);
        }
        self.learned.seconds = self.learned.seconds * kept + seconds as f64;
        if let Some(rate) = self.learned.minute.add(&fresh, seconds) {
            self.learned.minutes.push_back(rate);
            if self.learned.minutes.len() > MINUTES {
                self.learned.minutes.pop_front();
            }
        }
        self.expected = self.learned.lower_of_recent_and_yesterday(seconds, now);
        came
    }

    /// Expected successes per second, if known.
    pub fn expected_per_second(&self) -> Option<f64> {
        self.expected
    }

    /// What is worth remembering.
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// Knows again what was remembered `ago`, at `then` of the clock of that time. Hours
    /// before the start of the present clock are forgotten.
    pub fn recall(&mut self, mut learned: Learned, ago: Duration, then: Timestamp, now: Timestamp) {
        let kept = exact::power(MEMORY_PER_SECOND, ago.as_secs());
        learned.networks.resize(NETWORK_BUCKETS, 0.0);
        for count in &mut learned.networks {
            *count *= kept;
        }
        learned.seconds *= kept;
        learned.hours = learned
            .hours
            .iter()
            .filter_map(|hour| {
                let number = renumber(hour.number, ago, then, now)?;
                Some(Hour { number, ..*hour })
            })
            .collect();
        self.learned = learned;
        self.expected = self.learned.lower_of_recent_and_yesterday(0, now);
    }
}

impl Learned {
    fn lower_of_recent_and_yesterday(&mut self, seconds: u64, now: Timestamp) -> Option<f64> {
        let total: f64 = self.networks.iter().sum();
        if self.seconds < LEAST_SECONDS || total < LEAST_VERIFIED {
            return None;
        }
        let mean = counted(&self.networks) / self.seconds;
        let recent = self.minutes.iter().copied().fold(mean, f64::min);
        let number = hour_of(now);
        self.hours.retain(|hour| is_within_a_day(hour.number, now));
        if seconds > 0 {
            if !self.hours.iter().any(|hour| hour.number == number) {
                self.hours.push(Hour {
                    number,
                    seconds: 0.0,
                    sum: 0.0,
                });
            }
            let hour = self.hours.iter_mut().find(|hour| hour.number == number)?;
            hour.seconds += seconds as f64;
            hour.sum += mean * seconds as f64;
        }
        let yesterday = self
            .hours
            .iter()
            .find(|hour| is_yesterday(hour.number, now) && hour.seconds > 0.0);
        Some(yesterday.map_or(recent, |hour| recent.min(hour.sum / hour.seconds)))
    }
}

/// How many of the handshakes are expected again; see the module's documentation.
fn counted(networks: &[f64]) -> f64 {
    let total: f64 = networks.iter().sum();
    let largest = networks.iter().copied().fold(0.0, f64::max);
    let tenth = total / 10.0;
    if networks.iter().filter(|count| **count > 0.0).count() <= 1 {
        return tenth;
    }
    let capped: f64 = networks.iter().map(|count| count.min(tenth)).sum();
    capped.min((total - largest) * 10.0 / 9.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_SECONDS: u64 = crate::hours::HOUR.as_secs();

    #[test]
    fn no_network_counts_more_than_a_tenth_nor_decides_alone() {
        let cases: [(&str, &[f64], f64); 6] = [
            ("one network", &[1000.0], 100.0),
            ("two equal ones", &[500.0, 500.0], 200.0),
            ("one abuser beside few clients", &[1000.0, 4.5, 4.5], 10.0),
            ("ten equal ones", &[10.0; 10], 100.0),
            ("sixty-four equal ones", &[10.0; 64], 640.0),
            ("nothing", &[0.0; 4], 0.0),
        ];
        for (description, networks, expectation) in cases {
            let result = counted(networks);
            assert!(
                (result - expectation).abs() < 1e-9,
                "{description}: {result}"
            );
        }
    }

    struct Source {
        clients: Clients,
        verified: [u32; NETWORK_BUCKETS],
        now: Timestamp,
    }

    impl Source {
        fn new() -> Self {
            let mut source = Self {
                clients: Clients::new(),
                verified: [u32::MAX - 50; NETWORK_BUCKETS],
                now: Timestamp::from_nanos(1),
            };
            source.clients.read(&source.verified);
            source
        }

        fn seconds(&mut self, seconds: u64, per_network: u32, healthy: bool) {
            for _ in 0..seconds {
                for verified in &mut self.verified {
                    *verified = verified.wrapping_add(per_network);
                }
                self.now = self.now.after(Duration::from_secs(1));
                self.clients.read(&self.verified);
                self.clients.refresh(1, healthy, self.now);
            }
        }

        fn expected(&self) -> Option<f64> {
            self.clients.expected_per_second()
        }
    }

    #[test]
    fn too_little_or_unhealthy_time_teaches_nothing() {
        let mut source = Source::new();
        source.seconds(1, 10, true);
        assert_eq!(source.expected(), None);
        source.seconds(60, 10, false);
        assert_eq!(source.expected(), None);
        source.seconds(1, 10, true);
        assert_eq!(source.expected().map(f64::round), Some(640.0));
    }

    #[test]
    fn the_quietest_minute_of_the_last_hour_bounds_what_is_expected() {
        let mut source = Source::new();
        source.seconds(20 * 60, 2, true); // 128 per second
        source.seconds(30 * 60, 20, true); // a crowd
        let expected = source.expected().unwrap();
        assert!((127.0..129.0).contains(&expected), "{expected}");
        source.seconds(60 * 60, 20, true); // that stays
        let expected = source.expected().unwrap();
        assert!((1279.0..1281.0).contains(&expected), "{expected}");
    }

    #[test]
    fn same_hour_of_yesterday_lowers_what_is_expected() {
        let mut source = Source::new();
        source.seconds(HOUR_SECONDS, 1, true); // hour 0: 64 per second
        source.seconds(23 * HOUR_SECONDS + 600, 10, true); // then 640
        let expected = source.expected().unwrap();
        assert!((60.0..70.0).contains(&expected), "{expected}");
        source.seconds(HOUR_SECONDS, 10, true);
        let expected = source.expected().unwrap();
        assert!(expected > 500.0, "{expected}"); // the mean of hour 1
    }

    #[test]
    fn yesterday_is_remembered_over_a_restart_and_a_new_clock() {
        let mut source = Source::new();
        source.seconds(HOUR_SECONDS, 1, true);
        source.seconds(23 * HOUR_SECONDS - 600, 10, true);
        let learned = source.clients.learned().clone();
        let mut clients = Clients::new();
        // The machine has booted: its clock begins again. 20 minutes have passed, so the
        // hour is that of yesterday's low rate.
        let now = Timestamp::from_nanos(30 * HOUR_SECONDS * 1_000_000_000);
        clients.recall(learned, Duration::from_mins(20), source.now, now);
        assert!(clients.expected_per_second().is_some());
        assert_eq!(clients.learned().hours.len(), 24);
    }
}
