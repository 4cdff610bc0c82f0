//! Carries out the core's commands and keeps what is to be written down.
//!
//! A level change is handed to the route thread at once. Nothing here waits: what
//! was started tells its end through a channel, which is one more input of the loop.

use std::{collections::VecDeque, time::Duration};

use probe_core::{
    Config, Level, Reason, Timestamp,
    command::Event,
    config::{Mode, PrefixId},
};
use tokio::sync::mpsc;

use super::{Done, conflicts, routes::Routes, view::View};
use crate::{
    announce, datapath,
    follow::{Change, Finding, traffic::News},
    journal::record::{Names, Record},
};

/// What is to be written down waits no longer than this for level changes.
const RECORDS_WAIT: Duration = Duration::from_millis(250);

/// The end of a level change.
#[derive(Debug)]
pub struct SetDone {
    prefix: PrefixId,
    level: Level,
    decided: Timestamp,
    ended: Timestamp,
    result: Result<(), announce::Error>,
}

impl SetDone {
    /// The change, if the kernel acknowledged it.
    pub fn change(&self) -> Option<Change> {
        self.result.is_ok().then_some(Change {
            prefix: self.prefix,
            level: self.level,
            decided: self.decided,
            acknowledged: self.ended,
        })
    }
}

/// Carries out commands.
pub struct Actor {
    mode: Mode,
    names: Names,
    prefixes: usize,
    routes: Routes,
    done: mpsc::Sender<Done>,
    sets_under_way: usize,
    records: VecDeque<(Timestamp, Record)>,
}

impl Actor {
    /// An actor that tells ends to `done`.
    pub fn new(config: &Config, routes: Routes, done: mpsc::Sender<Done>) -> Self {
        Self {
            mode: config.mode,
            names: Names::new(config),
            prefixes: config.prefixes.len(),
            routes,
            done,
            sets_under_way: 0,
            records: VecDeque::new(),
        }
    }

    /// Another configuration is in force; with this route control, if it is another one.
    /// To be called while no level change is under way.
    pub fn reconfigure(&mut self, config: &Config, routes: Option<Routes>) {
        if let Some(routes) = routes {
            self.routes = routes;
        } else {
            let prefixes = config.prefixes.iter().map(|prefix| prefix.prefix);
            self.routes.own(&prefixes.collect::<Vec<_>>());
        }
        self.mode = config.mode;
        self.names = Names::new(config);
        self.prefixes = config.prefixes.len();
    }

    /// Route control.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The operator's names.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Notes something to write down.
    pub fn record(&mut self, at: Timestamp, record: Record) {
        self.records.push_back((at, record));
    }

    /// When something is to be written down. While level changes are under way it waits a
    /// little: what is told of ten thousand of them would take the processors from those
    /// that are still to come.
    pub fn records_due(&self) -> Option<Timestamp> {
        let (oldest, _) = self.records.front()?;
        Some(match self.sets_under_way {
            0 => *oldest,
            _ => oldest.after(RECORDS_WAIT),
        })
    }

    /// What is to be written down, oldest first, but not more than this.
    pub fn take_records(&mut self, most: usize) -> Vec<(Timestamp, Record)> {
        let count = self.records.len().min(most);
        self.records.drain(..count).collect()
    }

    /// Level changes whose end has not been told.
    pub fn sets_under_way(&self) -> usize {
        self.sets_under_way
    }

    /// Notes an event of the core.
    pub fn note(&mut self, event: &Event, view: &mut View) {
        view.count_event(event);
        self.record(datapath::now(), Record::of_event(event, &self.names));
    }

    /// Notes a conflict that began or ended.
    pub fn note_conflict(&mut self, change: conflicts::Change, view: &mut View) {
        let conflicts::Change {
            mut conflict,
            stands,
        } = change;
        let Some(prefix) = self.routes.inner(conflict.prefix) else {
            return;
        };
        conflict.prefix = prefix;
        view.count_conflict(&conflict, stands);
        let record = Record::of_conflict(conflict, stands, &self.names);
        self.record(datapath::now(), record);
    }

    /// Notes what the closed loop found.
    pub fn note_finding(&mut self, finding: Finding, view: &mut View) {
        view.count_finding(&finding);
        let record = Record::of_finding(finding, &self.names);
        self.record(datapath::now(), record);
    }

    /// Notes what clients did.
    pub fn note_traffic(&mut self, news: News, view: &mut View) {
        let News { moved, alert } = news;
        if let Some(moved) = moved {
            view.count_moved(&moved);
            self.record(datapath::now(), Record::of_moved(&moved, &self.names));
        }
        if let Some(alert) = alert {
            self.record(datapath::now(), Record::of_alert(alert, &self.names));
        }
    }

    /// Starts a level change.
    pub fn set_level(&mut self, prefix: PrefixId, level: Level, reason: &Reason, view: &mut View) {
        let decided = datapath::now();
        match self.mode {
            Mode::Enforce => self.start_set(prefix, level, decided),
            // The core does not command this; if it ever did, the promise to change
            // nothing comes first.
            Mode::Observe => tracing::error!(
                "a level change of {} was commanded in mode observe: ignored",
                self.names.prefix(prefix)
            ),
        }
        view.count_decision(prefix, level, reason, decided);
        self.record(
            decided,
            Record::of_decision(prefix, level, reason, &self.names),
        );
    }

    /// Has route control keep a level that no command of this life asked for.
    pub fn keep_level(&self, prefix: PrefixId, level: Level) {
        match self.mode {
            Mode::Enforce => self.routes.keep(prefix, level),
            Mode::Observe => {}
        }
    }

    fn start_set(&mut self, prefix: PrefixId, level: Level, decided: Timestamp) {
        let Some(set) = self.routes.set(prefix, level) else {
            return;
        };
        let done = self.done.clone();
        self.sets_under_way += 1;
        tokio::spawn(async move {
            let result = set.await;
            let ended = SetDone {
                prefix,
                level,
                decided,
                ended: datapath::now(),
                result,
            };
            // Without a receiver the daemon has ended.
            let _ = done.send(Done::Set(ended)).await;
        });
    }

    /// Degrades a prefix, for an exit that drains.
    pub fn degrade(&mut self, prefix: PrefixId) {
        self.start_set(prefix, Level::Degraded, datapath::now());
    }

    /// Withdraws everything, for an exit that asks for it.
    pub fn withdraw_all(&mut self) {
        for prefix in (0..self.prefixes).filter_map(|index| u32::try_from(index).ok()) {
            self.start_set(PrefixId(prefix), Level::Withdrawn, datapath::now());
        }
    }

    /// Notes the end of a level change.
    pub fn finish_set(&mut self, done: SetDone, view: &mut View) {
        let SetDone {
            prefix,
            level,
            decided,
            ended,
            result,
        } = done;
        self.sets_under_way = self.sets_under_way.saturating_sub(1);
        let took = ended.since(decided);
        if result.is_ok() {
            view.count_set(level, took);
        }
        let record = Record::of_set(self.names.prefix(prefix), level, took, result);
        self.record(ended, record);
    }
}
