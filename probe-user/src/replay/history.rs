//! What is kept of a replay, to be shown. In flow what the core says of itself after each
//! reading, and its events; out flow bounded records: bins over time for each service,
//! the level that each prefix would have had, and what happened.

use std::{collections::BTreeMap, mem::take};

use probe_common::{latency::Histogram, trial::Kind};
use probe_core::{
    Engine, Level, Reason, Timestamp,
    command::{Event, Guard},
    config::{Config, PrefixId, ServiceId},
    input::Reading,
    status::{ServiceStatus, TrialTotals},
};

use super::{
    bins::{Bins, Join},
    clock::START_NS,
    happening::{Happening, What},
};
use crate::{
    datapath::Latencies,
    journal::record::Names,
    status::latency::{LatencyView, view},
};

/// Bins of one service; of many services fewer, so that all need no more memory than
/// a hundred do.
const MOST_BINS: usize = 512;
const FEWEST_BINS: usize = 64;
const BINS_OF_ALL: usize = 100 * MOST_BINS;
/// So many lines are kept of decisions, and as many of all else.
const MOST_HAPPENINGS: usize = 1000;
/// So many changes of a prefix's level.
const MOST_CHANGES: usize = 1000;

/// What happened to one service in one span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slice {
    /// Trials on which the service is judged that started.
    pub started: u64,
    /// ... and how they ended, in the span in which that was known.
    pub ended: TrialTotals,
    /// The highest score of the fast detector, as a part of its threshold.
    pub score: f64,
    /// The highest score of all other detectors, as a part of theirs.
    pub others: f64,
    /// Answers by bucket of their latency, without empty buckets.
    answers: Vec<(u8, u32)>,
}

impl Slice {
    /// How long answers took; none if there were none.
    pub fn latency(&self) -> Option<LatencyView> {
        let mut histogram = Histogram::default();
        for (bucket, count) in &self.answers {
            histogram.buckets[usize::from(*bucket)] = u64::from(*count);
        }
        view(&histogram.buckets)
    }
}

impl Join for Slice {
    fn join(&mut self, later: Self) {
        self.started += later.started;
        self.ended.succeeded += later.ended.succeeded;
        self.ended.failed += later.ended.failed;
        self.ended.late += later.ended.late;
        self.ended.abandoned += later.ended.abandoned;
        self.score = self.score.max(later.score);
        self.others = self.others.max(later.others);
        let mut answers: BTreeMap<u8, u32> = take(&mut self.answers).into_iter().collect();
        for (bucket, count) in later.answers {
            let sum = answers.entry(bucket).or_default();
            *sum = sum.saturating_add(count);
        }
        self.answers = answers.into_iter().collect();
    }
}

/// All services in one span of time; none while nothing was read.
#[derive(Clone, Debug, Default)]
pub struct Slices(pub Vec<Slice>);

impl Join for Slices {
    fn join(&mut self, later: Self) {
        self.0
            .resize_with(self.0.len().max(later.0.len()), Slice::default);
        for (slice, later) in self.0.iter_mut().zip(later.0) {
            slice.join(later);
        }
    }
}

/// The level that a prefix would have had.
#[derive(Clone, Debug)]
pub struct Levels {
    /// From when on which one, in seconds since the first packet; the first is full.
    pub changes: Vec<(f64, Level)>,
    /// Changes that are not kept.
    pub left_out: u64,
    /// Times that it would have been withdrawn.
    pub withdrawals: u64,
    /// For how long, in seconds, until the end of the capture.
    pub withdrawn_seconds: f64,
    /// For how long it would have been degraded.
    pub degraded_seconds: f64,
    now: (f64, Level),
}

impl Levels {
    fn new() -> Self {
        let now = (0.0, Level::Full);
        Self {
            changes: vec![now],
            left_out: 0,
            withdrawals: 0,
            withdrawn_seconds: 0.0,
            degraded_seconds: 0.0,
            now,
        }
    }

    /// The level that it would have now.
    pub fn level(&self) -> Level {
        self.now.1
    }

    fn advance(&mut self, seconds: f64, level: Level) {
        let lasted = seconds - self.now.0;
        match self.now.1 {
            Level::Withdrawn => self.withdrawn_seconds += lasted,
            Level::Degraded => self.degraded_seconds += lasted,
            Level::Full => {}
        }
        let changed = self.now.1 != level;
        self.now = (seconds, level);
        if !changed {
            return;
        }
        self.withdrawals += u64::from(level == Level::Withdrawn);
        if self.changes.len() < MOST_CHANGES {
            self.changes.push(self.now);
        } else {
            self.left_out += 1;
        }
    }
}

/// What happened, as much of it as is kept.
#[derive(Clone, Debug, Default)]
pub struct Happenings {
    /// In the order of time.
    pub kept: Vec<Happening>,
    /// Decisions that are not kept.
    pub decisions_left_out: u64,
    /// Other lines that are not kept.
    pub others_left_out: u64,
    decisions: usize,
}

impl Happenings {
    fn push(&mut self, happening: Happening) {
        let is_decision = happening.what.is_decision();
        let (kept, left_out) = if is_decision {
            (self.decisions, &mut self.decisions_left_out)
        } else {
            let others = self.kept.len() - self.decisions;
            (others, &mut self.others_left_out)
        };
        if kept == MOST_HAPPENINGS {
            *left_out += 1;
        } else {
            self.decisions += usize::from(is_decision);
            self.kept.push(happening);
        }
    }
}

/// The records.
#[derive(Debug)]
pub struct History {
    names: Names,
    judged: Vec<Kind>,
    /// Over time, all services in each.
    pub bins: Bins<Slices>,
    /// By prefix.
    pub levels: Vec<Levels>,
    /// What happened.
    pub happenings: Happenings,
    /// Trials that started in all, by service: as the maps count them.
    started: Vec<u32>,
    /// Trials that started since the last look, by service.
    fresh: Vec<u64>,
    ended: Vec<TrialTotals>,
    answered: Vec<Histogram>,
}

fn seconds(at: Timestamp) -> f64 {
    at.as_nanos().saturating_sub(START_NS) as f64 / 1e9
}

impl History {
    /// Of a replay by this configuration; nothing happened yet.
    pub fn new(config: &Config, tick_ns: u64) -> Self {
        let count = config.services.len();
        let most = (BINS_OF_ALL / count.max(1)).clamp(FEWEST_BINS, MOST_BINS);
        Self {
            names: Names::new(config),
            judged: config
                .services
                .iter()
                .map(probe_core::config::Service::judged_kind)
                .collect(),
            bins: Bins::new(START_NS, tick_ns, most),
            levels: config.prefixes.iter().map(|_| Levels::new()).collect(),
            happenings: Happenings::default(),
            started: vec![0; count],
            fresh: vec![0; count],
            ended: vec![TrialTotals::default(); count],
            answered: vec![Histogram::default(); count],
        }
    }

    /// Takes a reading.
    pub fn read(&mut self, reading: &Reading) {
        for service in &reading.services {
            let index = position(service.service);
            let Some(kind) = self.judged.get(index) else {
                continue;
            };
            let Some(trials) = service.trials.iter().find(|trials| trials.kind == *kind) else {
                continue;
            };
            // Each bucket wraps, and so does their sum.
            let buckets = trials.ring.buckets.iter();
            let started = buckets.fold(0_u32, |sum, bucket| sum.wrapping_add(bucket.started));
            let fresh = started.wrapping_sub(self.started[index]);
            self.fresh[index] += u64::from(fresh);
            self.started[index] = started;
        }
    }

    /// Whether the latencies are wanted, before a look at this time.
    pub fn wants_latencies(&self, at: Timestamp) -> bool {
        !self.bins.has(at.as_nanos())
    }

    /// Takes the latencies of everything until now: what was added to them belongs to the
    /// newest span.
    pub fn take_latencies(&mut self, latencies: &[Latencies]) {
        let Some(newest) = self.bins.newest() else {
            return;
        };
        let places = latencies.iter().zip(&self.judged).zip(&mut self.answered);
        for (slice, ((now, kind), then)) in newest.0.iter_mut().zip(places) {
            let Some(now) = now.get(kind) else {
                continue;
            };
            let buckets = now.buckets.iter().zip(&then.buckets);
            let added = (0_u8..).zip(buckets).filter_map(|(bucket, (now, then))| {
                let added = u32::try_from(now.saturating_sub(*then)).unwrap_or(u32::MAX);
                (added > 0).then_some((bucket, added))
            });
            slice.join(Slice {
                answers: added.collect(),
                ..Slice::default()
            });
            *then = *now;
        }
    }

    /// Takes what the core says of the services.
    pub fn look(&mut self, services: &[ServiceStatus], at: Timestamp) {
        let slices = &mut self.bins.at(at.as_nanos()).0;
        slices.resize_with(services.len(), Slice::default);
        let kept = self.ended.iter_mut().zip(&mut self.fresh).zip(&self.judged);
        for ((slice, status), ((then, fresh), kind)) in slices.iter_mut().zip(services).zip(kept) {
            let now = status.totals;
            let others = status.kinds.iter().filter(|(other, _)| *other != kind);
            slice.join(Slice {
                started: take(fresh),
                ended: TrialTotals {
                    succeeded: now.succeeded - then.succeeded,
                    failed: now.failed - then.failed,
                    late: now.late - then.late,
                    abandoned: now.abandoned - then.abandoned,
                },
                score: status.detector.score_ratio,
                others: others.fold(0.0, |highest, (_, kind)| highest.max(kind.score_ratio)),
                answers: Vec::new(),
            });
            *then = now;
        }
    }

    /// Takes the events of one moment.
    pub fn tell(&mut self, events: &[Event], engine: &Engine, at: Timestamp) {
        let seconds = seconds(at);
        for event in events {
            let told = Happening::of_service(event, seconds, &self.names, START_NS);
            if let Some(mut told) = told {
                if has_followed(event, events) {
                    told.why.clear();
                }
                self.happenings.push(told);
            }
        }
        let prefixes: Vec<PrefixId> = (0..).map(PrefixId).take(self.levels.len()).collect();
        for prefix in prefixes {
            self.tell_level(prefix, events, engine, seconds);
        }
    }

    fn tell_level(&mut self, prefix: PrefixId, events: &[Event], engine: &Engine, seconds: f64) {
        let index = usize::try_from(prefix.0).unwrap_or(usize::MAX);
        let level = engine.asked_for(prefix).unwrap_or(Level::Full);
        let changed = self.levels[index].level() != level;
        let held = events.iter().filter_map(|event| {
            let Event::Held {
                prefix: of,
                level,
                guard,
                reason,
            } = event
            else {
                return None;
            };
            (*of == prefix).then_some((*level, *guard, &**reason))
        });
        let mut why: Option<&Reason> = None;
        for (due, guard, reason) in held {
            if guard == Guard::Observe && due == level && changed && why.is_none() {
                why = Some(reason);
                continue;
            }
            let what = match guard {
                Guard::Observe => What::Further { level: due },
                guard => What::Held { level: due, guard },
            };
            self.push_because(what, prefix, reason, seconds);
        }
        if !changed {
            return;
        }
        let lasted = seconds - self.levels[index].now.0;
        self.levels[index].advance(seconds, level);
        let what = What::Level { level };
        if let Some(reason) = why {
            self.push_because(what, prefix, reason, seconds);
            return;
        }
        let why = match level {
            Level::Full => format!("its services are well again, after {lasted:.2} s"),
            Level::Degraded | Level::Withdrawn => "that is left of what was wrong".to_owned(),
        };
        let about = self.names.prefix(prefix);
        self.happenings
            .push(Happening::new(seconds, what, about, why));
    }

    fn push_because(&mut self, what: What, prefix: PrefixId, reason: &Reason, seconds: f64) {
        let about = self.names.prefix(prefix);
        self.happenings
            .push(Happening::because(seconds, what, about, reason, START_NS));
    }

    /// Nothing comes any more.
    pub fn end(&mut self, at: Timestamp) {
        for levels in &mut self.levels {
            let level = levels.level();
            levels.advance(seconds(at), level);
        }
    }
}

/// Whether a prefix would have followed a verdict at once: its line has the reason.
fn has_followed(event: &Event, events: &[Event]) -> bool {
    let (Event::Verdict { reason, .. } | Event::Impaired { reason, .. }) = event else {
        return false;
    };
    events.iter().any(|other| {
        let Event::Held {
            guard: Guard::Observe,
            reason: held,
            ..
        } = other
        else {
            return false;
        };
        (held.service, held.kind) == (reason.service, reason.kind)
    })
}

fn position(service: ServiceId) -> usize {
    usize::try_from(service.0).unwrap_or(usize::MAX)
}
