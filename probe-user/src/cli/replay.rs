//! `lapwing replay` on the command line: arguments flow in, a report flows out.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{print, write};
use crate::{
    config::Settings,
    daemon::Failure,
    replay::{self, Chosen, Probes, services},
};

/// Said below the arguments.
pub const HELP: &str = "\
Decisions are those of mode observe: what would have been done, on traffic that went on as if
nothing was. Without a configuration every address stands in a prefix of its own. Probes
cannot be asked in the past, so a suspicion acts only where the rate of successes agrees;
`--assume-probes` says otherwise.

A capture that is truncated or damaged is measured as far as it can be read; a warning on
stderr says where that is, and the exit code is 0. So it is whatever would have been decided.

Exit codes: 0 done; 1 the file cannot be read, is no capture, or cannot be measured, or the
page cannot be written; 2 mistake in the configuration or on the command line.";

/// What is replayed, and what is shown of it.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own on the command line"
)]
pub struct Replay {
    /// The capture: pcap or pcapng, not compressed.
    file: PathBuf,
    /// Measure and judge by this configuration: its services, prefixes and thresholds.
    /// Without prefixes in it, services are named or found.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Measure this service, as `192.0.2.1:80/tcp` or `[2001:db8::1]:53/udp`; may be
    /// repeated. What it speaks may follow, as `/dns`, `/quic` or `/http`; without it,
    /// the port tells. Without any service, whoever answers in the capture is measured.
    #[arg(long = "service", value_name = "ADDR:PORT/PROTO", value_parser = services::parse)]
    services: Vec<services::Service>,
    /// When an unanswered trial is late; 200ms if neither this nor a configuration says so.
    #[arg(long, value_name = "TIME", value_parser = deadline)]
    deadline: Option<Duration>,
    /// Take probes to meet what the clients of the same moment met.
    #[arg(long)]
    assume_probes: bool,
    /// Measure with the host build of the programs: needs no privilege.
    #[arg(long)]
    host: bool,
    /// Print what /metrics would show at the end.
    #[arg(long)]
    metrics: bool,
    /// Print the summary as JSON.
    #[arg(long, conflicts_with = "metrics")]
    json: bool,
    /// Write a page with plots, too: one file that needs no other.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// The bounds of the configuration's `deadline`.
fn deadline(text: &str) -> Result<Duration, String> {
    let deadline = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_millis(10)..=Duration::from_secs(30)).contains(&deadline) {
        Ok(deadline)
    } else {
        Err("a deadline is from 10ms to 30s".to_owned())
    }
}

impl Replay {
    fn options(self) -> Result<replay::Options, Failure> {
        let settings = match &self.config {
            // Another host's interfaces need not be here.
            Some(path) => Settings::load(path, &|_| true)?,
            None => Settings::without_file(),
        };
        let is_given = !self.services.is_empty() || self.deadline.is_some();
        if is_given && !settings.core.services.is_empty() {
            return Err(Failure::Mistake(
                "error: the configuration has services of its own\nhelp: leave out --service and --deadline, or --config".to_owned(),
            ));
        }
        Ok(replay::Options {
            file: self.file,
            settings,
            services: self.services,
            deadline: self.deadline,
            probes: if self.assume_probes {
                Probes::LikeClients
            } else {
                Probes::Unasked
            },
            host: self.host,
        })
    }
}

/// Replays, and tells.
pub fn replay(asked: Replay) -> Result<(), Failure> {
    let (metrics, json, html) = (asked.metrics, asked.json, asked.html.clone());
    let report = replay::run(&asked.options()?).map_err(anyhow::Error::from)?;
    if report.chosen == Chosen::Found {
        let services: Vec<&str> = report.services().collect();
        eprintln!("found {} services: {}", services.len(), services.join(" "));
    }
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    if let Some(file) = &html {
        write(file, &report.page())?;
    }
    if metrics {
        print(&report.metrics())
    } else if json {
        print(&report.json().map_err(anyhow::Error::from)?)
    } else {
        print(&report.table())
    }
}
