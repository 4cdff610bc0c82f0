//! `lapwing explain` on the command line.

use std::{path::PathBuf, str::FromStr};

use clap::Args;

use super::{
    journal::{Whose, shown},
    print,
};
use crate::{
    colours,
    daemon::Failure,
    explain::{self, Id},
};

/// Said below the arguments.
pub const HELP: &str = "\
An ID is the number (seq) of a decision or a hold in the journal, as the log, `lapwing journal
summary` and the journal itself name it.

Exit codes: 0 done; 1 a file cannot be read; 2 mistake on the command line, or no such decision.";

/// What is explained.
#[derive(Debug, Args)]
pub struct Explain {
    /// The number of a decision or a hold, or `last`: the last one that lowered a
    /// prefix, or would have.
    #[arg(value_name = "ID", value_parser = Id::from_str)]
    id: Id,
    /// In these files alone instead of the whole journal; may be repeated.
    #[arg(long = "journal", value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    whose: Whose,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// Explains it.
pub fn explain(asked: &Explain) -> Result<(), Failure> {
    let reader = asked.whose.open(&asked.files)?;
    let told = match explain::explain(&reader, asked.id) {
        Ok(told) => told,
        Err(explain::Error::Journal(error)) => return Err(anyhow::Error::from(error).into()),
        Err(error) => return Err(Failure::Mistake(format!("error: {error}"))),
    };
    let colours = colours::wanted_on(&std::io::stdout());
    print(&shown(&told, asked.json, || {
        explain::text::text(&told, colours)
    })?)
}
