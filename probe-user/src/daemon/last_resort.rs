//! `lapwing last-resort`: what is left when the daemon does not start any more. In flow the
//! configuration, what stands in the table, what other hosts announce, the orders that the
//! daemon remembered, and one burst of probes; out flow withdraws of what the probes prove
//! to be dead, if the operator wants that, and records in the journal.
//!
//! ```text
//! table, witnesses, memory ─▶ LastResort ─▶ probes ─▶ LastResort ─▶ route control, journal
//! ```
//!
//! Whatever cannot be known, nothing is changed: a file with mistakes, orders that cannot
//! be read, a daemon that runs after all.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use probe_core::{
    Command, Input, LastResort, Level, Reason, Timestamp,
    config::{PrefixId, Service},
    input::ProbeResult,
};
use tokio::sync::mpsc;

use super::{
    Done, Failure,
    heard::Hearsay,
    launch::Launcher,
    lock::Lock,
    log,
    remember::{MemoryFile, Remembered},
    runtime, setup,
    workshop::Workshop,
};
use crate::{
    announce::{Announcer, Observation},
    config::{self, OnWatchdog, Settings},
    datapath::now,
    journal::{
        self, Journal,
        record::{Names, Record},
    },
    probe::Prober,
};

/// The table and the witnesses are read within this time, or not at all.
const LOOK: Duration = Duration::from_secs(5);
/// Ends of probes that wait to be taken.
const DONE: usize = 1024;

/// Does what `on_watchdog` says, and tells what became of every prefix.
pub fn run(config: &Path) -> Result<String, Failure> {
    // Whether an interface still exists does not matter to a probe.
    let settings = Settings::load(config, &|_| true)?;
    let prober = Prober::new(&settings.core.services).map_err(config::Error::from)?;
    let _lock = Lock::take(&settings.daemon.state_dir).map_err(anyhow::Error::from)?;
    let mut book = Book::open(&settings);
    let remembered = MemoryFile::of(&settings.daemon.state_dir).try_read();
    let (sentence, decides) = match (settings.daemon.on_watchdog, remembered) {
        (OnWatchdog::Keep, _) => ("on_watchdog is keep: the routes stay".to_owned(), None),
        (OnWatchdog::Probe, Err(unknown)) => (
            format!("the routes stay, since nobody knows what was ordered: {unknown}"),
            None,
        ),
        (OnWatchdog::Probe, Ok(remembered)) => (
            "on_watchdog is probe: every service is asked once, by three probes".to_owned(),
            Some(remembered),
        ),
    };
    book.note(
        now(),
        &Record::LastResort {
            on_watchdog: settings.daemon.on_watchdog.name(),
            sentence: sentence.clone(),
            config: book.names.config().to_owned(),
        },
    );
    let told = match decides {
        None => Ok(sentence + "\n"),
        Some(remembered) => runtime()?.block_on(async {
            let memory = remembered.map(Remembered::memory);
            let resort = LastResort::new(settings.core.clone(), memory, now());
            let Some(mut scene) = Scene::of(&settings, resort, prober, &mut book).await? else {
                return Ok("no prefix is configured\n".to_owned());
            };
            scene.play().await?;
            scene.told()
        }),
    };
    book.journal.close();
    Ok(told?)
}

/// What is written down, and by which names.
struct Book {
    journal: Journal,
    names: Names,
}

impl Book {
    fn open(settings: &Settings) -> Self {
        Self {
            journal: Journal::open(
                &settings.daemon.state_dir.join(journal::FILE),
                &settings.daemon.site,
                &settings.daemon.host,
                settings.journal,
            ),
            names: Names::new(&settings.core),
        }
    }

    fn note(&mut self, at: Timestamp, record: &Record) {
        log::log(record);
        self.journal.append(at, record);
    }
}

/// Everything that one decision needs.
struct Scene<'a> {
    resort: LastResort,
    announcer: Announcer,
    observations: mpsc::Receiver<Observation>,
    hearsay: Hearsay,
    launcher: Launcher,
    done: mpsc::Receiver<Done>,
    services: &'a [Service],
    /// Probes of each service that failed, and how many were answered.
    answers: Vec<(u32, u32)>,
    prefixes: BTreeMap<PrefixId, Outcome>,
    book: &'a mut Book,
}

/// What became of a prefix.
struct Outcome {
    found: Level,
    /// To which level it was brought, and why; or why that failed.
    set: Option<Result<(Level, String), String>>,
}

impl<'a> Scene<'a> {
    /// Looks at the table and at what other hosts announce; none without prefixes.
    async fn of(
        settings: &'a Settings,
        resort: LastResort,
        prober: Prober,
        book: &'a mut Book,
    ) -> anyhow::Result<Option<Self>> {
        let Some((announcer, mut observations)) = setup::start_announcer(settings).await? else {
            return Ok(None);
        };
        let mut news = setup::start_witness(settings)?;
        if let Some(news) = &mut news {
            // Those who say nothing by then are stale, which holds.
            let read = news.wait_for(|news| !news.is_unread());
            let _ = tokio::time::timeout(LOOK, read).await;
        }
        let services = &settings.core.services;
        let workshop = Workshop::open("probes").context("cannot start a thread for the probes")?;
        let (sender, done) = mpsc::channel(DONE);
        let mut prefixes = BTreeMap::new();
        while prefixes.len() < settings.core.prefixes.len() {
            let Ok(Some(observation)) = tokio::time::timeout(LOOK, observations.recv()).await
            else {
                bail!(
                    "the kernel does not tell what stands in table {}",
                    settings.route.table
                );
            };
            let outcome = Outcome {
                found: observation.observed,
                set: None,
            };
            prefixes.insert(observation.prefix, outcome);
        }
        Ok(Some(Self {
            resort,
            announcer,
            observations,
            hearsay: Hearsay::new(news),
            launcher: Launcher::new(services, prober, workshop, settings.max_probes, sender),
            done,
            answers: vec![(0, 0); services.len()],
            services,
            prefixes,
            book,
        }))
    }

    /// Asks, and does what follows from the answers.
    async fn play(&mut self) -> anyhow::Result<()> {
        self.hear();
        let found: Vec<_> = self
            .prefixes
            .iter()
            .map(|(id, of)| (*id, of.found))
            .collect();
        for (prefix, observed) in found {
            self.resort.handle(Input::Route { prefix, observed }, now());
        }
        self.act().await;
        self.resort.ask(now());
        let mut awaited = self.act().await;
        while awaited > 0 {
            match self.done.recv().await {
                Some(Done::Probe(result)) => {
                    awaited -= 1;
                    self.take(result);
                    self.act().await;
                }
                Some(Done::Read(_) | Done::Set(_)) => {}
                None => bail!("the probes have ended without an answer"),
            }
        }
        while let Some(due) = self.resort.waits_until() {
            tokio::time::sleep(due.since(now())).await;
            while let Ok(observation) = self.observations.try_recv() {
                let Observation {
                    prefix, observed, ..
                } = observation;
                self.resort.handle(Input::Route { prefix, observed }, now());
            }
            self.hear();
            self.resort.handle(Input::Wake, now());
            self.act().await;
        }
        Ok(())
    }

    fn hear(&mut self) {
        let now = now();
        for input in self.hearsay.inputs(now) {
            self.resort.handle(input, now);
        }
    }

    fn take(&mut self, result: ProbeResult) {
        // Who announces may have changed meanwhile, and this answer may decide.
        self.hear();
        if let Some((failed, of)) = self.answers.get_mut(result.service.0 as usize) {
            *failed += u32::from(result.outcome.is_err());
            *of += 1;
        }
        self.resort.handle(Input::Probe(result), now());
    }

    /// Carries out what was decided; tells how many probes were launched.
    async fn act(&mut self) -> u32 {
        let mut launched = 0;
        while let Some(command) = self.resort.next_command() {
            match command {
                Command::SetLevel {
                    prefix,
                    level,
                    reason,
                } => self.set(prefix, level, &reason).await,
                Command::Probe {
                    service,
                    burst,
                    count,
                    purpose,
                } => {
                    self.launcher.launch(service, burst, count, purpose);
                    launched += count;
                }
                Command::Record(event) => {
                    let record = Record::of_event(&event, &self.book.names);
                    self.book.note(now(), &record);
                }
                // Nothing is measured, so none of this is commanded.
                Command::SetDeadline { .. }
                | Command::CollectEvidence { .. }
                | Command::CheckSensor => {}
            }
        }
        launched
    }

    async fn set(&mut self, prefix: PrefixId, level: Level, reason: &Reason) {
        let decided = now();
        let record = Record::of_decision(prefix, level, reason, &self.book.names);
        self.book.note(decided, &record);
        let result = self.announcer.set(prefix, level).await;
        let ended = now();
        let outcome = match &result {
            Ok(()) => Ok((level, reason.sentence())),
            Err(error) => Err(error.to_string()),
        };
        let name = self.book.names.prefix(prefix);
        let record = Record::of_set(name, level, ended.since(decided), result);
        self.book.note(ended, &record);
        if outcome.is_ok() {
            let observed = level;
            self.resort.handle(Input::Route { prefix, observed }, ended);
        }
        if let Some(prefix) = self.prefixes.get_mut(&prefix) {
            prefix.set = Some(outcome);
        }
    }

    /// What the services said and what became of the prefixes, a line each; an error if a
    /// route would not change.
    fn told(&self) -> anyhow::Result<String> {
        let mut lines = Vec::new();
        for (service, (failed, of)) in self.services.iter().zip(&self.answers) {
            lines.push(match of {
                0 => format!("{}: not probed", service.name),
                of => format!("{}: {failed} of {of} probes failed", service.name),
            });
        }
        for (prefix, Outcome { found, set }) in &self.prefixes {
            let name = self.book.names.prefix(*prefix);
            match set {
                None => lines.push(format!("{name}: stays {found}")),
                Some(Ok((level, why))) => lines.push(format!("{name}: {found} -> {level}: {why}")),
                Some(Err(error)) => bail!("{name} stays {found}: {error}"),
            }
        }
        Ok(lines.join("\n") + "\n")
    }
}
