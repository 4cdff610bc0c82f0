//! `lapwing doctor` on the command line.

use std::path::PathBuf;

use clap::Args;

use super::{journal::shown, print};
use crate::{
    colours,
    daemon::Failure,
    doctor::{self, Grade},
};

/// Said below the arguments.
pub const HELP: &str = "\
Nothing is changed. Exit codes: 0 nothing must be mended (there may be warnings); 1 this host
cannot be examined; 2 mistake on the command line; 3 something must be mended.";

/// What is examined.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The configuration that the daemon is to run with.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// BIRD's control socket, if not `bird_socket` of the configuration.
    #[arg(long, value_name = "PATH")]
    bird: Option<PathBuf>,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// Examines this host.
pub fn doctor(asked: &Doctor) -> Result<(), Failure> {
    let report = doctor::examine(asked.config.as_deref(), asked.bird.as_deref())?;
    let colours = colours::wanted_on(&std::io::stdout());
    print(&shown(&report, asked.json, || report.text(colours))?)?;
    match report.grade {
        Grade::Ok | Grade::Warn => Ok(()),
        Grade::Fail => Err(Failure::Found),
    }
}
