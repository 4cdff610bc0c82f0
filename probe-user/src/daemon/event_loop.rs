//! The loop itself: waits for whatever comes first, hands it to the core, and has
//! the core's commands carried out.

mod deadlines;
mod hooks;
mod orders;
mod reload;
mod stop;
mod supervision;

use std::time::Duration;

use anyhow::Context;
use probe_core::{
    Command, Engine, Input, Timestamp,
    input::{Evidence, Sensor},
};
use tokio::sync::mpsc;

use super::{
    Done, RunOptions,
    act::Actor,
    alarm::Alarm,
    closed_loop::ClosedLoop,
    conflicts::Conflicts,
    heard::Hearsay,
    inbox::{Delivery, Inbox},
    launch::Launcher,
    lock::Lock,
    log,
    reload::Reloader,
    remember::{Keeper, MemoryFile},
    rhythm::{self, Pace, Reader},
    routes::Routes,
    setup::Parts,
    signals::{Received, Signals},
    supervisor::Supervisor,
    view::{Sources, View},
    workshop::Workshop,
};
use crate::{
    announce::Observation,
    config::Settings,
    control::{self, Asker, Demand, SocketFile},
    datapath::{self, Datapath, Scope},
    follow::Finding,
    http,
    journal::{Journal, record::Record},
};

/// Between two looks at everything that is not on the way of a decision.
const SECOND: Duration = Duration::from_secs(1);
/// The picture for status and metrics may take one part in so many of the time.
const VIEW_LOAD: u32 = 100;
/// No picture is older.
const OLDEST_VIEW: Duration = Duration::from_secs(5);
/// Written down in one turn: what is decided about ten thousand prefixes at once must not
/// keep the loop from the next decision.
const RECORDS: usize = 256;
/// The kernel may add this much to a sleep of the main thread; by default it is
/// 50 µs, which is much beside a decision of a few milliseconds.
const TIMER_SLACK_NS: u64 = 1_000;
/// Orders that wait for the loop.
const ORDERS: usize = 16;
/// Ends of tasks that wait for the loop.
const DONE: usize = 1024;

/// What wakes the loop.
enum Occurrence {
    Alarm,
    Bell,
    Came(Delivery),
    Conflicts,
    Found(Finding),
    Heard,
    Signal(Received),
}

/// The loop and all it works with.
pub struct Daemon {
    settings: Settings,
    datapath: Datapath,
    inbox: Inbox,
    conflicts: Conflicts,
    closed_loop: ClosedLoop,
    hearsay: Hearsay,
    journal: Journal,
    engine: Engine,
    actor: Actor,
    launcher: Launcher,
    reloader: Reloader,
    keeper: Keeper,
    view: View,
    supervisor: Supervisor,
    sensor: Sensor,
    reader: Reader,
    next_second: Timestamp,
    view_due: Timestamp,
    latencies_due: Timestamp,
    _socket: SocketFile,
    _answering: Workshop,
    _lock: Lock,
}

impl Daemon {
    /// A daemon that has not looked at anything yet.
    pub fn new(parts: Parts, options: &RunOptions) -> Self {
        let Parts {
            settings,
            mut datapath,
            announcer,
            observations,
            closed_loop,
            news,
            journal,
            control,
            http,
            answering,
            lock,
            prober,
            workshop,
        } = parts;
        if let Err(errno) = nix::sys::prctl::set_timerslack(TIMER_SLACK_NS) {
            tracing::warn!("cannot make the timers exact: {errno}");
        }
        let now = datapath::now();
        let mut engine = Engine::new(settings.core.clone(), now);
        let memory = MemoryFile::of(&settings.daemon.state_dir);
        if let Some(remembered) = memory.read() {
            remembered.recall(&mut engine, &datapath.attachments());
        }
        let sensor = datapath.sensor();
        let (sender, done) = mpsc::channel(DONE);
        let conflicts = Conflicts::new(announcer.as_ref().map(|announcer| announcer.conflicts()));
        let launcher = Launcher::new(
            &settings.core.services,
            prober,
            workshop,
            settings.max_probes,
            sender.clone(),
        );
        let reloader = Reloader::new(options.clone(), sender.clone());
        let routes = Routes::new(announcer.clone(), settings.core.prefixes.len());
        let actor = Actor::new(&settings.core, routes, sender);
        let view = View::new(
            &settings,
            announcer,
            now,
            Sources {
                engine: &engine,
                sensor: &sensor,
                datapath: &datapath,
                traffic: &datapath.traffic(),
                counters: &datapath.counters(),
                journal_trouble: journal.trouble(),
                bird: closed_loop.picture(),
            },
        );
        let (orders, asked) = mpsc::channel(ORDERS);
        let sources = control::Sources {
            status: view.documents(),
            decisions: journal.decisions(),
        };
        let socket = control.serve(sources, orders);
        let sources = http::Sources {
            documents: view.documents(),
            decisions: journal.decisions(),
            models: view.models(),
        };
        answering.runtime().spawn(http::serve(http, sources));
        let pace = Pace::new(&settings.core.services, &settings.measure.deadlines);
        Self {
            settings,
            datapath,
            inbox: Inbox::new(done, asked, observations),
            conflicts,
            closed_loop,
            hearsay: Hearsay::new(news),
            journal,
            engine,
            actor,
            launcher,
            reloader,
            keeper: Keeper::new(memory, now),
            view,
            supervisor: Supervisor::of_environment(),
            sensor,
            reader: Reader::new(pace, now),
            next_second: now,
            view_due: now,
            latencies_due: now,
            _socket: socket,
            _answering: answering,
            _lock: lock,
        }
    }

    /// Runs until a signal asks to stop.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut signals = Signals::new()?;
        let alarm = Alarm::new().context("cannot make a timer")?;
        let mut bell = self.datapath.take_bell()?;
        self.journal_start();
        self.engine
            .handle(Input::Sensor(self.sensor.clone()), datapath::now());
        tracing::info!(
            services = self.settings.core.services.len(),
            prefixes = self.settings.core.prefixes.len(),
            "lapwing {} runs",
            env!("CARGO_PKG_VERSION")
        );
        loop {
            let wake_at = self.wake_at();
            // Not biased: whoever has always something to say would silence the others.
            // What the time asks for is done in every turn, whatever woke the loop.
            let occurrence = tokio::select! {
                signal = signals.next() => Occurrence::Signal(signal),
                delivery = self.inbox.next() => Occurrence::Came(delivery),
                () = self.conflicts.changed() => Occurrence::Conflicts,
                Some(finding) = self.closed_loop.next() => Occurrence::Found(finding),
                () = self.hearsay.changed() => Occurrence::Heard,
                rung = bell.rung() => {
                    rung.context("the kernel side's bell failed")?;
                    Occurrence::Bell
                }
                rung = alarm.wait_until(wake_at) => {
                    rung.context("the timer failed")?;
                    Occurrence::Alarm
                }
            };
            match occurrence {
                Occurrence::Alarm => {}
                Occurrence::Came(Delivery::Asked(demand)) => self.asked(demand),
                Occurrence::Came(Delivery::Done(done)) => self.finish(done),
                Occurrence::Came(Delivery::Observed(observed)) => self.observe(observed),
                Occurrence::Bell => self.reader.rung(),
                Occurrence::Heard => self.hear(),
                Occurrence::Conflicts => {
                    for change in self.conflicts.take_changes() {
                        self.actor.note_conflict(change, &mut self.view);
                    }
                }
                Occurrence::Found(finding) => self.actor.note_finding(finding, &mut self.view),
                Occurrence::Signal(Received::Hangup) => self.reloader.ask(Asker::hangup()),
                Occurrence::Signal(Received::Stop(signal)) => {
                    tracing::info!("{signal}: stopping");
                    Box::pin(self.stop()).await;
                    return Ok(());
                }
            }
            self.advance();
            self.look_after_reload();
            self.tell_when_ready();
            self.act().await;
        }
    }

    /// When the loop has something to do by itself.
    fn wake_at(&self) -> Timestamp {
        let at = self.reader.due().min(self.next_second);
        let others = [self.engine.poll_timeout(), self.actor.records_due()];
        others.into_iter().flatten().fold(at, Timestamp::min)
    }

    /// Does what the time asks for.
    fn advance(&mut self) {
        // Before the maps are read: a trial must not be called late by a clock that
        // is ahead of the reading.
        let now = datapath::now();
        if now >= self.reader.due() {
            let wanted = self.reader.wanted(now);
            let closely = self.engine.watched_closely();
            let scope = Scope {
                everyone: wanted.everyone,
                depth: wanted.closely,
                closely: &closely,
            };
            let reading = self.datapath.tick(scope, now);
            self.engine.handle(Input::Reading(reading), now);
            let took = datapath::now().since(now);
            self.reader
                .has_read(now, took, wanted, self.engine.attention());
        }
        if self.engine.poll_timeout().is_some_and(|at| at <= now) {
            self.engine.handle(Input::Wake, now);
        }
        if now >= self.next_second {
            self.next_second = rhythm::next(self.next_second, SECOND, now);
            self.every_second(now);
        }
    }

    /// Carries out what the core decided. Level changes go out first; what is to be
    /// written down waits until the tasks that carry them have run. So have those that
    /// answer operators: a loop that always has something to do must not silence them.
    async fn act(&mut self) {
        while let Some(command) = self.engine.next_command() {
            match command {
                Command::SetLevel {
                    prefix,
                    level,
                    reason,
                } => self.actor.set_level(prefix, level, &reason, &mut self.view),
                Command::Probe {
                    service,
                    burst,
                    count,
                    purpose,
                } => self.launcher.launch(service, burst, count, purpose),
                Command::CollectEvidence { service, kind } => {
                    let now = datapath::now();
                    if let Some(sample) = self.datapath.evidence(service, kind, now) {
                        let evidence = Evidence {
                            service,
                            kind,
                            sample,
                        };
                        self.engine.handle(Input::Evidence(evidence), now);
                    }
                }
                Command::SetDeadline { service, deadline } => {
                    self.set_deadline(service, deadline);
                }
                Command::CheckSensor => {
                    let sensor = self.datapath.sensor();
                    self.engine.handle(Input::Sensor(sensor), datapath::now());
                }
                Command::Record(event) => self.actor.note(&event, &mut self.view),
            }
        }
        tokio::task::yield_now().await;
        let now = datapath::now();
        if self.actor.records_due().is_none_or(|due| due > now) {
            return;
        }
        for (at, record) in self.actor.take_records(RECORDS) {
            log::log(&record);
            self.journal.append(at, &record);
        }
    }

    fn asked(&mut self, demand: Demand) {
        match demand {
            Demand::Order(asked) => self.ordered(asked),
            Demand::Reload(asker) => self.reloader.ask(asker),
            Demand::Native(asked) => self.attach_native(asked),
        }
    }

    fn finish(&mut self, ends: Vec<Done>) {
        let mut results = Vec::new();
        for done in ends {
            match done {
                Done::Probe(result) => {
                    results.extend(self.launcher.by_present_number(result).map(Input::Probe));
                }
                Done::Read(read) => self.has_read(*read),
                Done::Set(done) => {
                    if let Some(change) = done.change() {
                        let news = self.closed_loop.ordered(change);
                        self.actor.note_traffic(news, &mut self.view);
                    }
                    self.actor.finish_set(done, &mut self.view);
                    self.keeper.hurry(datapath::now());
                }
            }
        }
        if !results.is_empty() {
            self.engine.handle_all(results, datapath::now());
        }
    }

    /// Tells the core who else announces, where that is new.
    fn hear(&mut self) {
        let now = datapath::now();
        let inputs = self.hearsay.inputs(now);
        if !inputs.is_empty() {
            self.engine.handle_all(inputs, now);
        }
    }

    fn observe(&mut self, observations: Vec<Observation>) {
        let mut inputs = Vec::with_capacity(observations.len());
        let mut prefixes = Vec::with_capacity(observations.len());
        for Observation {
            prefix,
            observed,
            at,
        } in observations
        {
            let Some(prefix) = self.actor.routes().inner(prefix) else {
                continue;
            };
            self.actor.record(
                at,
                Record::RouteObserved {
                    prefix: self.actor.names().prefix(prefix),
                    level: observed,
                },
            );
            self.closed_loop.stands(prefix, observed);
            inputs.push(Input::Route { prefix, observed });
            prefixes.push(prefix);
        }
        self.engine.handle_all(inputs, datapath::now());
        for prefix in prefixes {
            if let Some(level) = self.engine.kept(prefix) {
                self.actor.keep_level(prefix, level);
            }
        }
    }

    /// Everything that is not on the way of a decision.
    fn every_second(&mut self, now: Timestamp) {
        self.look_after_hooks();
        self.hear();
        self.journal.retry();
        self.keeper.look(&self.engine, &self.datapath, now);
        self.learn_deadlines(now);
        self.engine
            .handle(Input::Uplinks(self.datapath.uplinks()), now);
        let (traffic, counters) = (self.datapath.traffic(), self.datapath.counters());
        self.datapath.adapt(&counters, now);
        let services = &self.settings.core.services;
        let news = self
            .closed_loop
            .every_second(now, services, &traffic, &counters);
        for news in news {
            self.actor.note_traffic(news, &mut self.view);
        }
        if now >= self.view_due {
            self.view.publish(
                now,
                Sources {
                    engine: &self.engine,
                    sensor: &self.sensor,
                    datapath: &self.datapath,
                    traffic: &traffic,
                    counters: &counters,
                    journal_trouble: self.journal.trouble(),
                    bird: self.closed_loop.picture(),
                },
            );
            // That of ten thousand prefixes takes its time.
            let rest = datapath::now().since(now).saturating_mul(VIEW_LOAD);
            self.view_due = now.after(rest.min(OLDEST_VIEW));
        }
        self.beat();
    }

    fn journal_start(&mut self) {
        let core = &self.settings.core;
        let now = datapath::now();
        self.actor.record(
            now,
            Record::Started {
                version: env!("CARGO_PKG_VERSION"),
                mode: core.mode,
                config: self.actor.names().config().to_owned(),
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
        self.tell_of_hooks(&[]);
    }
}
