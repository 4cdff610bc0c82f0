//! The default profile is patient: what operators and strangers do every day costs
//! no withdraw, and a dead server costs about a second more than in the fast profile.
//!
//! ```text
//!  clients (5 % reset midway) ══ upstream ──(capture)── fra1  reload, gaps, lapwing
//!     └── nmap ───────────────────┘  └──────────────── ams1
//! ```
//! `LAPWING_SOAK_SECONDS` lengthens the calm part (60 by default).

use std::{
    env, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    bgp::Change,
    capture::Capture,
    clock::millis_between,
    lapwing::Settings,
    load::{Interval, Load, Plan},
    topology::{Family, Lab, Site},
    withdrawal::{Fault, Sample, Withdrawal, measure},
};

#[test]
fn everyday_events_cost_no_withdraw() -> Result<()> {
    let soak =
        Duration::from_secs(env::var("LAPWING_SOAK_SECONDS").map_or(Ok(60), |text| text.parse())?);
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let load = lab.load(Plan {
        abort_one_in: Some(20),
        ..Plan::steady(1000)
    })?;
    let mut daemon = lab.fra1.lapwing(&Settings::new())?;
    lab.wait_announced(Site::Fra1)?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_mins(1))?;
    let heard = lab.capture(Site::Fra1)?;

    let start = Instant::now();
    let mut rounds = 0;
    let mut clients = Interval::default();
    while rounds == 0 || start.elapsed() < soak {
        rounds += 1;
        lab.fra1.nginx.reload()?;
        settle(&load, &heard, "nginx reload", &mut clients)?;
        for (name, down) in [("a gap of 50 ms", 50), ("a gap of 500 ms", 500)] {
            let gap = service_gap(&mut lab, Duration::from_millis(down))?;
            settle(
                &load,
                &heard,
                &format!("{name} (it was {gap:.0} ms)"),
                &mut clients,
            )?;
        }
        port_scan(&lab)?;
        settle(&load, &heard, "port scan", &mut clients)?;
    }
    for record in daemon.journal().read()? {
        ensure!(
            record.event() != "decision" || record.text("level") != "withdrawn",
            "decided: {}",
            record.text("sentence")
        );
    }
    println!(
        "{:.0} s, {rounds} rounds of reload, gaps of 50 and 500 ms and port scans: no withdraw; clients: {} answered, {} aborted, {} failed (in the gaps)",
        start.elapsed().as_secs_f64(),
        Site::ALL
            .iter()
            .map(|site| clients.answers(*site))
            .sum::<u32>(),
        clients.aborted,
        clients.failures(),
    );
    Ok(())
}

/// Three seconds of ordinary traffic, in which nothing may be heard upstream.
fn settle(load: &Load, heard: &Capture, what: &str, clients: &mut Interval) -> Result<()> {
    clients.add(&load.collect(Duration::from_secs(3))?);
    let events = heard.drain();
    ensure!(events.is_empty(), "{what}: the upstream heard {events:?}");
    Ok(())
}

/// Kills nginx and starts it so that it answers again after about `down`.
fn service_gap(lab: &mut Lab, down: Duration) -> Result<f64> {
    let starting = Duration::from_millis(25);
    let killed = lab.fra1.nginx.kill()?;
    thread::sleep(down.saturating_sub(starting));
    let back = lab.fra1.nginx.start_again(&lab.fra1.node)?;
    Ok(millis_between(killed, back))
}

/// A scan of the anycast addresses, as the internet does all day. ECMP spreads the
/// ports over both sites.
fn port_scan(lab: &Lab) -> Result<()> {
    for family in Family::ALL {
        let address = family.service().to_string();
        let mut arguments = vec![
            "-n",
            "-Pn",
            "-sS",
            "-T4",
            "--max-retries",
            "1",
            "-p",
            "1-2000",
            &address,
        ];
        if family == Family::V6 {
            arguments.insert(0, "-6");
        }
        let report = lab.clients.run("nmap", &arguments).context("nmap")?;
        ensure!(
            report.contains("80/tcp"),
            "the scan did not reach the service: {report}"
        );
    }
    Ok(())
}

#[test]
fn dead_server_is_withdrawn_after_a_second_of_patience() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let _load = lab.load(Plan::steady(2000))?;
    let mut figures = Vec::new();
    for _ in 0..3 {
        for withdrawal in measure(&mut lab, Fault::Refused, &Settings::new())? {
            println!(
                "{}: {:.0} ms, because {}",
                withdrawal.family,
                withdrawal.millis(),
                withdrawal
                    .decision
                    .as_ref()
                    .map_or("?", |decision| decision.text("sentence")),
            );
            let least = least_millis(&withdrawal);
            ensure!(
                withdrawal.millis() >= least,
                "not patient, earlier than {least} ms: {withdrawal:?}"
            );
            figures.push(withdrawal.millis());
        }
    }
    let figures = Sample::new(figures);
    println!(
        "refused, default profile: median {:.0} ms, max {:.0} ms",
        figures.median(),
        figures.max()
    );
    ensure!(figures.median() <= 1200.0, "too patient: {figures:?}");
    Ok(())
}

/// The trials decide after patience, the probe when its third failure in a row comes, and
/// either may be first: from the first failure to the third it is two intervals, less the
/// tenth of one by which probes spread.
fn least_millis(withdrawal: &Withdrawal) -> f64 {
    const PATIENCE: f64 = 1000.0;
    const PROBE_INTERVAL: f64 = 500.0;
    match &withdrawal.decision {
        Some(decision)
            if decision
                .text("sentence")
                .contains("probe failed 3 times in a row") =>
        {
            2.0 * PROBE_INTERVAL - PROBE_INTERVAL / 10.0
        }
        Some(_) | None => PATIENCE,
    }
}

#[test]
fn returning_site_is_announced_after_its_hold() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let load = lab.load(Plan::steady(1000))?;
    let daemon = lab.fra1.lapwing(&Settings::new())?;
    lab.wait_announced(Site::Fra1)?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_mins(1))?;
    let heard = lab.capture(Site::Fra1)?;
    lab.fra1.nginx.kill()?;
    let withdraws = Family::withdraws();
    heard.wait_for_all(&withdraws, Duration::from_secs(10))?;
    load.wait_served_by(&[Site::Ams1], Duration::from_secs(5))?;

    let back = lab.fra1.nginx.start_again(&lab.fra1.node)?;
    let announces = Family::ALL.map(|family| Change::Announce(family.network()));
    for (family, at) in Family::ALL
        .iter()
        .zip(heard.wait_for_all(&announces, Duration::from_secs(15))?)
    {
        let waited = millis_between(back, at);
        println!("{family}: announced again {waited:.0} ms after the server was back");
        ensure!(
            waited >= 1000.0,
            "{family}: before its hold of 1 s: {waited:.0} ms"
        );
    }
    load.wait_served_by(&Site::ALL, Duration::from_secs(5))?;
    Ok(())
}
