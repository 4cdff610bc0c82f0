//! `lapwing journal` on the command line, and where every command finds the journal.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::print;
use crate::{
    config::{self, Settings},
    daemon::Failure,
    journal::{self, read::Reader, summary::summarize, verify::verify},
};

const VERIFY_HELP: &str = "\
Gaps that the journal names itself, torn lines after a crash of the host, and old records
without a hash are told and are no break. The chain shows neither records taken off the end
nor a chain that was written anew: compare the printed hash with one kept elsewhere, as in
the daemon's log.

Exit codes: 0 the chain is whole; 1 a file cannot be read; 2 mistake on the command line; 3 a
link is broken.";

const SUMMARY_HELP: &str = "\
In mode observe, \"would have withdrawn\" is what mode enforce would have done; several causes at
once count as one.

Exit codes: 0 done; 1 a file cannot be read; 2 mistake on the command line.";

/// What is asked of the journal.
#[derive(Debug, Subcommand)]
pub enum Asked {
    /// Check that no record was removed, changed or moved.
    #[command(after_help = VERIFY_HELP)]
    Verify {
        /// These files alone, in any order; the whole journal if none are given.
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        whose: Whose,
        /// Print what was found as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tell what was done, what mode observe would have done, and who held what.
    #[command(after_help = SUMMARY_HELP)]
    Summary {
        /// These files alone, in any order; the whole journal if none are given.
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        whose: Whose,
        /// Only what was written in the last of this time, such as `7d`.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        since: Option<Duration>,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Whose journal.
#[derive(Debug, Args)]
pub struct Whose {
    /// Take the state directory from this file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Whose {
    /// The files, or the whole journal.
    pub fn open(&self, files: &[PathBuf]) -> Result<Reader, Failure> {
        if !files.is_empty() {
            return Ok(Reader::of_files(files).map_err(anyhow::Error::from)?);
        }
        let daemon = match &self.config {
            // Whether an interface still exists does not matter to what was.
            Some(path) => Settings::load(path, &|_| true)?.daemon,
            None => config::Daemon::default(),
        };
        let path = daemon.state_dir.join(journal::FILE);
        Ok(Reader::of_journal(&path).map_err(anyhow::Error::from)?)
    }
}

/// Answers.
pub fn journal(asked: &Asked) -> Result<(), Failure> {
    match asked {
        Asked::Verify { files, whose, json } => {
            let report = verify(&whose.open(files)?).map_err(anyhow::Error::from)?;
            print(&shown(&report, *json, || report.text())?)?;
            match report.broken {
                Some(_) => Err(Failure::Found),
                None => Ok(()),
            }
        }
        Asked::Summary {
            files,
            whose,
            since,
            json,
        } => {
            let since = since.and_then(|since| SystemTime::now().checked_sub(since));
            let summary = summarize(&whose.open(files)?, since).map_err(anyhow::Error::from)?;
            print(&shown(&summary, *json, || summary.text())?)
        }
    }
}

/// As JSON, or in words.
pub fn shown(
    what: &impl Serialize,
    json: bool,
    words: impl FnOnce() -> String,
) -> Result<String, Failure> {
    if json { as_json(what) } else { Ok(words()) }
}

/// As JSON.
pub fn as_json(what: &impl Serialize) -> Result<String, Failure> {
    Ok(serde_json::to_string_pretty(what).map_err(anyhow::Error::from)? + "\n")
}
