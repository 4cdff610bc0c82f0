//! Whether clients follow a change of the routing: new connections of a prefix before
//! it and after it. Pure.
//!
//! Before is the median second of the minute that ended with the decision, so that
//! neither the fault's last seconds nor one burst decide. After a withdraw, clients
//! have left when two seconds in a row bring less than a fifth of it; one that still
//! draws more after [`PATIENCE`] has another way to this host. Where too few came to
//! tell, nothing is told.

use core::time::Duration;
use std::collections::VecDeque;

use probe_core::{Level, Timestamp, config::PrefixId};

use super::{Alert, AlertKind, Change};

/// So much is remembered.
const MEMORY: Duration = Duration::from_mins(1);
/// Less than this part of before is gone, more is there again.
const SHARE: f64 = 0.2;
/// So many new connections a second, and seconds, before there is something to tell.
const FEW_PER_SECOND: f64 = 5.0;
const FEW_SECONDS: usize = 10;
/// The internet converges within minutes.
pub const PATIENCE: Duration = Duration::from_mins(5);
/// Seconds in a row.
const IN_A_ROW: u32 = 2;

/// What clients did after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They left.
    Left,
    /// They came.
    Came,
    /// They still come after a withdraw.
    Stay,
    /// Too few came before the change.
    TooFew,
    /// Another change came first.
    Superseded,
}

impl Outcome {
    /// The name used in the journal.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Came => "came",
            Self::Stay => "stay",
            Self::TooFew => "too_few",
            Self::Superseded => "superseded",
        }
    }
}

/// The end of what is told about one change.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// Which change.
    pub change: Change,
    /// What clients did.
    pub outcome: Outcome,
    /// From the kernel's acknowledgement.
    pub took: Duration,
    /// New connections a second, before.
    pub before: f64,
    /// ... and in the last second.
    pub after: f64,
}

/// New connections of one prefix.
#[derive(Debug)]
pub struct Traffic {
    prefix: PrefixId,
    name: String,
    /// The total at the last reading.
    last: Option<(Timestamp, u64)>,
    /// When a second ended, and how many came in it.
    seconds: VecDeque<(Timestamp, f64)>,
    watched: Option<Watched>,
    /// Before the last withdraw: what may come again.
    usual: Option<f64>,
    withdrawn: bool,
    stays: Option<String>,
}

#[derive(Debug)]
struct Watched {
    change: Change,
    before: Option<f64>,
    /// It has had its record, as one that brought nothing.
    told: bool,
    in_a_row: u32,
    /// When the first of these began.
    since: Timestamp,
}

/// What a second brought.
#[derive(Debug, Default, PartialEq)]
pub struct News {
    /// A change whose traffic need not be watched any more.
    pub moved: Option<Moved>,
    /// An alert that begins or ends.
    pub alert: Option<Alert>,
}

impl Traffic {
    /// Nothing was seen yet.
    pub fn new(prefix: PrefixId, name: String) -> Self {
        Self {
            prefix,
            name,
            last: None,
            seconds: VecDeque::new(),
            watched: None,
            usual: None,
            withdrawn: false,
            stays: None,
        }
    }

    /// What is wrong, if something is.
    pub fn stays(&self) -> Option<&str> {
        self.stays.as_deref()
    }

    /// Watches what follows from a change. The end of the one before it.
    pub fn changed(&mut self, change: Change) -> News {
        let before = self.before(change.decided);
        let watched = self.watched.take().filter(|watched| !watched.told);
        let superseded = watched.map(|watched| Moved {
            change: watched.change,
            outcome: Outcome::Superseded,
            took: change.acknowledged.since(watched.change.acknowledged),
            before: watched.before.unwrap_or_default(),
            after: self.seconds.back().map_or(0.0, |(_, rate)| *rate),
        });
        let before = match change.level {
            Level::Withdrawn => {
                self.usual = before.or(self.usual);
                before
            }
            // What comes is measured by what went.
            Level::Degraded | Level::Full => self.usual,
        };
        let was_withdrawn =
            core::mem::replace(&mut self.withdrawn, change.level == Level::Withdrawn);
        // Between full and degraded nobody can say how many should come.
        self.watched = (self.withdrawn || was_withdrawn).then(|| Watched {
            change,
            before: before.filter(|rate| *rate >= FEW_PER_SECOND),
            told: false,
            in_a_row: 0,
            since: change.acknowledged,
        });
        News {
            moved: superseded,
            alert: match change.level {
                Level::Withdrawn => None,
                Level::Degraded | Level::Full => self.end_alert(),
            },
        }
    }

    /// The median second before `decided`.
    fn before(&self, decided: Timestamp) -> Option<f64> {
        let mut rates: Vec<f64> = self
            .seconds
            .iter()
            .filter(|(at, _)| *at <= decided)
            .map(|(_, rate)| *rate)
            .collect();
        rates.sort_by(f64::total_cmp);
        (rates.len() >= FEW_SECONDS).then(|| rates[rates.len() / 2])
    }

    /// Takes in the total of new connections at `now`; to be called once a second.
    pub fn push(&mut self, now: Timestamp, total: u64) -> News {
        let Some((from, before)) = self.last.replace((now, total)) else {
            return News::default();
        };
        let elapsed = now.since(from).as_secs_f64();
        // A counter that went back was loaded anew: it says nothing.
        let Some(count) = total.checked_sub(before).filter(|_| elapsed > 0.0) else {
            return News::default();
        };
        let rate = count as f64 / elapsed;
        self.seconds.push_back((now, rate));
        while self
            .seconds
            .front()
            .is_some_and(|(at, _)| now.since(*at) > MEMORY)
        {
            self.seconds.pop_front();
        }
        self.watch(from, now, rate)
    }

    fn watch(&mut self, from: Timestamp, now: Timestamp, rate: f64) -> News {
        let Some(watched) = &mut self.watched else {
            return News::default();
        };
        let level = watched.change.level;
        let acknowledged = watched.change.acknowledged;
        let moved = |outcome, took, before| Moved {
            change: watched.change,
            outcome,
            took,
            before,
            after: rate,
        };
        let Some(before) = watched.before else {
            let moved = moved(Outcome::TooFew, now.since(acknowledged), 0.0);
            self.watched = None;
            return News {
                moved: Some(moved),
                alert: None,
            };
        };
        // A second that began before the change is of both.
        if from < acknowledged {
            return News::default();
        }
        let (arrived, outcome) = match level {
            Level::Withdrawn => (rate < SHARE * before, Outcome::Left),
            Level::Degraded | Level::Full => (rate >= SHARE * before, Outcome::Came),
        };
        if arrived {
            if watched.in_a_row == 0 {
                watched.since = from;
            }
            watched.in_a_row += 1;
            if watched.in_a_row < IN_A_ROW {
                return News::default();
            }
            let took = watched.since.since(acknowledged);
            let moved = moved(outcome, took, before);
            self.watched = None;
            return News {
                moved: Some(moved),
                alert: self.end_alert(),
            };
        }
        watched.in_a_row = 0;
        watched.told |= self.stays.is_some();
        let waited = now.since(acknowledged);
        if level != Level::Withdrawn || waited < PATIENCE || self.stays.is_some() {
            return News::default();
        }
        let sentence = format!(
            "{} is withdrawn for {}, and {rate:.0} new connections a second still come, {before:.0} \
             before: another route leads here (a static route at an upstream, a larger network, \
             another router that announces it)",
            self.name,
            humantime::format_duration(Duration::from_secs(waited.as_secs())),
        );
        let moved = moved(Outcome::Stay, waited, before);
        self.stays = Some(sentence.clone());
        News {
            // Watched on: the alert ends when they leave.
            moved: Some(moved),
            alert: Some(self.alert(true, sentence)),
        }
    }

    fn end_alert(&mut self) -> Option<Alert> {
        let sentence = self.stays.take()?;
        Some(self.alert(false, sentence))
    }

    fn alert(&self, stands: bool, sentence: String) -> Alert {
        Alert {
            prefix: self.prefix,
            kind: AlertKind::TrafficStays,
            stands,
            sentence,
        }
    }
}

#[cfg(test)]
mod tests;
