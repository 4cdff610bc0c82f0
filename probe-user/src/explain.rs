//! `lapwing explain`: one decision, or one that a guard held, so that a tired person
//! understands it in a minute. The journal flows in; the record, what led to it and what
//! came of it flow out.

pub mod text;
mod words;

use std::{str::FromStr, time::Duration};

use probe_core::Level;
use serde::{Serialize, Serializer};

use crate::journal::{
    entry::Entry,
    read::{self, Reader},
};

/// So many records of what led to it, and of what came of it, are told.
const BEFORE: usize = 12;
const AFTER: usize = 24;

/// Which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// The last one that lowered a prefix, or would have.
    Last,
    /// The one with this number.
    Seq(u64),
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "last" {
            return Ok(Self::Last);
        }
        text.parse()
            .map(Self::Seq)
            .map_err(|_| "write the number of a record, or last".to_owned())
    }
}

/// Why nothing is explained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] read::Error),
    /// Nothing was decided.
    #[error("the journal has no decision yet\nhelp: `lapwing status` shows what the daemon sees")]
    Nothing,
    /// There is no such record.
    #[error(
        "the journal has no record {0}\nhelp: `lapwing journal summary` names those that can be explained"
    )]
    Unknown(u64),
    /// The record is no decision.
    #[error("record {seq} tells of `{event}` and is no decision\nhelp: {}", nearest(*.near))]
    NoDecision {
        /// Its number.
        seq: u64,
        /// What it is.
        event: String,
        /// The next one that can be explained.
        near: Option<u64>,
    },
}

fn nearest(near: Option<u64>) -> String {
    match near {
        Some(seq) => format!("the decision next to it is `lapwing explain {seq}`"),
        None => "`lapwing journal summary` names those that can be explained".to_owned(),
    }
}

/// One decision with all that the journal has about it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Explanation {
    /// The record.
    #[serde(serialize_with = "whole")]
    #[cfg_attr(test, schemars(with = "serde_json::Map<String, serde_json::Value>"))]
    pub record: Entry,
    /// What led to it, and what came of it, in the order of time.
    pub story: Vec<Step>,
    /// How it ended.
    pub end: End,
}

/// One thing that happened.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Step {
    /// Seconds since the decision; before it, below zero.
    pub seconds: f64,
    /// The record; none for the first failed trial, which has none of its own.
    pub seq: Option<u64>,
    /// In words.
    pub words: String,
}

/// How it ended.
#[derive(Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum End {
    /// Another decision about the prefix followed.
    Decided {
        /// The record.
        seq: u64,
        /// To this level.
        level: Level,
        /// So long after.
        seconds: f64,
        /// Why.
        sentence: String,
    },
    /// What was held is over: the service is well again.
    Over {
        /// The record.
        seq: u64,
        /// So long after.
        seconds: f64,
    },
    /// Nothing since.
    Stands {
        /// The journal's last record is so much younger.
        seconds: f64,
    },
}

fn whole<S: Serializer>(entry: &Entry, serializer: S) -> Result<S::Ok, S::Error> {
    entry.value().serialize(serializer)
}

/// Whether it can be explained.
fn is_decision(entry: &Entry) -> bool {
    matches!(entry.event(), "decision" | "held")
}

/// Explains one record.
pub fn explain(reader: &Reader, id: Id) -> Result<Explanation, Error> {
    let record = find(reader, id)?;
    let services = services(&record);
    let mut story = Story::new(&record, &services);
    reader.each(|line| {
        if let Some(entry) = Entry::of(line.bytes) {
            story.take(entry);
        }
    })?;
    let (story, end) = story.finish();
    Ok(Explanation { record, story, end })
}

fn find(reader: &Reader, id: Id) -> Result<Entry, Error> {
    let mut found: Option<Entry> = None;
    let mut near = None;
    let mut other = None;
    reader.each(|line| {
        let Some(entry) = Entry::of(line.bytes) else {
            return;
        };
        match id {
            Id::Last => {
                let lowers = |entry: &Entry| entry.level() != Some(Level::Full);
                if is_decision(&entry) && (lowers(&entry) || !found.as_ref().is_some_and(lowers)) {
                    found = Some(entry);
                }
            }
            Id::Seq(seq) if entry.seq() == seq => {
                if is_decision(&entry) {
                    found = Some(entry);
                } else {
                    other = Some(entry.event().to_owned());
                }
            }
            Id::Seq(seq) if is_decision(&entry) && (entry.seq() < seq || near < Some(seq)) => {
                near = Some(entry.seq());
            }
            Id::Seq(_) => {}
        }
    })?;
    match (found, other, id) {
        (Some(found), ..) => Ok(found),
        (None, _, Id::Last) => Err(Error::Nothing),
        (None, Some(event), Id::Seq(seq)) => Err(Error::NoDecision { seq, event, near }),
        (None, None, Id::Seq(seq)) => Err(Error::Unknown(seq)),
    }
}

/// The services that it is about.
fn services(record: &Entry) -> Vec<String> {
    let failed = record.reason("failed_services").as_array();
    let mut services: Vec<String> = failed
        .into_iter()
        .flatten()
        .chain([record.reason("service")])
        .filter_map(|name| name.as_str().map(ToOwned::to_owned))
        .collect();
    services.dedup();
    services
}

/// Gathers what belongs to a record.
struct Story<'a> {
    record: &'a Entry,
    services: &'a [String],
    before: Vec<Entry>,
    after: Vec<Entry>,
    /// The monotonic clock of another boot tells nothing.
    restarted: bool,
    end: Option<End>,
    youngest: f64,
}

impl<'a> Story<'a> {
    fn new(record: &'a Entry, services: &'a [String]) -> Self {
        Self {
            record,
            services,
            before: Vec::new(),
            after: Vec::new(),
            restarted: false,
            end: None,
            youngest: 0.0,
        }
    }

    fn take(&mut self, entry: Entry) {
        if entry.seq() < self.record.seq() {
            if entry.event() == "started" {
                self.before.clear();
            } else if self.led_to(&entry) {
                if self.before.len() == BEFORE {
                    self.before.remove(0);
                }
                self.before.push(entry);
            }
        } else if entry.seq() > self.record.seq() {
            self.restarted |= entry.event() == "started";
            let seconds = self.seconds(&entry);
            self.youngest = self.youngest.max(seconds);
            if self.end.is_none() {
                self.end = self.ends(&entry, seconds);
            } else if !self.settles(&entry) {
                return;
            }
            if self.is_about(&entry) && self.after.len() < AFTER {
                self.after.push(entry);
            }
        }
    }

    /// Whether it is about the prefix, one of the services, or the whole host.
    fn is_about(&self, entry: &Entry) -> bool {
        let prefix = entry.text("prefix");
        let service = entry.text("service");
        match (prefix, service) {
            (Some(prefix), _) => Some(prefix) == self.record.text("prefix"),
            (None, Some(service)) => self.services.iter().any(|known| known == service),
            (None, None) => matches!(
                entry.event(),
                "blind" | "ordered" | "started" | "stopped" | "reloaded"
            ),
        }
    }

    /// What led to it began with the first failure.
    fn led_to(&self, entry: &Entry) -> bool {
        let first = self.record.reason("first_failure_mono_ns").as_u64();
        let since = first.or_else(|| {
            // Without one: what happened in the last second or while it stood.
            let stood = self.record.reason("stood_ns").as_u64().unwrap_or(0);
            let span = stood.max(1_000_000_000);
            Some(self.record.number("mono_ns")?.saturating_sub(span))
        });
        self.is_about(entry) && entry.number("mono_ns") >= since
    }

    /// What the last decision of the story came to.
    fn settles(&self, entry: &Entry) -> bool {
        let route = entry.event().starts_with("route_");
        let end = self.after.iter().rev().find(|entry| is_decision(entry));
        route && end.is_some_and(|end| end.level() == entry.level())
    }

    fn ends(&self, entry: &Entry, seconds: f64) -> Option<End> {
        let seq = entry.seq();
        let same_prefix = entry.text("prefix") == self.record.text("prefix");
        if entry.event() == "decision" && same_prefix {
            return Some(End::Decided {
                seq,
                level: entry.level()?,
                seconds,
                sentence: entry.text("sentence").unwrap_or_default().to_owned(),
            });
        }
        let well = match entry.event() {
            "verdict" => entry.truth("failed") == Some(false),
            "impaired" => entry.truth("impaired") == Some(false),
            "cleared" => true,
            _ => false,
        };
        let held = self.record.event() == "held";
        let service = self.record.reason("service").as_str();
        (held && well && entry.text("service") == service).then_some(End::Over { seq, seconds })
    }

    /// From the decision to this.
    fn seconds(&self, entry: &Entry) -> f64 {
        let between =
            |earlier: Duration, later: Duration| later.as_secs_f64() - earlier.as_secs_f64();
        let mono = (self.record.mono().zip(entry.mono())).filter(|_| !self.restarted);
        if let Some((decided, at)) = mono {
            return between(decided, at);
        }
        let epoch = |entry: &Entry| entry.time()?.duration_since(std::time::UNIX_EPOCH).ok();
        match (epoch(self.record), epoch(entry)) {
            (Some(decided), Some(at)) => between(decided, at),
            (None, _) | (_, None) => 0.0,
        }
    }

    fn finish(mut self) -> (Vec<Step>, End) {
        let mut steps = Vec::new();
        let first = self.record.reason("first_failure_mono_ns").as_u64();
        if let (Some(first), Some(decided)) = (first, self.record.mono()) {
            steps.push(Step {
                seconds: Duration::from_nanos(first).as_secs_f64() - decided.as_secs_f64(),
                seq: None,
                words: "the first trial that failed began".to_owned(),
            });
        }
        let restarted = std::mem::take(&mut self.restarted);
        for entry in &self.before {
            steps.push(self.step(entry));
        }
        steps.push(Step {
            seconds: 0.0,
            seq: Some(self.record.seq()),
            words: words::of(self.record),
        });
        let mut lives = false;
        for entry in &self.after {
            lives |= entry.event() == "started";
            self.restarted = restarted && lives;
            steps.push(self.step(entry));
        }
        steps.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let end = self.end.unwrap_or(End::Stands {
            seconds: self.youngest,
        });
        (steps, end)
    }

    fn step(&self, entry: &Entry) -> Step {
        Step {
            seconds: self.seconds(entry),
            seq: Some(entry.seq()),
            words: words::of(entry),
        }
    }
}

#[cfg(test)]
mod tests;
