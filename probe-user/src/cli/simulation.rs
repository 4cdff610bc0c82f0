//! `lapwing simulate` on the command line: arguments flow in, a report flows out.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{print, write};
use crate::{daemon::Failure, simulate};

/// Said below the arguments.
pub const HELP: &str = "\
Exit codes: 0 every scenario went as it must; 1 one did not: a service that was well was
withdrawn, or a fault was missed or took too long; 2 mistake on the command line.";

/// What is simulated, and what is shown of it.
#[derive(Debug, Args)]
pub struct Simulate {
    /// Simulate only this scenario, as `gaps` or `gaps@100` (trials per second); may be
    /// repeated.
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<String>,
    /// Name the scenarios and what happens in them.
    #[arg(long)]
    list: bool,
    /// A few service-days instead of two service-years: seconds instead of minutes.
    #[arg(long)]
    quick: bool,
    /// Where all chance comes from: the same seed gives the same text.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Service-days of each calm scenario at each rate.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    days: Option<u32>,
    /// The same in months.
    #[arg(long, value_name = "N", conflicts_with = "days", value_parser = clap::value_parser!(u32).range(1..))]
    months: Option<u32>,
    /// Take these scenarios from an earlier run's `--json` instead of simulating them
    /// again; may be repeated. So a run of hours can be made in parts.
    #[arg(long = "with", value_name = "FILE")]
    known: Vec<PathBuf>,
    /// Threads; as many as there are processors by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
    /// Write a page with plots, too: one file that needs no other.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the plots and tables of the documentation into this directory, too.
    #[arg(long, value_name = "DIR")]
    docs: Option<PathBuf>,
}

impl Simulate {
    fn options(&self) -> Result<simulate::Options, Failure> {
        let options = if self.quick {
            simulate::Options::quick()
        } else {
            simulate::Options::thorough()
        };
        let days = self.days.map(f64::from);
        let months = self.months.map(|months| f64::from(months) * 365.25 / 12.0);
        let known = self.known.iter().map(|file| read(file));
        Ok(simulate::Options {
            known: known.collect::<Result<_, _>>()?,
            scenarios: self.scenarios.clone(),
            seed: self.seed,
            service_days: days.or(months).unwrap_or(options.service_days),
            jobs: self.jobs.map_or_else(
                || std::thread::available_parallelism().map_or(1, usize::from),
                usize::from,
            ),
            ..options
        })
    }
}

/// An earlier run's results.
fn read(file: &Path) -> Result<simulate::Report, Failure> {
    let mistake = |trouble: &dyn core::fmt::Display| {
        Failure::Mistake(format!(
            "error: {}: {trouble}\nhelp: name a file that `lapwing simulate --json` wrote",
            file.display()
        ))
    };
    let text = std::fs::read_to_string(file).map_err(|error| mistake(&error))?;
    simulate::Report::from_json(&text).map_err(|error| mistake(&error))
}

/// Simulates, prints, and fails if a scenario did not go as it must.
pub fn simulate(asked: &Simulate) -> Result<(), Failure> {
    if asked.list {
        return print(&simulate::list());
    }
    let options = asked.options()?;
    let report =
        simulate::run(&options).map_err(|error| Failure::Mistake(format!("error: {error}")))?;
    if asked.html.is_some() || asked.docs.is_some() {
        let illustrations = simulate::Illustrations::new(&options);
        if let Some(file) = &asked.html {
            write(file, &report.page(&illustrations))?;
        }
        if let Some(directory) = &asked.docs {
            let documents = report
                .documents(&illustrations)
                .map_err(anyhow::Error::from)?;
            for (name, text) in documents {
                write(&directory.join(name), &text)?;
            }
        }
    }
    if asked.json {
        print(&report.json().map_err(anyhow::Error::from)?)?;
    } else {
        print(&report.table())?;
    }
    match report.violations().count() {
        0 => Ok(()),
        1 => Err(anyhow::anyhow!("1 expectation was not met").into()),
        count => Err(anyhow::anyhow!("{count} expectations were not met").into()),
    }
}
