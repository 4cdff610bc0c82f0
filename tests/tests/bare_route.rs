//! The lab itself, without the daemon: what a bare route delete does and how fast.
//!
//! ```text
//!  clients ── upstream ──(capture)── fra1   ip route del … table 4242
//!                 └───────────────── ams1
//! ```
//! Every other test measures against this path: kernel table, BIRD, BGP, and the
//! upstream's link.

use std::time::Duration;

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    bgp::Change,
    clock::millis_between,
    load::Plan,
    topology::{Family, Lab, Site},
};

#[test]
fn route_delete_is_heard_upstream_and_moves_the_clients() -> Result<()> {
    let lab = Lab::start()?;
    for site in Site::ALL {
        lab.announce(site)?;
    }
    let load = lab.load(Plan::steady(500))?;
    let before = load.wait_served_by(&Site::ALL, Duration::from_secs(10))?;
    println!("both sites: {before:?}");

    let heard = lab.capture(Site::Fra1)?;
    let routes = lab.fra1.watch_routes()?;
    let deleted = lab.fra1.delete_routes()?;
    let withdrawn = heard.wait_for_all(&Family::withdraws(), Duration::from_secs(5))?;
    for (family, heard) in Family::ALL.into_iter().zip(withdrawn) {
        let gone = routes.wait_for(family.network(), false, Duration::from_secs(5))?;
        println!(
            "{family}: command to kernel {:.2} ms, to the upstream's link {:.2} ms",
            millis_between(deleted, gone.at),
            millis_between(deleted, heard),
        );
        ensure!(
            millis_between(deleted, heard) < 100.0,
            "{family}: the withdraw was slow"
        );
    }
    load.wait_served_by(&[Site::Ams1], Duration::from_secs(5))?;
    for family in Family::ALL {
        ensure!(
            !lab.hears(Site::Fra1, family)?,
            "{family}: the upstream still has fra1's route"
        );
        ensure!(
            lab.hears(Site::Ams1, family)?,
            "{family}: the upstream lost ams1's route"
        );
    }

    lab.announce(Site::Fra1)?;
    heard.wait_for_all(
        &Family::ALL.map(|family| Change::Announce(family.network())),
        Duration::from_secs(5),
    )?;
    load.wait_served_by(&Site::ALL, Duration::from_secs(5))?;
    Ok(())
}

#[test]
fn clients_hold_their_rate_and_both_sites_share_it() -> Result<()> {
    let lab = Lab::start()?;
    for site in Site::ALL {
        lab.announce(site)?;
    }
    let load = lab.load(Plan {
        abort_one_in: Some(20),
        ..Plan::steady(2000)
    })?;
    load.wait_served_by(&Site::ALL, Duration::from_secs(10))?;
    let span = Duration::from_secs(5);
    let sum = load.collect(span)?;
    println!("4,000/s for {span:?}: {sum:?}");
    ensure!(sum.failures() == 0, "healthy sites failed clients: {sum:?}");
    let expected = 4000.0 * span.as_secs_f64();
    for (name, count, share) in [
        ("fra1", sum.answers(Site::Fra1), 0.475),
        ("ams1", sum.answers(Site::Ams1), 0.475),
        ("aborted", sum.aborted, 0.05),
    ] {
        let ratio = f64::from(count) / (expected * share);
        ensure!(
            (0.8..1.2).contains(&ratio),
            "{name}: {count}, {ratio:.2} of what is expected"
        );
    }
    Ok(())
}
