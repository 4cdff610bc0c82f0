//! `cargo xtask bench routes`: thousands of prefixes at one host.
//!
//! ```text
//! bench-routes PREFIXES ROUNDS SECONDS
//! ```

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail};
use lapwing_tests::{many, outcome};

fn main() -> ExitCode {
    outcome::of("benchmark", bench)
}

fn bench(arguments: &[String]) -> Result<()> {
    let [prefixes, rounds, seconds] = arguments else {
        bail!("bench-routes PREFIXES ROUNDS SECONDS");
    };
    let prefixes = prefixes.parse().context("PREFIXES is a number")?;
    let rounds = rounds.parse().context("ROUNDS is a number")?;
    let seconds = seconds.parse().context("SECONDS is a number")?;
    print!(
        "{}",
        many::measure(prefixes, rounds, Duration::from_secs(seconds))?
    );
    Ok(())
}
