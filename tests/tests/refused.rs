//! A killed server: clients are refused, the prefixes of the site go.
//!
//! ```text
//!  clients ══1000/s══ upstream ──(capture)── fra1   nginx killed, lapwing (fast)
//!             per family  └───────────────── ams1
//! ```

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    lapwing::Settings,
    load::Plan,
    topology::{Lab, Site},
    withdrawal::{Fault, Sample, measure},
};

/// The promise is 30 ms in the median; a busy CI machine gets four times that.
const MEDIAN_BOUND_MS: f64 = 120.0;

#[test]
fn killed_server_is_withdrawn_in_tens_of_milliseconds() -> Result<()> {
    let runs: usize = std::env::var("LAPWING_RUNS").map_or(Ok(10), |runs| runs.parse())?;
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    // Half of the clients reach each site.
    let _load = lab.load(Plan::steady(2000))?;
    let mut figures = Vec::new();
    for run in 1..=runs {
        for withdrawal in measure(&mut lab, Fault::Refused, &Settings::fast())? {
            println!(
                "run {run} {}: {:.1} ms, because {}",
                withdrawal.family,
                withdrawal.millis(),
                withdrawal
                    .decision
                    .as_ref()
                    .map_or("?", |decision| decision.text("sentence")),
            );
            figures.push(withdrawal.millis());
        }
    }
    let bare: Vec<f64> = measure(&mut lab, Fault::RouteDelete, &Settings::fast())?
        .iter()
        .map(lapwing_tests::lab::withdrawal::Withdrawal::millis)
        .collect();
    let figures = Sample::new(figures);
    println!(
        "refused, fast, 1000/s per service: median {:.1} ms, max {:.1} ms of {}; bare route delete {bare:.2?} ms",
        figures.median(),
        figures.max(),
        figures.len(),
    );
    ensure!(
        figures.median() <= MEDIAN_BOUND_MS,
        "median {:.1} ms",
        figures.median()
    );
    Ok(())
}
