//! `cargo xtask bench daemon`: what the daemon itself costs.
//!
//! ```text
//! bench-daemon SECONDS FAULTS SERVICES...
//! ```

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail};
use lapwing_tests::{cost, outcome};

/// New connections a second.
const RATES: [u32; 2] = [0, 1000];

fn main() -> ExitCode {
    outcome::of("benchmark", bench)
}

fn bench(arguments: &[String]) -> Result<()> {
    let [seconds, faults, services @ ..] = arguments else {
        bail!("bench-daemon SECONDS FAULTS SERVICES...");
    };
    let span = Duration::from_secs(seconds.parse().context("SECONDS is a number")?);
    let faults = faults.parse().context("FAULTS is a number")?;
    for services in services {
        let services = services.parse().context("SERVICES are numbers")?;
        print!("{}", cost::measure_daemon(services, &RATES, span, faults)?);
    }
    Ok(())
}
