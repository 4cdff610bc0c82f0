//! `lapwing top` on the command line.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{config, daemon::Failure, tui};

/// Said below the arguments.
pub const HELP: &str = "\
q quits, ? shows all keys. Colours are left out where NO_COLOR is set; without a UTF-8 locale,
plain ASCII is drawn.

Exit codes: 0 done; 1 this user may not ask the daemon, or the terminal is gone; 2 mistake on
the command line, or stdout is no terminal.";

/// Whom to show, and how often to ask.
#[derive(Debug, Args)]
pub struct Top {
    /// The daemon's control socket.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// The time from one question to the next, from 200ms to 1m.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_millis(200)..=Duration::from_mins(1)).contains(&interval) {
        Ok(interval)
    } else {
        Err("an interval is from 200ms to 1m".to_owned())
    }
}

/// Shows it.
pub fn top(asked: Top) -> Result<(), Failure> {
    let default = || config::Daemon::default().control;
    let control = asked.control.unwrap_or_else(default);
    tui::run(control, asked.interval).map_err(|error| match error {
        tui::Error::NoTerminal => Failure::Mistake(format!("error: {error}")),
        tui::Error::Control(_) | tui::Error::Terminal(_) => anyhow::Error::from(error).into(),
    })
}
