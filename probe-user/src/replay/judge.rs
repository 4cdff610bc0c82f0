//! The decision core over a capture. In flow readings at regular intervals of the
//! capture's clock, as the daemon takes them of its own; out flows what the core
//! makes of them, above all the trials that were late.
//!
//! ```text
//!          tick            tick            tick    … pause …     tick
//!  ─ packets ┤─ packets ────┤──────────────┤                 ────┤─ packets
//!            └ reading      └ reading      └ reading             └ reading: new base
//! ```
//!
//! A reading is taken in the last nanosecond of a time bucket. If it comes after a
//! long pause, it becomes the base of the next ones, and the trials of the bucket
//! that begins just then are whole.

use std::time::Duration;

use probe_common::trial::width_shift;
use probe_core::{
    Command, Engine, Input, Timestamp,
    config::{Config, Detect, Service},
    input::{Reading, Sensor, longest_gap},
    status::ServiceStatus,
};

use super::clock::START_NS;
use crate::journal::record::nanoseconds;
use crate::{
    config::{Settings, default_probe},
    datapath::{Scope, ServiceSpec, kinds},
};

/// A pause longer than this, and than every trial lasts, is skipped.
const PAUSE: Duration = Duration::from_secs(10);
/// The core gives a bucket so much more than its deadline.
const GRACE: Duration = Duration::from_millis(1);

/// The core, and when it looks.
pub struct Judge {
    engine: Engine,
    /// Between two readings.
    tick_ns: u64,
    /// Between two readings of all kinds of trials.
    all_ns: u64,
    /// The widest bucket of any ring: the narrower ones begin where it does.
    widest_ns: u64,
    /// From a trial's start until a reading has seen its end.
    settled_ns: u64,
    next_ns: u64,
    all_read_ns: u64,
    last_packet_ns: u64,
}

impl Judge {
    /// A core that observes these services, at the start of the replayed clock.
    pub fn new(specs: &[ServiceSpec]) -> Self {
        let settings = Settings::without_file();
        let config = Config {
            services: specs
                .iter()
                .map(|spec| Service {
                    name: spec.endpoint.to_string(),
                    endpoint: spec.endpoint,
                    application: spec.application,
                    detect: Detect {
                        deadline: spec.deadline,
                        ..settings.detect
                    },
                    probe: default_probe(spec.endpoint),
                })
                .collect(),
            ..settings.core
        };
        let deadlines = specs.iter().flat_map(|spec| {
            kinds(spec.endpoint.protocol)
                .iter()
                .map(|kind| nanoseconds(spec.deadline_of(*kind)))
        });
        let shortest_ns = deadlines.clone().min().unwrap_or(1 << 32);
        let longest_ns = deadlines.clone().max().unwrap_or(1 << 32);
        let gap_ns = deadlines
            .clone()
            .filter_map(|deadline_ns| {
                let deadline = Duration::from_nanos(deadline_ns);
                longest_gap(width_shift(deadline_ns), deadline)
            })
            .min()
            .map_or(0, nanoseconds);
        let width_ns = 1 << width_shift(shortest_ns);
        let widest_ns = 1 << width_shift(longest_ns);
        let start = Timestamp::from_nanos(START_NS - 1);
        let mut engine = Engine::new(config, start);
        engine.handle(Input::Sensor(Sensor::Attached), start);
        let tick_ns = (shortest_ns / 4 / width_ns).max(1) * width_ns;
        Self {
            engine,
            tick_ns,
            all_ns: gap_ns / 2,
            widest_ns,
            settled_ns: widest_ns + longest_ns + nanoseconds(GRACE) + tick_ns,
            next_ns: START_NS,
            all_read_ns: 0,
            last_packet_ns: START_NS,
        }
    }

    /// Looks at everything that is due before a packet at `now_ns`, which is measured
    /// after this.
    pub fn before_packet(&mut self, now_ns: u64, read: &dyn Fn(Scope) -> Reading) {
        let pause_ns = nanoseconds(PAUSE).max(self.settled_ns);
        if now_ns - self.last_packet_ns > pause_ns + self.tick_ns + self.widest_ns {
            self.advance(self.last_packet_ns + pause_ns, read);
            // Time goes on first, as it would for a daemon that has nothing to read.
            self.next_ns = now_ns / self.widest_ns * self.widest_ns;
            self.hand_in(Input::Wake);
        }
        self.advance(now_ns, read);
        self.last_packet_ns = now_ns;
    }

    /// Lets the clock run on until the last trials must have ended.
    pub fn finish(&mut self, read: &dyn Fn(Scope) -> Reading) -> Vec<ServiceStatus> {
        self.advance(self.last_packet_ns + self.settled_ns, read);
        self.engine.services()
    }

    fn advance(&mut self, now_ns: u64, read: &dyn Fn(Scope) -> Reading) {
        while self.next_ns <= now_ns {
            let scope = if self.next_ns - self.all_read_ns + self.tick_ns > self.all_ns {
                self.all_read_ns = self.next_ns;
                Scope::All
            } else {
                Scope::Judged
            };
            self.hand_in(Input::Reading(read(scope)));
            self.next_ns += self.tick_ns;
        }
    }

    fn hand_in(&mut self, input: Input) {
        let at = Timestamp::from_nanos(self.next_ns - 1);
        self.engine.handle(input, at);
        while let Some(command) = self.engine.next_command() {
            match command {
                // The capture's sensor is never taken away.
                Command::CheckSensor => self.engine.handle(Input::Sensor(Sensor::Attached), at),
                // Nobody can be probed in the past, and in observe mode without
                // prefixes nothing else is decided. No latencies are handed in.
                Command::Probe { .. }
                | Command::SetLevel { .. }
                | Command::SetDeadline { .. }
                | Command::CollectEvidence { .. }
                | Command::Record(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use probe_common::{
        address::NETWORK_BUCKETS,
        trial::{BUCKETS, Kind},
    };
    use probe_core::{
        config::ServiceId,
        input::{Bucket, CohortReading, ServiceReading, TrialReading},
        status::TrialTotals,
    };

    use super::*;
    use crate::replay::{measurement::specs, services::parse};

    const DEADLINE: Duration = Duration::from_millis(200);
    const MS: u64 = 1_000_000;
    const HOUR: u64 = 3_600_000 * MS;

    /// A ring that is filled by hand.
    struct Ring(RefCell<Vec<Bucket>>);

    impl Ring {
        fn start(&self, at_ns: u64) {
            let bucket = at_ns >> width_shift(nanoseconds(DEADLINE));
            let slot = usize::try_from(bucket).expect("64 bits") % BUCKETS;
            self.0.borrow_mut()[slot].started += 1;
        }

        fn reading(&self) -> Reading {
            Reading {
                services: vec![ServiceReading {
                    service: ServiceId(0),
                    trials: vec![TrialReading {
                        kind: Kind::Connect,
                        ring: CohortReading {
                            width_shift: width_shift(nanoseconds(DEADLINE)),
                            deadline: DEADLINE,
                            after_deadline: 0,
                            buckets: self.0.borrow().clone(),
                        },
                    }],
                    verified: vec![0; NETWORK_BUCKETS],
                    requests: Vec::new(),
                    finishes: Vec::new(),
                    servfails: vec![0; NETWORK_BUCKETS],
                }],
            }
        }
    }

    #[test]
    fn every_unanswered_trial_is_late_however_long_the_pauses() {
        for (description, gap_ns) in [
            ("at once", 0),
            ("every millisecond", MS),
            ("at the width of a bucket", 1 << 23),
            ("at a tick", 5 << 23),
            ("at the deadline", 200 * MS),
            ("beyond what the ring spans", 600 * MS),
            ("at the pause that is skipped", 10_000 * MS),
            ("a little more", 10_400 * MS + 1),
            ("an hour and a bit", HOUR + 12_345_678),
            ("a year", 8_766 * HOUR),
        ] {
            let service = parse("192.0.2.1:80/tcp").expect("a service");
            let ring = Ring(RefCell::new(vec![Bucket::default(); BUCKETS]));
            let mut judge = Judge::new(&specs(&[service], DEADLINE));
            let trials = 50;
            let mut now = START_NS;
            for _ in 0..trials {
                judge.before_packet(now, &|_| ring.reading());
                ring.start(now);
                now += gap_ns;
            }
            let totals = judge.finish(&|_| ring.reading())[0].totals;
            let expected = TrialTotals {
                late: trials,
                ..TrialTotals::default()
            };
            assert_eq!(totals, expected, "{description}");
        }
    }
}
