//! Reading another configuration while the daemon runs.
//!
//! In flow requests (SIGHUP, `lapwing reload`), out flows for each of them what stands in
//! the file now: settings that are ready to be applied, and what they change, or why not.
//!
//! ```text
//! ask ─▶ queue ─▶ thread: file, checks as of `lapwing check`, certificates,
//!                         listening sockets, route control if there was none
//!                    └─▶ Done::Read ─▶ apply, between two turns of the loop
//! ```
//!
//! A file may lie on a disk that hangs, and the netlink socket behind a lock: all that
//! can wait happens on the thread. One reading is made at a time; each request gets one
//! that was begun after it came.

use std::{collections::VecDeque, sync::Arc, thread};

use anyhow::Context;
use tokio::{
    runtime::Builder,
    sync::{mpsc, watch},
};

use super::{Done, RunOptions, setup};
use crate::{
    announce::{Announcer, Observation, witness::News},
    config::{self, Difference, Settings},
    control::{Answer, Asker},
    probe::Prober,
};

/// Another configuration, ready to be applied.
#[derive(Debug)]
pub struct Ready {
    /// What it says; with found services if it has no prefix.
    pub settings: Settings,
    /// Who asks its services.
    pub prober: Prober,
    /// Route control, if there was none and is to be.
    pub routes: Option<(Announcer, mpsc::Receiver<Observation>)>,
    /// Who else announces its prefixes; none without witnesses.
    pub news: Option<watch::Receiver<Arc<News>>>,
    /// What is other than before.
    pub difference: Difference,
}

/// What came of a reading: a report with all mistakes, or what is ready.
pub type Read = Result<Ready, String>;

/// What a reading starts from.
struct Start {
    options: RunOptions,
    running: Settings,
    /// Whether route control is to be started if it is needed.
    routes: bool,
}

/// The requests.
pub struct Reloader {
    options: RunOptions,
    done: mpsc::Sender<Done>,
    /// Whose reading is under way.
    reading: Option<Asker>,
    waiting: VecDeque<Asker>,
    /// What was read and waits to be applied.
    ready: Option<(Asker, Ready)>,
}

impl Reloader {
    /// Nobody has asked yet; the end of each reading is told to `done`.
    pub fn new(options: RunOptions, done: mpsc::Sender<Done>) -> Self {
        Self {
            options,
            done,
            reading: None,
            waiting: VecDeque::new(),
            ready: None,
        }
    }

    /// Takes a request. One more signal behind one that still waits says nothing new.
    pub fn ask(&mut self, asker: Asker) {
        let known = asker.answer.is_none() && self.waiting.iter().any(|a| a.answer.is_none());
        if !known {
            self.waiting.push_back(asker);
        }
    }

    /// Begins the next reading, if one waits and none is under way. `running` is in force;
    /// `routes` tells whether route control is there. Tells whether one has begun that may
    /// change something.
    pub fn begin(&mut self, running: &Settings, routes: bool) -> bool {
        if self.is_under_way() {
            return false;
        }
        let Some(asker) = self.waiting.pop_front() else {
            return false;
        };
        let changes = !asker.check;
        let start = Start {
            options: self.options.clone(),
            running: running.clone(),
            routes: !routes && !asker.check,
        };
        let done = self.done.clone();
        let thread = thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || {
                let read = read(&start);
                // Without a receiver the daemon has ended.
                let _ = done.blocking_send(Done::Read(Box::new(read)));
            });
        match thread {
            Ok(_) => {
                self.reading = Some(asker);
                changes
            }
            Err(error) => {
                let why = format!("error: cannot start a thread to read the file: {error}");
                tracing::error!("{why}");
                asker.answer(Answer::Error(why));
                false
            }
        }
    }

    /// Whether one is read, or waits to be applied.
    pub fn is_under_way(&self) -> bool {
        self.reading.is_some() || self.ready.is_some()
    }

    /// The reading that was under way has ended; whose it was.
    pub fn has_read(&mut self) -> Option<Asker> {
        self.reading.take()
    }

    /// This waits to be applied.
    pub fn keep(&mut self, asker: Asker, ready: Ready) {
        self.ready = Some((asker, ready));
    }

    /// Whether something waits to be applied.
    pub fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// What waits to be applied.
    pub fn take_ready(&mut self) -> Option<(Asker, Ready)> {
        self.ready.take()
    }
}

/// Reads the file, or without one looks around again.
fn read(start: &Start) -> Read {
    let mut settings = setup::read(&start.options).map_err(|error| report(&error))?;
    let prober = Prober::new(&settings.core.services)
        .map_err(|error| report(&config::Error::from(error)))?;
    let look = async {
        if settings.core.prefixes.is_empty() {
            setup::find_services(&mut settings).await?;
        }
        let difference = Difference::between(&start.running, &settings);
        let wanted = start.routes && difference.refusal().is_none();
        let routes = if wanted {
            setup::start_announcer(&settings).await?
        } else {
            None
        };
        anyhow::Ok((difference, routes))
    };
    let looked = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")
        .and_then(|runtime| runtime.block_on(look));
    let (difference, routes) = looked.map_err(|error| format!("error: {error:#}"))?;
    match difference.refusal() {
        Some(why) => Err(why),
        None => Ok(Ready {
            // Always anew: the prefixes may have other positions.
            news: setup::start_witness(&settings).map_err(|error| format!("error: {error:#}"))?,
            settings,
            prober,
            routes,
            difference,
        }),
    }
}

/// All that is wrong with a file, as `lapwing check` tells it.
fn report(error: &config::Error) -> String {
    match error {
        config::Error::Mistakes(report) => report.render(false),
        error @ (config::Error::Unreadable { .. } | config::Error::NoRoots(_)) => {
            format!("error: {error}")
        }
    }
}
