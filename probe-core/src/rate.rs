//! In flow successes and verified handshakes, out flows whether successes fell below
//! half of what is expected: the rate leg, a Poisson CUSUM.
//!
//! A client can forge failures. It cannot take away the successes of others, so
//! this leg may agree with a suspicion where no local probe sees the fault (packets
//! dropped in front of the host's own stack).
//!
//! *Expected* is the rate of handshakes whose client proved itself. One client
//! network must not make it: with `c` the handshakes of each network (by hash
//! bucket) and `T` their sum,
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

use probe_common::address::NETWORK_BUCKETS;

use crate::{exact, time::Timestamp};

/// ln(1000): the leg's own false-alarm threshold.
const THRESHOLD: f64 = 6.907_755_278_982_137;

/// Per second: counts fade with a time constant of ten minutes.
const MEMORY_PER_SECOND: f64 = 0.998_334_721_451;

/// Less than this teaches nothing about a rate: two seconds, of which a part has
/// faded already.
const LEAST_SECONDS: f64 = 1.9;
/// Less than this teaches nothing about a rate.
const LEAST_VERIFIED: f64 = 50.0;

const HOUR_SECONDS: u64 = 3600;
/// A day, and the hour that is being filled.
const HOURS: usize = 25;

/// The rate leg of one service.
#[derive(Clone, Debug)]
pub struct RateLeg {
    /// The cumulative counters as last read.
    seen: Option<[u32; NETWORK_BUCKETS]>,
    /// Verified handshakes since the last refresh.
    fresh: [u32; NETWORK_BUCKETS],
    /// The last ten minutes, fading.
    learned: [f64; NETWORK_BUCKETS],
    learned_seconds: f64,
    hours: [Option<Hour>; HOURS],
    expected: Option<f64>,
    score: f64,
    fed_at: Option<Timestamp>,
    void_until: Timestamp,
}

/// The mean of what was expected during one hour.
#[derive(Clone, Copy, Debug)]
struct Hour {
    number: u64,
    seconds: f64,
    sum: f64,
}

impl RateLeg {
    /// Knows nothing.
    pub fn new() -> Self {
        Self {
            seen: None,
            fresh: [0; NETWORK_BUCKETS],
            learned: [0.0; NETWORK_BUCKETS],
            learned_seconds: 0.0,
            hours: [None; HOURS],
            expected: None,
            score: 0.0,
            fed_at: None,
            void_until: Timestamp::default(),
        }
    }

    /// Takes the verified handshakes by network, cumulative and wrapping.
    pub fn read(&mut self, verified: &[u32]) {
        let Ok(verified) = <[u32; NETWORK_BUCKETS]>::try_from(verified) else {
            self.seen = None;
            return;
        };
        if let Some(seen) = &self.seen {
            for ((fresh, now), before) in self.fresh.iter_mut().zip(&verified).zip(seen) {
                let new = now.wrapping_sub(*before);
                if new < 1 << 31 {
                    *fresh = fresh.saturating_add(new);
                }
            }
        }
        self.seen = Some(verified);
    }

    /// Feeds the successes of the time since the last feeding.
    pub fn feed(&mut self, succeeded: u64, now: Timestamp) {
        let fed_at = self.fed_at.replace(now);
        let (Some(fed_at), Some(expected)) = (fed_at, self.expected) else {
            return;
        };
        if now < self.void_until {
            self.score = 0.0;
            return;
        }
        let elapsed = now.since(fed_at).as_secs_f64();
        let sum =
            self.score + expected / 2.0 * elapsed - succeeded as f64 * core::f64::consts::LN_2;
        self.score = sum.clamp(0.0, THRESHOLD);
    }

    /// A time of which nothing is known: it counts neither for nor against.
    pub fn skip(&mut self, now: Timestamp) {
        self.fed_at = Some(now);
    }

    /// The level of a prefix changed: traffic that left, or has not come yet, is not
    /// failure.
    pub fn void_until(&mut self, until: Timestamp) {
        self.void_until = self.void_until.max(until);
        self.score = 0.0;
    }

    /// Once a second (or after `seconds`): learns from the handshakes since, if the
    /// service was `healthy` all the time.
    pub fn refresh(&mut self, seconds: u64, healthy: bool, now: Timestamp) {
        let fresh = core::mem::replace(&mut self.fresh, [0; NETWORK_BUCKETS]);
        if !healthy || seconds == 0 || now < self.void_until {
            return;
        }
        let kept = exact::power(MEMORY_PER_SECOND, seconds);
        for (learned, fresh) in self.learned.iter_mut().zip(fresh) {
            *learned = *learned * kept + f64::from(fresh);
        }
        self.learned_seconds = self.learned_seconds * kept + seconds as f64;
        self.expected = self.lower_of_recent_and_yesterday(seconds, now);
    }

    fn lower_of_recent_and_yesterday(&mut self, seconds: u64, now: Timestamp) -> Option<f64> {
        let total: f64 = self.learned.iter().sum();
        if self.learned_seconds < LEAST_SECONDS || total < LEAST_VERIFIED {
            return None;
        }
        let recent = counted(&self.learned) / self.learned_seconds;
        let number = now.as_nanos() / 1_000_000_000 / HOUR_SECONDS;
        let slot = |number: u64| usize::try_from(number).unwrap_or_default() % HOURS;
        let hour = match &mut self.hours[slot(number)] {
            Some(hour) if hour.number == number => hour,
            other => other.insert(Hour {
                number,
                seconds: 0.0,
                sum: 0.0,
            }),
        };
        hour.seconds += seconds as f64;
        hour.sum += recent * seconds as f64;
        let yesterday = number
            .checked_sub(24)
            .and_then(|number| self.hours[slot(number)].filter(|hour| hour.number == number));
        Some(yesterday.map_or(recent, |hour| recent.min(hour.sum / hour.seconds)))
    }

    /// Whether successes fell below half of what is expected.
    pub fn agrees(&self) -> bool {
        self.score >= THRESHOLD
    }

    /// The score as a part of its threshold.
    pub fn score_ratio(&self) -> f64 {
        self.score / THRESHOLD
    }

    /// Expected successes per second, if known.
    pub fn expected_per_second(&self) -> Option<f64> {
        self.expected
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
    use core::time::Duration;

    use super::*;

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

    struct Clients {
        leg: RateLeg,
        verified: [u32; NETWORK_BUCKETS],
        now: Timestamp,
    }

    impl Clients {
        fn new() -> Self {
            let mut clients = Self {
                leg: RateLeg::new(),
                verified: [u32::MAX - 50; NETWORK_BUCKETS],
                now: Timestamp::from_nanos(1),
            };
            clients.leg.read(&clients.verified);
            clients
        }

        fn seconds(&mut self, seconds: u64, per_network: u32, healthy: bool) {
            for _ in 0..seconds {
                for verified in &mut self.verified {
                    *verified = verified.wrapping_add(per_network);
                }
                self.now = self.now.after(Duration::from_secs(1));
                self.leg.read(&self.verified);
                self.leg.refresh(1, healthy, self.now);
            }
        }

        fn silence(&mut self, time: Duration) {
            self.leg.feed(0, self.now);
            self.now = self.now.after(time);
            self.leg.feed(0, self.now);
        }
    }

    #[test]
    fn silence_is_noticed_after_fourteen_expected_successes() {
        let mut clients = Clients::new();
        clients.seconds(2, 10, true);
        assert_eq!(
            clients.leg.expected_per_second().map(f64::round),
            Some(640.0)
        );
        clients.silence(Duration::from_millis(21));
        assert!(!clients.leg.agrees());
        clients.silence(Duration::from_millis(1));
        assert!(clients.leg.agrees());
        clients.leg.feed(3, clients.now);
        assert!(!clients.leg.agrees());
    }

    #[test]
    fn half_of_the_expected_is_no_alarm() {
        let mut clients = Clients::new();
        clients.seconds(10, 10, true);
        clients.leg.feed(0, clients.now);
        for _ in 0..10_000 {
            clients.now = clients.now.after(Duration::from_millis(10));
            clients.leg.feed(5, clients.now); // 500 of 640 per second
            assert!(!clients.leg.agrees());
        }
    }

    #[test]
    fn too_little_or_unhealthy_time_teaches_nothing() {
        let mut clients = Clients::new();
        clients.seconds(1, 10, true);
        assert_eq!(clients.leg.expected_per_second(), None);
        clients.seconds(60, 10, false);
        assert_eq!(clients.leg.expected_per_second(), None);
        clients
            .leg
            .void_until(clients.now.after(Duration::from_mins(1)));
        clients.seconds(59, 10, true);
        assert_eq!(clients.leg.expected_per_second(), None);
    }

    #[test]
    fn void_time_counts_for_nothing() {
        let mut clients = Clients::new();
        clients.seconds(10, 10, true);
        clients
            .leg
            .void_until(clients.now.after(Duration::from_mins(1)));
        clients.silence(Duration::from_secs(59));
        assert!(!clients.leg.agrees());
        clients.silence(Duration::from_secs(2));
        assert!(clients.leg.agrees());
    }

    #[test]
    fn same_hour_of_yesterday_lowers_what_is_expected() {
        let mut clients = Clients::new();
        clients.seconds(HOUR_SECONDS, 1, true); // hour 0: 64 per second
        clients.seconds(23 * HOUR_SECONDS + 600, 10, true); // then 640
        let expected = clients.leg.expected_per_second().unwrap();
        assert!((60.0..70.0).contains(&expected), "{expected}");
        clients.seconds(HOUR_SECONDS, 10, true);
        let expected = clients.leg.expected_per_second().unwrap();
        assert!(expected > 500.0, "{expected}"); // the mean of hour 1
    }
}
