//! `lapwing simulate`: scenarios flow in, how often and how quickly the decision core
//! acts in them flows out.
//!
//! ```text
//! calm, fault ─▶ script ─▶ site ─▶ passage ─▶ kernel ─▶ Reading ─▶ Engine ─▶ Command ─▶ finding ─▶ report
//!                (what)   (draws)  (time)     (rings)     ▲                    │
//!                                                         └──── host: probes, levels
//! bare ─────────────────────────────────────────────────────▶ Detector ───────▶ finding
//! ```
//!
//! The core is the daemon's own, with the daemon's own defaults, rings, and pace; all
//! else is drawn by chance, from a seed. The same seed gives the same text, byte for
//! byte, with any number of threads.

mod bare;
mod behaviour;
mod calm;
mod comparison;
mod draw;
mod fault;
mod finding;
mod host;
mod illustrations;
mod jobs;
mod kernel;
mod page;
mod passage;
mod progress;
mod report;
mod script;
mod setup;
mod site;
#[cfg(test)]
mod tests;
mod theory;
mod trace;

use std::{ops::Range, time::Duration};

use probe_core::{Level, Timestamp};

use bare::Bare;
use calm::Calm;
use draw::Draw;
use fault::Fault;
use finding::{Finding, Group};
use host::{Host, MIDNIGHT};
pub use illustrations::Illustrations;
use passage::{Closeness, Passage};
#[cfg(test)]
pub use report::Document;
pub use report::Report;
use setup::{Probed, Profile, SERVICES};

/// Rates of the calm scenarios, in trials per second and service.
const RATES: [f64; 3] = [10.0, 100.0, 1000.0];
/// Days of one host in one go: enough for a yesterday, and some to share out.
const STRETCH_DAYS: f64 = 7.5;
/// A host gets to know its services before it counts.
const WARM_UP: Duration = Duration::from_mins(45);
const DAY_SECONDS: f64 = 86_400.0;

/// What is simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Names of scenarios, with or without a rate; all of them if there are none.
    pub scenarios: Vec<String>,
    /// Where all chance comes from.
    pub seed: u64,
    /// Days of all services together, in each calm scenario at each rate.
    pub service_days: f64,
    /// Times that each fault happens, at each rate.
    pub runs: u64,
    /// Alarms of each bare detector.
    pub alarms: u64,
    /// Threads.
    pub jobs: usize,
    /// What earlier runs found: those scenarios are not simulated again.
    pub known: Vec<Report>,
}

impl Options {
    /// Two years of calm, and faults enough for a hundredth.
    pub fn thorough() -> Self {
        Self {
            scenarios: Vec::new(),
            seed: 1,
            service_days: 730.5,
            runs: 500,
            alarms: 2000,
            jobs: 1,
            known: Vec::new(),
        }
    }

    /// A few seconds' worth.
    pub fn quick() -> Self {
        Self {
            service_days: 1.0,
            runs: 10,
            alarms: 50,
            ..Self::thorough()
        }
    }
}

/// Why nothing was simulated.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Nobody knows it.
    #[error("no scenario is called {0}\nhelp: `lapwing simulate --list` names them all")]
    UnknownScenario(String),
    /// Of an earlier run, perhaps of another version.
    #[error(
        "no scenario is called {0} any more, of which an earlier run tells\nhelp: simulate it again, with this version"
    )]
    GoneScenario(String),
    /// They are not parts of one.
    #[error(
        "an earlier run had the seed {earlier}, and this one has {seed}\nhelp: give both the same with `--seed`"
    )]
    OtherSeed {
        /// Of the run before.
        earlier: u64,
        /// Of this one.
        seed: u64,
    },
}

/// One scenario at one rate.
#[derive(Clone, Copy, Debug)]
enum Scenario {
    Calm(&'static Calm, f64),
    Fault(&'static Fault, f64),
    Bare(&'static Bare, f64),
}

impl Scenario {
    fn all() -> Vec<Self> {
        let calm = Calm::ALL
            .iter()
            .flat_map(|calm| RATES.map(|rate| Self::Calm(calm, rate)));
        let faults = Fault::ALL.iter().flat_map(|fault| {
            fault
                .rates
                .iter()
                .map(move |rate| Self::Fault(fault, *rate))
        });
        let bare = Bare::ALL.iter().map(|bare| Self::Bare(bare, 1000.0));
        calm.chain(faults).chain(bare).collect()
    }

    fn parts(self) -> (&'static str, &'static str, f64) {
        match self {
            Self::Calm(calm, rate) => (calm.name, calm.about, rate),
            Self::Fault(fault, rate) => (fault.name, fault.about, rate),
            Self::Bare(bare, rate) => (bare.name, bare.about, rate),
        }
    }

    fn name(self) -> String {
        let (name, _, rate) = self.parts();
        format!("{name}@{}", rate_name(rate))
    }

    fn is_called(self, asked: &str) -> bool {
        self.parts().0 == asked || self.name() == asked
    }
}

/// The scenarios and what happens in them, for people.
pub fn list() -> String {
    let mut rows: Vec<(&str, &str, Vec<String>)> = Vec::new();
    for scenario in Scenario::all() {
        let (name, about, rate) = scenario.parts();
        let rate = rate_name(rate);
        match rows.last_mut().filter(|(last, ..)| *last == name) {
            Some((_, _, rates)) => rates.push(rate),
            None => rows.push((name, about, vec![rate])),
        }
    }
    let rows = rows
        .into_iter()
        .map(|(name, about, rates)| vec![name.to_owned(), rates.join(" "), about.to_owned()]);
    crate::status::columns(&["SCENARIO", "TRIALS/S", "WHAT HAPPENS"], rows)
}

/// Simulates, and reports.
pub fn run(options: &Options) -> Result<Report, Error> {
    let scenarios = chosen(&options.scenarios)?;
    let mut findings = known(&scenarios, options)?;
    let tasks: Vec<Task> = scenarios
        .iter()
        .enumerate()
        .filter(|(index, _)| findings[*index].is_none())
        .flat_map(|(index, scenario)| tasks(index, *scenario, options))
        .collect();
    let parts = jobs::run(options.jobs, &tasks, &|task, progress| {
        (task.index, task.run(options, progress))
    });
    for (index, part) in parts {
        match &mut findings[index] {
            Some(finding) => finding.add(part),
            empty @ None => *empty = Some(part),
        }
    }
    let mut findings: Vec<Finding> = findings.into_iter().flatten().collect();
    for finding in &mut findings {
        if finding.group == Group::Calm {
            finding.bound();
        }
    }
    Ok(Report {
        seed: options.seed,
        findings,
    })
}

/// What earlier runs found, by scenario.
fn known(scenarios: &[Scenario], options: &Options) -> Result<Vec<Option<Finding>>, Error> {
    let mut findings = vec![None; scenarios.len()];
    for earlier in &options.known {
        if earlier.seed != options.seed {
            return Err(Error::OtherSeed {
                earlier: earlier.seed,
                seed: options.seed,
            });
        }
        for finding in &earlier.findings {
            if !Scenario::all()
                .into_iter()
                .any(|scenario| scenario.name() == finding.name)
            {
                return Err(Error::GoneScenario(finding.name.clone()));
            }
            let place = scenarios
                .iter()
                .position(|scenario| scenario.name() == finding.name);
            if let Some(index) = place {
                findings[index] = Some(finding.clone());
            }
        }
    }
    Ok(findings)
}

fn chosen(asked: &[String]) -> Result<Vec<Scenario>, Error> {
    let all = Scenario::all();
    let is_known = |asked: &&String| all.iter().any(|scenario| scenario.is_called(asked));
    if let Some(unknown) = asked.iter().find(|asked| !is_known(asked)) {
        return Err(Error::UnknownScenario(unknown.clone()));
    }
    let is_asked =
        |scenario: &Scenario| asked.is_empty() || asked.iter().any(|name| scenario.is_called(name));
    Ok(all.into_iter().filter(is_asked).collect())
}

/// A part of a scenario that depends on no other.
#[derive(Clone, Copy, Debug)]
struct Task {
    index: usize,
    scenario: Scenario,
    /// Which host of a calm scenario, and for how many days.
    stretch: u64,
    days: f64,
}

fn tasks(index: usize, scenario: Scenario, options: &Options) -> Vec<Task> {
    let task = Task {
        index,
        scenario,
        stretch: 0,
        days: 0.0,
    };
    match scenario {
        Scenario::Fault(..) | Scenario::Bare(..) => vec![task],
        Scenario::Calm(..) => {
            let days = options.service_days / f64::from(SERVICES);
            let mut stretches = 1_u32;
            while days / f64::from(stretches) > STRETCH_DAYS {
                stretches += 1;
            }
            (0..stretches)
                .map(|stretch| Task {
                    stretch: u64::from(stretch),
                    days: days / f64::from(stretches),
                    ..task
                })
                .collect()
        }
    }
}

impl Task {
    fn run(&self, options: &Options, progress: &dyn Fn(f64)) -> Finding {
        match self.scenario {
            Scenario::Calm(calm, rate) => self.calm(calm, rate, options.seed, progress),
            Scenario::Fault(fault, rate) => {
                fault.measure(rate, options.runs, options.seed, progress)
            }
            Scenario::Bare(bare, rate) => bare.measure(rate, options.alarms, options.seed),
        }
    }

    fn calm(&self, calm: &Calm, rate: f64, seed: u64, progress: &dyn Fn(f64)) -> Finding {
        let name = self.scenario.name();
        let begin = MIDNIGHT.after(WARM_UP);
        let span = begin..begin.after(Duration::from_secs_f64(self.days * DAY_SECONDS));
        let mut host = calm_host(calm, rate, seed, self.stretch, &span);
        let mut passage = Passage::new(&host, Closeness::AsNeeded);
        passage.run(&mut host, span.start, &|_| false);
        host.suspicions = 0;
        let mut finding = Finding::new(name, Group::Calm, calm.about, rate);
        let hours = (self.days * 24.0).max(1.0);
        let mut until = span.start;
        while until < span.end {
            until = until.after(Duration::from_hours(1)).min(span.end);
            passage.run(&mut host, until, &|_| false);
            progress(1.0 / hours);
        }
        finding.service_days = self.days * f64::from(SERVICES);
        finding.suspicions = host.suspicions;
        for change in &host.changes {
            match change.level {
                Level::Full => {}
                Level::Degraded => finding.degraded += 1,
                Level::Withdrawn => {
                    finding.false_withdrawals += 1;
                    finding.violations.push(format!(
                        "withdrawn {:.3} days after the beginning: {}",
                        change.at.since(span.start).as_secs_f64() / DAY_SECONDS,
                        change.reason.sentence()
                    ));
                }
            }
        }
        finding
    }
}

fn calm_host(calm: &Calm, rate: f64, seed: u64, stretch: u64, span: &Range<Timestamp>) -> Host {
    let name = format!("{}@{}", calm.name, rate_name(rate));
    let scripts = (0..u64::from(SERVICES))
        .map(|service| {
            let mut draw = Draw::new(seed, &name, &[stretch, service]);
            calm.script(rate, span, &mut draw)
        })
        .collect();
    Host::new(
        setup::host(Profile::Default, Probed::Tcp),
        scripts,
        Draw::new(seed, &name, &[stretch]),
    )
}

/// A rate as it is written in names.
fn rate_name(rate: f64) -> String {
    if rate >= 1.0 {
        format!("{rate:.0}")
    } else {
        format!("{:.0}/min", rate * 60.0)
    }
}
