//! When the loop does what by itself.
//!
//! ```text
//! nothing undecided:   reading ──────────── up to 100 ms ────────────▶ reading (all kinds)
//! something undecided: reading ── tick ──▶ reading (of that) ── tick ──▶ ...
//! the bell rings:      reading ── at once, or after a pause ──▶ reading (judged kinds)
//! ```

use std::time::Duration;

use probe_core::{Attention, Timestamp, config::Service};

use crate::{
    datapath::{Deadlines, Depth, ServiceSpec},
    journal::record::nanoseconds,
};

/// The kernel side's coarse clock is set at every reading and must not be older.
const MOST_QUIET: Duration = Duration::from_millis(100);
/// Readings may take one part in so many of the time.
const LOAD: u32 = 20;
/// ... while a suspicion stands.
const URGENT_LOAD: u32 = 2;
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

/// What a reading is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of all services. The bell does not say for which it rang.
    pub everyone: Depth,
    /// Of those of which something is undecided.
    pub closely: Depth,
}

impl Wanted {
    /// Everything.
    pub const ALL: Self = Self {
        everyone: Depth::All,
        closely: Depth::All,
    };
}

/// When and why the maps were read last.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    pace: Pace,
    read_at: Timestamp,
    everyone_read_at: Timestamp,
    all_read_at: Timestamp,
    /// How long it takes to read those of which something is undecided.
    closely_took: Duration,
    /// ... and the judged kinds of everyone.
    judged_took: Duration,
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
            let shift = probe_common::cohort::width_shift(nanoseconds(deadline));
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
            everyone_read_at: Timestamp::default(),
            all_read_at: Timestamp::default(),
            closely_took: Duration::ZERO,
            judged_took: Duration::ZERO,
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
        if all_are_due {
            return Wanted::ALL;
        }
        Wanted {
            // While a service fails it rings all the time.
            everyone: if self.has_rung && now >= self.answer_due() {
                Depth::Judged
            } else {
                Depth::Nothing
            },
            closely: match self.attention {
                Attention::Calm | Attention::Judged => Depth::Judged,
                Attention::All => Depth::All,
            },
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
        match wanted.everyone {
            Depth::Nothing => self.closely_took = took,
            Depth::Judged => self.judged_took = took,
            Depth::All => self.all_read_at = now,
        }
        if wanted.everyone != Depth::Nothing {
            self.everyone_read_at = now;
            self.has_rung = false;
        }
        let closely = match attention {
            Attention::Calm => None,
            Attention::Judged => Some(LOAD),
            Attention::All => Some(URGENT_LOAD),
        };
        let closely = closely.map(|load| {
            let pause = self.closely_took.saturating_mul(load);
            next(self.due, self.pace.tick, now).max(now.after(pause))
        });
        let quiet = self.all_read_at.after(self.pace.quiet);
        let answer = self.has_rung.then(|| self.answer_due());
        self.due = [closely, answer]
            .into_iter()
            .flatten()
            .fold(quiet, Timestamp::min);
    }

    /// The bell has rung: reads now, or as soon as readings are not too dense.
    pub fn rung(&mut self) {
        self.has_rung = true;
        self.due = self.due.min(self.answer_due());
    }

    /// When everyone may be read because of the bell.
    fn answer_due(&self) -> Timestamp {
        let pause = self.judged_took.saturating_mul(LOAD);
        self.everyone_read_at
            .after(pause)
            .max(self.read_at.after(LEAST_PAUSE))
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
            let shift = probe_common::cohort::width_shift(nanoseconds(deadline));
            let longest = probe_core::input::longest_gap(shift.into(), deadline).unwrap();
            let quiet = pace(&[deadline]).quiet;
            assert!(quiet <= longest / 2 && quiet <= 100 * MS, "{deadline:?}");
            assert!(quiet >= pace(&[deadline]).tick, "{deadline:?}");
        }
    }

    fn wanted(everyone: Depth, closely: Depth) -> Wanted {
        Wanted { everyone, closely }
    }

    #[test]
    fn readings_are_rare_while_nothing_is_undecided_and_dense_otherwise() {
        let at = |ms: u64| Timestamp::from_nanos(1_000_000_000 + ms * 1_000_000);
        let mut reader = Reader::new(pace(&[200 * MS]), at(0));
        assert_eq!((reader.due(), reader.wanted(at(0))), (at(0), Wanted::ALL));
        reader.has_read(at(0), Duration::ZERO, Wanted::ALL, Attention::Calm);
        assert_eq!(reader.due(), at(100));
        reader.has_read(at(100), Duration::ZERO, Wanted::ALL, Attention::Judged);
        assert_eq!(reader.due(), at(105));
        let some = wanted(Depth::Nothing, Depth::Judged);
        assert_eq!(reader.wanted(at(105)), some);
        assert_eq!(reader.wanted(at(195)), Wanted::ALL);
        reader.has_read(at(105), Duration::ZERO, some, Attention::All);
        let all_of_some = wanted(Depth::Nothing, Depth::All);
        assert_eq!(
            (reader.due(), reader.wanted(at(110))),
            (at(110), all_of_some)
        );
    }

    #[test]
    fn the_bell_is_heard_at_once_and_asks_for_everyone() {
        let at = |us: u64| Timestamp::from_nanos(1_000_000_000 + us * 1_000);
        let us = Duration::from_micros;
        let everyone = wanted(Depth::Judged, Depth::Judged);
        let mut reader = Reader::new(pace(&[200 * MS]), at(0));
        reader.has_read(at(0), us(10), Wanted::ALL, Attention::Calm);
        reader.rung();
        assert_eq!((reader.due(), reader.wanted(at(500))), (at(500), everyone));
        reader.has_read(at(500), us(100), everyone, Attention::Judged);
        assert_eq!(
            reader.wanted(at(5500)),
            wanted(Depth::Nothing, Depth::Judged)
        );
        reader.has_read(at(6000), us(1000), Wanted::ALL, Attention::Calm);
        reader.rung();
        assert_eq!(reader.due(), at(8000), "readings are not too dense");
        reader.rung();
        assert_eq!(reader.due(), at(8000));
    }

    #[test]
    fn a_bell_that_rings_all_the_time_leaves_room_for_what_is_read_closely() {
        let at = |us: u64| Timestamp::from_nanos(1_000_000_000 + us * 1_000);
        let us = Duration::from_micros;
        let mut reader = Reader::new(pace(&[200 * MS]), at(0));
        reader.has_read(at(0), us(10), Wanted::ALL, Attention::Calm);
        reader.rung();
        let everyone = wanted(Depth::Judged, Depth::Judged);
        reader.has_read(at(500), us(1000), everyone, Attention::All);
        reader.rung();
        let closely = wanted(Depth::Nothing, Depth::All);
        assert_eq!((reader.due(), reader.wanted(at(5500))), (at(5500), closely));
        reader.has_read(at(5500), us(20), closely, Attention::All);
        reader.rung();
        assert_eq!(reader.wanted(at(10_500)), closely);
        // A twentieth of the time for everyone: the bell is answered.
        let answered = wanted(Depth::Judged, Depth::All);
        assert_eq!(reader.wanted(at(20_500)), answered);
        reader.has_read(at(20_000), us(20), closely, Attention::Calm);
        assert_eq!(reader.due(), at(20_500), "what rang is not forgotten");
    }

    #[test]
    fn readings_never_take_all_the_time_and_never_wait_longer_than_the_rings_allow() {
        let at = |ms: u64| Timestamp::from_nanos(1_000_000_000 + ms * 1_000_000);
        let some = wanted(Depth::Nothing, Depth::All);
        for (attention, took, due) in [
            (Attention::Judged, 2 * MS, 45),
            (Attention::All, 2 * MS, 10),
            (Attention::Calm, 2 * MS, 100),
            (Attention::Judged, 60 * MS, 100),
            (Attention::All, 60 * MS, 100),
        ] {
            let mut reader = Reader::new(pace(&[200 * MS]), at(0));
            reader.has_read(at(0), Duration::ZERO, Wanted::ALL, Attention::Judged);
            assert_eq!(reader.due(), at(5));
            reader.has_read(at(5), took, some, attention);
            assert_eq!(reader.due(), at(due), "{attention:?}, {took:?}");
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
