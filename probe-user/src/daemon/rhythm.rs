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
/// Readings may take one part in so many of the time.
const LOAD: u32 = 20;
/// ... while a suspicion stands.
const URGENT_LOAD: u32 = 2;
/// ... when the bell rings again and again, in readings of all kinds; those of the judged
/// kinds alone, which it asks for, take about a fifth.
const BELL_LOAD: u32 = 4;
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

/// What the next reading is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The judged kinds of the services of which something is undecided.
    JudgedOfSome,
    /// The judged kinds of all services: the bell does not say for which it rang.
    Judged,
    /// All kinds of all services.
    All,
}

/// When and why the maps were read last.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    pace: Pace,
    read_at: Timestamp,
    all_read_at: Timestamp,
    /// How long readings of a few services take, and of all.
    some_took: Duration,
    all_took: Duration,
    attention: Attention,
    has_rung: bool,
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
            some_took: Duration::ZERO,
            all_took: Duration::ZERO,
            attention: Attention::Calm,
            has_rung: false,
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

    /// What a reading that begins now has to tell.
    pub fn wanted(&self, now: Timestamp) -> Wanted {
        let all_are_due = now.since(self.all_read_at) + self.pace.tick >= self.pace.quiet;
        if all_are_due || self.attention == Attention::All {
            Wanted::All
        } else if self.has_rung {
            Wanted::Judged
        } else {
            Wanted::JudgedOfSome
        }
    }

    /// A reading began at `now` and took so long, and the core asks for this attention.
    pub fn has_read(
        &mut self,
        now: Timestamp,
        took: Duration,
        wanted: Wanted,
        attention: Attention,
    ) {
        self.read_at = now;
        self.attention = attention;
        match wanted {
            Wanted::JudgedOfSome => self.some_took = took,
            Wanted::Judged => self.has_rung = false,
            Wanted::All => {
                self.all_read_at = now;
                self.all_took = took;
                self.has_rung = false;
            }
        }
        let quiet = self.all_read_at.after(self.pace.quiet);
        let pause = match attention {
            Attention::Calm => self.pace.quiet,
            Attention::Judged => self.some_took.saturating_mul(LOAD),
            Attention::All => self.all_took.saturating_mul(URGENT_LOAD),
        };
        self.due = match attention {
            Attention::Calm => quiet,
            Attention::Judged | Attention::All => next(self.due, self.pace.tick, now)
                .max(now.after(pause))
                .min(quiet),
        };
    }

    /// The bell has rung: reads now, or as soon as readings are not too dense.
    pub fn rung(&mut self) {
        self.has_rung = true;
        let pause = LEAST_PAUSE.max(self.all_took.saturating_mul(BELL_LOAD));
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
        assert_eq!((reader.due(), reader.wanted(at(0))), (at(0), Wanted::All));
        reader.has_read(at(0), Duration::ZERO, Wanted::All, Attention::Calm);
        assert_eq!(reader.due(), at(100));
        reader.has_read(at(100), Duration::ZERO, Wanted::All, Attention::Judged);
        assert_eq!(reader.due(), at(105));
        assert_eq!(reader.wanted(at(105)), Wanted::JudgedOfSome);
        assert_eq!(reader.wanted(at(195)), Wanted::All);
        reader.has_read(
            at(105),
            Duration::ZERO,
            Wanted::JudgedOfSome,
            Attention::All,
        );
        assert_eq!(
            (reader.due(), reader.wanted(at(110))),
            (at(110), Wanted::All)
        );
    }

    #[test]
    fn the_bell_is_heard_at_once_and_asks_for_all_services() {
        let at = |us: u64| Timestamp::from_nanos(1_000_000_000 + us * 1_000);
        let us = Duration::from_micros;
        let mut reader = Reader::new(pace(&[200 * MS]), at(0));
        reader.has_read(at(0), us(10), Wanted::All, Attention::Calm);
        reader.rung();
        assert_eq!(
            (reader.due(), reader.wanted(at(500))),
            (at(500), Wanted::Judged)
        );
        reader.has_read(at(500), us(10), Wanted::Judged, Attention::Judged);
        assert_eq!(reader.wanted(at(5500)), Wanted::JudgedOfSome);
        reader.has_read(at(6000), us(1000), Wanted::All, Attention::Calm);
        reader.rung();
        assert_eq!(reader.due(), at(10_000));
        reader.rung();
        assert_eq!(reader.due(), at(10_000));
    }

    #[test]
    fn readings_never_take_all_the_time_and_never_wait_longer_than_the_rings_allow() {
        let at = |ms: u64| Timestamp::from_nanos(1_000_000_000 + ms * 1_000_000);
        for (attention, wanted, due) in [
            (Attention::Judged, Wanted::JudgedOfSome, 40),
            (Attention::All, Wanted::All, 5),
            (Attention::Calm, Wanted::All, 100),
        ] {
            let mut reader = Reader::new(pace(&[200 * MS]), at(0));
            reader.has_read(at(0), Duration::ZERO, Wanted::All, Attention::Calm);
            reader.has_read(at(0), 2 * MS, wanted, attention);
            assert_eq!(reader.due(), at(due), "{attention:?}");
            reader.has_read(at(0), 60 * MS, wanted, attention);
            assert_eq!(reader.due(), at(100), "{attention:?}");
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
