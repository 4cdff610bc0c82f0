//! `cargo xtask bench dataplane`: what Lapwing costs a packet.
//!
//! ```text
//! bench-dataplane [--rounds N] [--only CASE,CASE...] [--no-live] [--json] [--write DOCUMENT]
//! ```

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use lapwing_tests::bench::{Plan, dataplane};

fn main() -> ExitCode {
    match plan(std::env::args().skip(1)).and_then(|plan| dataplane(&plan)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn plan(mut arguments: impl Iterator<Item = String>) -> Result<Plan> {
    let mut plan = Plan {
        rounds: 15,
        only: Vec::new(),
        live: true,
        json: false,
        document: None,
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => {
                let rounds = arguments.next().context("--rounds takes a number")?;
                plan.rounds = rounds.parse().context("--rounds takes a number")?;
            }
            "--only" => {
                let names = arguments.next().context("--only takes names of cases")?;
                plan.only = names.split(',').map(str::to_owned).collect();
            }
            "--no-live" => plan.live = false,
            "--json" => plan.json = true,
            "--write" => {
                let path = arguments.next().context("--write takes a file")?;
                plan.document = Some(path.into());
            }
            other => bail!("unknown argument {other}"),
        }
    }
    Ok(plan)
}
