//! The decision core over a capture. In flow readings at intervals of the capture's
//! clock, as the daemon takes them of its own; out flows what the core makes of them:
//! the trials that were late, and what it would have decided when.
//!
//! ```text
//!          tick            tick            tick    … pause …     tick
//!  ─ packets ┤─ packets ────┤──────────────┤                 ────┤─ packets
//!            └ reading      └ reading      └ reading             └ reading: new base
//! ```
//!
//! A reading is taken in the last nanosecond of a time bucket: of every one while packets
//! come or something is undecided, since nobody rings a bell here. If it comes after a
//! long pause, it becomes the base of the next ones, and the trials of the bucket
//! that begins just then are whole.

use std::time::Duration;

use probe_common::cohort::width_shift;
use probe_core::{
    Attention, Command, Engine, Input, Level, Timestamp,
    config::PrefixId,
    input::{Reading, Sensor, longest_gap},
    status::ServiceStatus,
};

use super::{clock::START_NS, history::History, plan::Plan, stand_in::StandIn};
use crate::{
    datapath::{Depth, Latencies, kinds},
    journal::record::nanoseconds,
};

/// A pause longer than this, and than every trial lasts, is skipped. After ten seconds
/// the core holds a service to be quiet, and has made up its mind.
const PAUSE: Duration = Duration::from_secs(15);
/// The core gives a bucket so much more than its deadline.
const GRACE: Duration = Duration::from_millis(1);
/// With so many services more, readings are one bucket further apart.
const CROWD: u64 = 64;

/// What is read of a measurement.
pub trait Maps {
    /// What decisions need.
    fn reading(&self, depth: Depth) -> Reading;
    /// From the start of trials to their success, by service.
    fn latencies(&self) -> Vec<Latencies>;
}

/// The core, and when it looks.
pub struct Judge {
    engine: Engine,
    history: History,
    stand_in: StandIn,
    /// What the core last said of the services.
    services: Vec<ServiceStatus>,
    /// Between two readings while packets come or something is undecided.
    fine_ns: u64,
    /// Between two readings otherwise.
    coarse_ns: u64,
    /// Between two readings of all kinds of trials.
    all_ns: u64,
    /// The widest bucket of any ring: the narrower ones begin where it does.
    widest_ns: u64,
    /// From a trial's start until a reading has seen its end.
    settled_ns: u64,
    next_ns: u64,
    all_read_ns: u64,
    last_packet_ns: u64,
    /// Whether a packet came since the last reading.
    came: bool,
}

/// What the core made of a capture.
pub struct Judgement {
    /// How the services stand at the end.
    pub services: Vec<ServiceStatus>,
    /// What happened until then.
    pub history: History,
    /// How many probes were taken to be answered, and how many of them to fail.
    pub probes: (u64, u64),
}

impl Judge {
    /// A core that observes what is planned, at the start of the replayed clock, with all
    /// prefixes announced.
    pub fn new(plan: &Plan) -> Self {
        let deadlines = plan.specs.iter().flat_map(|spec| {
            kinds(spec.endpoint.protocol)
                .iter()
                .map(|kind| nanoseconds(plan.deadlines.of(spec, *kind)))
        });
        let shortest_ns = deadlines.clone().min().unwrap_or(1 << 32);
        let longest_ns = deadlines.clone().max().unwrap_or(1 << 32);
        let gap_ns = deadlines
            .clone()
            .filter_map(|deadline_ns| {
                let deadline = Duration::from_nanos(deadline_ns);
                longest_gap(width_shift(deadline_ns).into(), deadline)
            })
            .min()
            .map_or(0, nanoseconds);
        let width_ns = 1 << width_shift(shortest_ns);
        let widest_ns = 1 << width_shift(longest_ns);
        let start = Timestamp::from_nanos(START_NS - 1);
        let mut engine = Engine::new(plan.core.clone(), start);
        engine.handle(Input::Sensor(Sensor::Attached), start);
        for prefix in (0..).map(PrefixId).take(plan.core.prefixes.len()) {
            let observed = Level::Full;
            engine.handle(Input::Route { prefix, observed }, start);
        }
        let coarse = (shortest_ns / 4 / width_ns).max(1);
        let crowd = plan.specs.len() as u64 / CROWD;
        Self {
            engine,
            history: History::new(&plan.core, width_ns),
            stand_in: StandIn::default(),
            services: Vec::new(),
            fine_ns: (1 + crowd).min(coarse) * width_ns,
            coarse_ns: coarse * width_ns,
            all_ns: gap_ns / 2,
            widest_ns,
            settled_ns: widest_ns + longest_ns + nanoseconds(GRACE) + coarse * width_ns,
            next_ns: START_NS,
            all_read_ns: 0,
            last_packet_ns: START_NS,
            came: false,
        }
    }

    /// Looks at everything that is due before a packet at `now_ns`, which is measured
    /// after this.
    pub fn before_packet(&mut self, now_ns: u64, maps: &dyn Maps) {
        let pause_ns = nanoseconds(PAUSE).max(self.settled_ns);
        if now_ns - self.last_packet_ns > pause_ns + self.coarse_ns + self.widest_ns {
            self.advance(self.last_packet_ns + pause_ns, maps);
            // Time goes on first, as it would for a daemon that has nothing to read.
            self.next_ns = now_ns / self.widest_ns * self.widest_ns;
            self.hand_in(Input::Wake);
        }
        self.advance(now_ns, maps);
        self.last_packet_ns = now_ns;
        self.came = true;
    }

    /// Lets the clock run on until the last trials must have ended.
    pub fn finish(mut self, maps: &dyn Maps) -> Judgement {
        self.advance(self.last_packet_ns + self.settled_ns, maps);
        self.history.take_latencies(&maps.latencies());
        self.history.end(self.last_read());
        Judgement {
            services: self.engine.services(),
            history: self.history,
            probes: self.stand_in.counts(),
        }
    }

    fn last_read(&self) -> Timestamp {
        Timestamp::from_nanos(self.next_ns - 1)
    }

    fn advance(&mut self, now_ns: u64, maps: &dyn Maps) {
        while self.next_ns <= now_ns {
            let attention = self.engine.attention();
            let all_are_due = self.next_ns - self.all_read_ns + self.coarse_ns > self.all_ns;
            let depth = if all_are_due || attention == Attention::All {
                self.all_read_ns = self.next_ns;
                Depth::All
            } else {
                Depth::Judged
            };
            let reading = maps.reading(depth);
            self.history.read(&reading);
            self.hand_in(Input::Reading(reading));
            self.look(maps);
            let busy = core::mem::take(&mut self.came)
                || self.engine.attention() != Attention::Calm
                || !self.stand_in.is_idle();
            self.next_ns += if busy { self.fine_ns } else { self.coarse_ns };
        }
    }

    fn look(&mut self, maps: &dyn Maps) {
        let at = self.last_read();
        if self.history.wants_latencies(at) {
            self.history.take_latencies(&maps.latencies());
        }
        self.services = self.engine.services();
        self.history.look(&self.services, at);
        for result in self.stand_in.answers(&self.services, at) {
            self.hand_in(Input::Probe(result));
        }
    }

    fn hand_in(&mut self, input: Input) {
        let at = self.last_read();
        let mut events = Vec::new();
        self.engine.handle(input, at);
        while let Some(command) = self.engine.next_command() {
            match command {
                // The capture's sensor is never taken away.
                Command::CheckSensor => self.engine.handle(Input::Sensor(Sensor::Attached), at),
                // Of services that are probed at all: see `Plan`.
                Command::Probe {
                    service,
                    burst,
                    count,
                    purpose: _,
                } => self
                    .stand_in
                    .launch((service, burst, count), &self.services, at),
                Command::Record(event) => events.push(event),
                // Nothing is set in mode observe. Latencies are not handed in, so nobody
                // asks for another deadline.
                Command::SetLevel { .. }
                | Command::SetDeadline { .. }
                | Command::CollectEvidence { .. } => {}
            }
        }
        if !events.is_empty() {
            self.history.tell(&events, &self.engine, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use probe_common::{address::NETWORK_BUCKETS, cohort::BUCKETS, trial::Kind};
    use probe_core::{
        config::ServiceId,
        input::{Bucket, CohortReading, ServiceReading, TrialReading},
        status::TrialTotals,
    };

    use super::*;
    use crate::{
        config::Settings,
        replay::{plan::Probes, services::parse},
    };

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
    }

    impl Maps for Ring {
        fn latencies(&self) -> Vec<Latencies> {
            Vec::new()
        }

        fn reading(&self, _: Depth) -> Reading {
            Reading {
                services: vec![ServiceReading {
                    service: ServiceId(0),
                    trials: vec![TrialReading {
                        kind: Kind::Connect,
                        ring: CohortReading {
                            width_shift: width_shift(nanoseconds(DEADLINE)).into(),
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
                unchanged: Vec::new(),
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
            ("at the pause that is skipped", 15_000 * MS),
            ("a little more", 15_400 * MS + 1),
            ("an hour and a bit", HOUR + 12_345_678),
            ("a year", 8_766 * HOUR),
        ] {
            let service = parse("192.0.2.1:80/tcp").expect("a service");
            let ring = Ring(RefCell::new(vec![Bucket::default(); BUCKETS]));
            let settings = Settings::without_file();
            let plan = Plan::new(settings, &[service], Some(DEADLINE), Probes::Unasked);
            let mut judge = Judge::new(&plan);
            let trials = 50;
            let mut now = START_NS;
            for _ in 0..trials {
                judge.before_packet(now, &ring);
                ring.start(now);
                now += gap_ns;
            }
            let totals = judge.finish(&ring).services[0].totals;
            let expected = TrialTotals {
                late: trials,
                ..TrialTotals::default()
            };
            assert_eq!(totals, expected, "{description}");
        }
    }
}
