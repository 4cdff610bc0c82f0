//! The daemon: the one loop between the world and the core.
//!
//! ```text
//!  maps ──tick──▶ Reading ─┐                    ┌─ SetLevel ▶ announce (own thread) ─▶ kernel table
//!  table ─▶ Observation ───┤                    │                └─▶ Done ─▶ journal
//!  probes ─▶ Done ─────────┼▶ Engine ─▶ Command ┼─ Probe ────▶ probe tasks ─▶ Done
//!  hooks ──1 Hz─▶ Sensor ──┤                    └─ Record ───▶ journal, log
//!  clock ─▶ Wake ──────────┘
//!             1 Hz: counters, status ─▶ watch channels ─▶ http, control socket
//! ```
//!
//! All of it runs on one thread, and nothing in the loop waits for a disk, a socket
//! or another thread: a failed trial becomes a route change within a tick. The
//! journal is written after the change has been handed to the route thread, and
//! synced by a thread of its own.

mod act;
mod alarm;
pub mod hooks;
mod lock;
mod setup;
mod view;

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use probe_core::{
    Engine, Input, Timestamp,
    config::Mode,
    input::{ProbeResult, Sensor},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

use crate::{
    announce::Observation,
    config::{self, OnExit, Settings},
    control::SocketFile,
    datapath::{self, Datapath},
    http,
    journal::{
        Journal,
        record::{Record, nanoseconds},
    },
};

use act::{Actor, SetDone};
use alarm::Alarm;
use lock::Lock;
use setup::Parts;
use view::{Sources, View};

/// Between two looks at everything that is not on the way of a decision.
const SECOND: Duration = Duration::from_secs(1);
/// The kernel may add this much to a sleep of the main thread; by default it is
/// 50 µs, which is much beside a decision of a few milliseconds.
const TIMER_SLACK_NS: u64 = 1_000;
/// Level changes that are under way may take this long when the daemon stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);
/// Ends of tasks that wait for the loop.
const DONE: usize = 1024;

/// What the command line says about a run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The configuration file; none to observe what listens here.
    pub config: Option<PathBuf>,
    /// Interfaces instead of the configured ones.
    pub interfaces: Vec<String>,
    /// Whether the kernel side logs what it measures.
    pub trace: bool,
}

/// How a command failed, and so how the program ends.
#[derive(Debug)]
pub enum Failure {
    /// The operator's mistake, ready to be shown.
    Mistake(String),
    /// The world's.
    Runtime(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Runtime(error)
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        use std::io::IsTerminal;
        Self::Mistake(match error {
            config::Error::Mistakes(report) => report.render(std::io::stderr().is_terminal()),
            error @ config::Error::Unreadable { .. } => format!("error: {error}"),
        })
    }
}

/// Runs until a signal asks to stop.
pub fn run(options: &RunOptions) -> Result<(), Failure> {
    let settings = setup::settings(options)?;
    runtime()?.block_on(async {
        let parts = setup::start(settings, options.trace).await?;
        Daemon::new(parts).run().await.map_err(Failure::Runtime)
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .map_err(Failure::Runtime)
}

/// The end of something that was started.
#[derive(Debug)]
enum Done {
    Probe(ProbeResult),
    Set(SetDone),
}

/// What wakes the loop.
enum Occurrence {
    Alarm,
    Done(Done),
    Observed(Observation),
    Stop(&'static str),
    Hangup,
}

struct Daemon {
    settings: Settings,
    datapath: Datapath,
    observations: Option<mpsc::Receiver<Observation>>,
    journal: Journal,
    engine: Engine,
    actor: Actor,
    done: mpsc::Receiver<Done>,
    view: View,
    sensor: Sensor,
    tick: Duration,
    next_tick: Timestamp,
    next_second: Timestamp,
    _socket: SocketFile,
    _lock: Lock,
}

impl Daemon {
    fn new(parts: Parts) -> Self {
        let Parts {
            settings,
            mut datapath,
            announcer,
            observations,
            journal,
            control,
            http,
            lock,
        } = parts;
        if let Err(errno) = nix::sys::prctl::set_timerslack(TIMER_SLACK_NS) {
            tracing::warn!("cannot make the timers exact: {errno}");
        }
        let now = datapath::now();
        let engine = Engine::new(settings.core.clone(), now);
        let sensor = datapath.sensor();
        let (sender, done) = mpsc::channel(DONE);
        let actor = Actor::new(&settings.core, announcer.clone(), sender);
        let view = View::new(
            &settings,
            announcer,
            now,
            Sources {
                engine: &engine,
                sensor: &sensor,
                datapath: &datapath,
                journal_trouble: journal.trouble(),
            },
        );
        let socket = control.serve(view.documents());
        tokio::spawn(http::serve(http, view.models()));
        let tick = tick(
            settings
                .core
                .services
                .iter()
                .map(|service| service.detect.deadline),
        );
        Self {
            settings,
            datapath,
            observations,
            journal,
            engine,
            actor,
            done,
            view,
            sensor,
            tick,
            next_tick: now,
            next_second: now,
            _socket: socket,
            _lock: lock,
        }
    }

    async fn run(mut self) -> anyhow::Result<()> {
        let mut signals = Signals::new()?;
        let alarm = Alarm::new().context("cannot make a timer")?;
        self.journal_start();
        self.engine
            .handle(Input::Sensor(self.sensor.clone()), datapath::now());
        tracing::info!(
            services = self.settings.core.services.len(),
            prefixes = self.settings.core.prefixes.len(),
            tick = ?self.tick,
            "lapwing {} runs",
            env!("CARGO_PKG_VERSION")
        );
        loop {
            let wake_at = self.wake_at();
            let occurrence = tokio::select! {
                biased;
                stop = signals.next() => stop,
                Some(done) = self.done.recv() => Occurrence::Done(done),
                Some(observation) = next_observation(&mut self.observations) => Occurrence::Observed(observation),
                rung = alarm.wait_until(wake_at) => {
                    rung.context("the timer failed")?;
                    Occurrence::Alarm
                }
            };
            match occurrence {
                Occurrence::Alarm => {}
                Occurrence::Done(done) => self.finish(done),
                Occurrence::Observed(observation) => self.observe(observation),
                Occurrence::Hangup => tracing::warn!(
                    "SIGHUP: the configuration is read at start only; restart to apply a change (routes and hooks stay)"
                ),
                Occurrence::Stop(signal) => {
                    tracing::info!("{signal}: stopping");
                    self.stop().await;
                    return Ok(());
                }
            }
            self.advance();
            self.act().await;
        }
    }

    /// When the loop has something to do by itself.
    fn wake_at(&self) -> Timestamp {
        let at = self.next_tick.min(self.next_second);
        self.engine.poll_timeout().map_or(at, |core| core.min(at))
    }

    /// Does what the time asks for.
    fn advance(&mut self) {
        // Before the maps are read: a trial must not be called late by a clock that
        // is ahead of the reading.
        let now = datapath::now();
        if now >= self.next_tick {
            let reading = self.datapath.read();
            self.engine.handle(Input::Reading(reading), now);
            self.next_tick = next(self.next_tick, self.tick, now);
        }
        if self.engine.poll_timeout().is_some_and(|at| at <= now) {
            self.engine.handle(Input::Wake, now);
        }
        if now >= self.next_second {
            self.next_second = next(self.next_second, SECOND, now);
            self.every_second(now);
        }
    }

    /// Carries out what the core decided. Level changes go out first; what is to be
    /// written down waits until the tasks that carry them have run.
    async fn act(&mut self) {
        while let Some(command) = self.engine.next_command() {
            self.actor.carry_out(command, &mut self.view);
        }
        if self.actor.has_records() {
            tokio::task::yield_now().await;
            for (at, record) in self.actor.take_records() {
                act::log(&record);
                self.journal.append(at, &record);
            }
        }
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Probe(result) => self.engine.handle(Input::Probe(result), datapath::now()),
            Done::Set(done) => self.actor.finish_set(done, &mut self.view),
        }
    }

    fn observe(&mut self, observation: Observation) {
        let Observation {
            prefix,
            observed,
            at,
        } = observation;
        self.actor.record(
            at,
            Record::RouteObserved {
                prefix: self.actor.names().prefix(prefix),
                level: observed,
            },
        );
        self.engine
            .handle(Input::Route { prefix, observed }, datapath::now());
    }

    /// Everything that is not on the way of a decision.
    fn every_second(&mut self, now: Timestamp) {
        self.look_after_hooks();
        self.journal.retry();
        self.view.publish(
            now,
            Sources {
                engine: &self.engine,
                sensor: &self.sensor,
                datapath: &self.datapath,
                journal_trouble: self.journal.trouble(),
            },
        );
    }

    /// Hooks that were taken away are put back.
    fn look_after_hooks(&mut self) {
        let mut sensor = self.datapath.sensor();
        if let Sensor::Detached(why) = &sensor {
            let before = self.datapath.attachments();
            let result = self.datapath.attach();
            if self.sensor == Sensor::Attached {
                // The core learns of the gap even if it is closed at once: what was
                // read meanwhile is not to be believed.
                tracing::error!("the sensor is blind: {why}");
                self.engine
                    .handle(Input::Sensor(sensor.clone()), datapath::now());
                self.sensor = sensor.clone();
                if let Err(error) = &result {
                    tracing::error!("cannot attach again: {error}; trying every second");
                }
            }
            for attachment in self.datapath.attachments() {
                if !before.contains(&attachment) {
                    self.actor
                        .record(datapath::now(), attached_record(&attachment));
                }
            }
            sensor = self.datapath.sensor();
        }
        if sensor != self.sensor {
            self.engine
                .handle(Input::Sensor(sensor.clone()), datapath::now());
            self.sensor = sensor;
        }
    }

    fn journal_start(&mut self) {
        let core = &self.settings.core;
        let now = datapath::now();
        self.actor.record(
            now,
            Record::Started {
                version: env!("CARGO_PKG_VERSION"),
                mode: core.mode,
                services: core
                    .services
                    .iter()
                    .map(|service| service.name.clone())
                    .collect(),
                prefixes: core
                    .prefixes
                    .iter()
                    .map(|prefix| prefix.prefix.to_string())
                    .collect(),
            },
        );
        for attachment in self.datapath.attachments() {
            self.actor.record(now, attached_record(&attachment));
        }
    }

    /// Ends in order: level changes under way, the exit's own withdraws, the journal.
    async fn stop(mut self) {
        let core = &self.settings.core;
        let on_exit = self.settings.daemon.on_exit;
        match (on_exit, core.mode) {
            (OnExit::Keep, Mode::Observe | Mode::Enforce) | (OnExit::Withdraw, Mode::Observe) => {}
            (OnExit::Withdraw, Mode::Enforce) => self.actor.withdraw_all(),
        }
        let finish_sets = async {
            while self.actor.sets_under_way() > 0 {
                match self.done.recv().await {
                    Some(Done::Set(done)) => self.actor.finish_set(done, &mut self.view),
                    Some(Done::Probe(_)) => {}
                    None => return,
                }
            }
        };
        if tokio::time::timeout(STOP_TIMEOUT, finish_sets)
            .await
            .is_err()
        {
            tracing::error!("stopping with level changes that the kernel has not acknowledged");
        }
        self.actor.record(
            datapath::now(),
            Record::Stopped {
                on_exit: match on_exit {
                    OnExit::Keep => "keep",
                    OnExit::Withdraw => "withdraw",
                },
            },
        );
        for (at, record) in self.actor.take_records() {
            act::log(&record);
            self.journal.append(at, &record);
        }
        self.journal.close();
    }
}

fn attached_record(attachment: &datapath::Attachment) -> Record {
    Record::Attached {
        interface: attachment.interface.clone(),
        hook: attachment.hook.name(),
        mode: attachment.mode.name(),
    }
}

/// Never ready without a table to watch.
async fn next_observation(
    observations: &mut Option<mpsc::Receiver<Observation>>,
) -> Option<Observation> {
    match observations {
        Some(observations) => observations.recv().await,
        None => std::future::pending().await,
    }
}

/// The next point of a rhythm; what was missed is left out.
fn next(last: Timestamp, period: Duration, now: Timestamp) -> Timestamp {
    let next = last.after(period);
    if next > now { next } else { now.after(period) }
}

/// How often the maps are read: as finely as the finest ring has buckets and as a
/// deadline is worth, at most every half millisecond.
fn tick(deadlines: impl Iterator<Item = Duration>) -> Duration {
    const LEAST: Duration = Duration::from_micros(500);
    const MOST: Duration = Duration::from_millis(5);
    deadlines
        .map(|deadline| {
            let shift = probe_common::trial::width_shift(nanoseconds(deadline));
            Duration::from_nanos(1 << shift).min(deadline / 4)
        })
        .min()
        .unwrap_or(MOST)
        .clamp(LEAST, MOST)
}

/// The signals the daemon listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Occurrence {
        tokio::select! {
            _ = self.terminate.recv() => Occurrence::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Occurrence::Stop("SIGINT"),
            _ = self.hangup.recv() => Occurrence::Hangup,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tick_follows_the_shortest_deadline_within_bounds() {
        let milliseconds = Duration::from_millis;
        for (deadlines, expected) in [
            (vec![], milliseconds(5)),
            (vec![milliseconds(200)], milliseconds(5)),
            (
                vec![milliseconds(200), milliseconds(100)],
                Duration::from_nanos(1 << 22),
            ),
            (vec![milliseconds(10)], Duration::from_nanos(1 << 19)),
        ] {
            assert_eq!(tick(deadlines.iter().copied()), expected, "{deadlines:?}");
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
