//! When the loop does what by itself.
//!
//! ```text
//! nothing undecided:   reading ──────────── up to 100 ms ────────────▶ reading (all kinds)
//! something undecided: reading ── tick ──▶ reading (judged kind) ── tick ──▶ ...
//! the bell rings:      reading ── at once, or after a pause ──▶ reading
//! ```

use std::time::Duration;

use probe_core::{Attention, Timestamp, config::Service};

use crate::{
    datapath::{Deadlines, ServiceSpec},
    journal::record::nanoseconds,
};

/// The kernel side's coarse clock is set at every reading and must not be older.
const MOST_QUIET: Duration = Duration::from_millis(100);
/// Readings may take this part of the time.
const LOAD: u32 = 20;
/// Two readings are at least so far apart, however often the bell rings.
const LEAST_PAUSE: Duration = Duration::from_micros(500);

/// The next point of a rhythm; what was missed is left out.
pub fn next(last: Timestamp, period: Duration, now: Timestamp) -> Timestamp {
    let next = last.after(period);
    if next > now { next } else { now.after(period) }
}

/// How often the maps are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// While something is undecided.
    tick: Duration,
    /// While nothing is: how often all kinds of trials are read in any case.
    quiet: Duration,
}

/// When and why the maps were read last.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    pace: Pace,
    read_at: Timestamp,
    all_read_at: Timestamp,
    took: Duration,
    due: Timestamp,
}

impl Pace {
    /// The tick is as fine as the finest ring of a judged kind has buckets and as a
    /// deadline is worth, at most every half millisecond. Half the longest gap that
    /// loses nothing leaves room for a loop that is late.
    pub fn new(services: &[Service], deadlines: &Deadlines) -> Self {
        const LEAST: Duration = Duration::from_micros(500);
        const MOST: Duration = Duration::from_millis(5);
        let mut pace = Self {
            tick: MOST,
            quiet: MOST_QUIET,
        };
        for service in services {
            let spec = ServiceSpec {
                endpoint: service.endpoint,
                application: service.application,
                deadline: service.detect.deadline,
            };
            let deadline = deadlines.of(&spec, service.judged_kind());
            let shift = probe_common::trial::width_shift(nanoseconds(deadline));
            let width = Duration::from_nanos(1 << shift);
            pace.tick = pace.tick.min(width.min(deadline / 4));
            for kind in probe_common::trial::Kind::ALL {
                let has = spec.endpoint.protocol.has_trials(spec.application, kind);
                if has {
                    pace.quiet = pace.quiet.min(deadlines.longest_gap(&spec, kind) / 2);
                }
            }
        }
        pace.tick = pace.tick.max(LEAST);
        pace.quiet = pace.quiet.max(pace.tick);
        pace
    }
}

impl Reader {
    /// A reader that has not read yet: it is due.
    pub fn new(pace: Pace, now: Timestamp) -> Self {
        Self {
            pace,
            read_at: now,
            all_read_at: Timestamp::default(),
            took: Duration::ZERO,
            due: now,
        }
    }

    /// Deadlines have changed, and what follows from them.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// When the next reading is due.
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// Whether all kinds are due, at a reading that begins now.
    pub fn all_are_due(&self, now: Timestamp) -> bool {
        now.since(self.all_read_at) + self.pace.tick >= self.pace.quiet
    }

    /// A reading began at `now` and took so long, and the core asks for this attention.
    pub fn has_read(&mut self, now: Timestamp, took: Duration, all: bool, attention: Attention) {
        self.read_at = now;
        self.took = took;
        if all {
            self.all_read_at = now;
        }
        self.due = match attention {
            Attention::Judged | Attention::All => next(self.due, self.pace.tick, now),
            Attention::Calm => self.all_read_at.after(self.pace.quiet),
        };
    }

    /// The bell has rung: reads now, or as soon as readings are not too dense.
    pub fn rung(&mut self) {
        let pause = LEAST_PAUSE.max(self.took.saturating_mul(LOAD));
        self.due = self.due.min(self.read_at.after(pause));
    }
}

#[cfg(test)]
mod tests {
    use probe_core::config::{Application, Endpoint, Protocol};

    use super::*;
    use crate::config::{Settings, default_probe};

    const MS: Duration = Duration::from_millis(1);

    fn service(deadline: Duration) -> Service {
        let endpoint = Endpoint {
            address: [192, 0, 2, 10].into(),
            port: 443,
            protocol: Protocol::Tcp,
        };
        let mut detect = Settings::without_file().detect;
        detect.deadline = deadline;
        Service {
            name: "web".into(),
            endpoint,
            application: Application::Any,
            detect,
            probe: default_probe(endpoint),
        }
    }

    fn pace(deadlines: &[Duration]) -> Pace {
        let services: Vec<Service> = deadlines.iter().copied().map(service).collect();
        Pace::new(&services, &Deadlines::default())
    }

    #[test]
    fn the_tick_follows_the_shortest_deadline_within_bounds() {
        for (deadlines, expected) in [
            (vec![], 5 * MS),
            (vec![200 * MS], 5 * MS),
            (vec![200 * MS, 100 * MS], Duration::from_nanos(1 << 22)),
            (vec![10 * MS], Duration::from_nanos(1 << 19)),
        ] {
            assert_eq!(pace(&deadlines).tick, expected, "{deadlines:?}");
        }
    }

    #[test]
    fn no_quiet_time_is_longer_than_the_rings_allow() {
        assert_eq!(pace(&[200 * MS]).quiet, 100 * MS);
        for deadline in [10, 20, 50, 100, 1000, 30_000] {
            let deadline = deadline * MS;
            let shift = probe_common::trial::width_shift(nanoseconds(deadline));
            let longest = probe_core::input::longest_gap(shift, deadline).unwrap();
            let quiet = pace(&[deadline]).quiet;
            assert!(quiet <= longest / 2 && quiet <= 100 * MS, "{deadline:?}");
            assert!(quiet >= pace(&[deadline]).tick, "{deadline:?}");
        }
    }

    #[test]
    fn readings_are_rare_while_nothing_is_undecided_and_dense_otherwise() {
        let at = |ms: u64| Timestamp::from_nanos(1_000_000_000 + ms * 1_000_000);
        let mut reader = Reader::new(pace(&[200 * MS]), at(0));
        assert_eq!(reader.due(), at(0));
        assert!(reader.all_are_due(at(0)));
        reader.has_read(at(0), Duration::ZERO, true, Attention::Calm);
        assert_eq!(reader.due(), at(100));
        reader.has_read(at(100), Duration::ZERO, true, Attention::Judged);
        assert_eq!(reader.due(), at(105));
        assert!(!reader.all_are_due(at(105)));
        assert!(reader.all_are_due(at(195)));
    }

    #[test]
    fn the_bell_is_heard_at_once_but_readings_never_take_all_the_time() {
        let at = |us: u64| Timestamp::from_nanos(1_000_000_000 + us * 1_000);
        let mut reader = Reader::new(pace(&[200 * MS]), at(0));
        reader.has_read(at(0), Duration::from_micros(10), true, Attention::Calm);
        reader.rung();
        assert_eq!(reader.due(), at(500));
        reader.has_read(at(600), Duration::from_micros(100), true, Attention::Calm);
        reader.rung();
        assert_eq!(reader.due(), at(2600));
        reader.rung();
        assert_eq!(reader.due(), at(2600));
    }

    #[test]
    fn a_rhythm_leaves_out_what_it_missed() {
        let at = Timestamp::from_nanos;
        let period = Duration::from_nanos(10);
        assert_eq!(next(at(100), period, at(103)), at(110));
        assert_eq!(next(at(100), period, at(125)), at(135));
    }
}
