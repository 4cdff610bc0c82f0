//! Measures withdrawals and prints a table: fault kind, rate, profile; runs; fault
//! to withdraw heard upstream in milliseconds; and the bare route deletes made
//! between the same runs.
//!
//! ```text
//! measure [RUNS [RATE...]]       default: 10 runs at 1000 and 50 connects/s
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result};
use lapwing_tests::lab::{
    faults::Direction,
    lapwing::Settings,
    load::Plan,
    topology::{Lab, Site},
    withdrawal::{Fault, Sample, Withdrawal, measure},
};

const FAULTS: [Fault; 3] = [
    Fault::Refused,
    Fault::Silent(Direction::Inward),
    Fault::Silent(Direction::Outward),
];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let runs: usize = arguments
        .next()
        .map_or(Ok(10), |runs| runs.parse())
        .context("RUNS")?;
    let mut rates: Vec<u32> = arguments
        .map(|rate| rate.parse())
        .collect::<Result<_, _>>()
        .context("RATE")?;
    if rates.is_empty() {
        rates = vec![1000, 50];
    }
    // The same deadline in both profiles, so that they differ in patience only.
    let fast = Settings::fast();
    let default = Settings {
        profile: "default",
        ..Settings::fast()
    };
    println!(
        "Fault to withdraw heard on the upstream's link, ms; deadline {} ms; IPv4 and IPv6 together",
        fast.deadline.as_millis()
    );
    println!(
        "{:<18}{:>7}{:>10}{:>5}{:>10}{:>10}{:>10}   {:<20}",
        "fault", "rate/s", "profile", "n", "median", "p99", "max", "bare delete: median/max"
    );
    for rate in rates {
        for settings in [&fast, &default] {
            for fault in FAULTS {
                row(rate, settings, fault, runs)?;
            }
        }
    }
    Ok(())
}

fn row(rate: u32, settings: &Settings, fault: Fault, runs: usize) -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    // Half of the clients reach each site.
    let load = lab.load(Plan::steady(rate * 2))?;
    load.wait_served_by(&[Site::Ams1], Duration::from_secs(10))?;
    let (mut figures, mut bare) = (Vec::new(), Vec::new());
    let mut slowest: Option<Withdrawal> = None;
    for _ in 0..runs {
        for withdrawal in measure(&mut lab, fault, settings)? {
            figures.push(withdrawal.millis());
            if slowest
                .as_ref()
                .is_none_or(|slowest| slowest.millis() < withdrawal.millis())
            {
                slowest = Some(withdrawal);
            }
        }
        bare.extend(
            measure(&mut lab, Fault::RouteDelete, settings)?
                .iter()
                .map(Withdrawal::millis),
        );
        load.drain();
    }
    let (figures, bare) = (Sample::new(figures), Sample::new(bare));
    println!(
        "{:<18}{rate:>7}{:>10}{:>5}{:>10.1}{:>10.1}{:>10.1}   {:.2} / {:.2}",
        fault.name(),
        settings.profile,
        figures.len(),
        figures.median(),
        figures.percentile(99),
        figures.max(),
        bare.median(),
        bare.max(),
    );
    if let Some(decision) = slowest
        .as_ref()
        .and_then(|slowest| slowest.decision.as_ref())
    {
        println!("  slowest: {}", decision.text("sentence"));
    }
    Ok(())
}
