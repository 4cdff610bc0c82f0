//! Life and death of the daemon: what it does to the routes when it starts, stops,
//! is killed, or may only look.
//!
//! ```text
//!  clients ── upstream ──(capture)── fra1   lapwing: killed, restarted, stopped
//!                 └───────────────── ams1
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    lapwing::{Lapwing, Settings},
    load::Plan,
    topology::{Family, Lab, Site},
};

#[test]
fn killed_daemon_leaves_the_route_and_its_successor_sends_no_update() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let settings = Settings::fast();
    let _load = lab.load(Plan::steady(500))?;
    let daemon = lab.fra1.lapwing(&settings)?;
    lab.wait_announced(Site::Fra1)?;

    let heard = lab.capture(Site::Fra1)?;
    daemon.kill()?;
    heard.ensure_quiet("the daemon was killed")?;
    for family in Family::ALL {
        let routes = lab.fra1.routes(family)?;
        ensure!(
            routes.contains("proto 201"),
            "{family}: the table holds {routes:?}"
        );
    }
    let daemon = Lapwing::start_again(&lab.fra1.node, &settings)?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_secs(30))?;
    heard.ensure_quiet("the daemon was started again")?;

    // And it is on duty.
    lab.fra1.nginx.kill()?;
    heard.wait_for_all(&Family::withdraws(), Duration::from_secs(5))?;
    Ok(())
}

#[test]
fn stopped_daemon_keeps_or_withdraws_as_told() -> Result<()> {
    let lab = Lab::start()?;
    let heard = lab.capture(Site::Fra1)?;
    let daemon = lab.fra1.lapwing(&Settings::new())?;
    lab.wait_announced(Site::Fra1)?;
    heard.drain();
    let status = daemon.stop()?;
    ensure!(status.success(), "stopped: {status}");
    heard.ensure_quiet("on_exit = keep")?;

    let daemon = lab.fra1.lapwing(&Settings {
        on_exit: "withdraw",
        ..Settings::new()
    })?;
    heard.ensure_quiet("the routes were adopted")?;
    let status = daemon.stop()?;
    ensure!(status.success(), "stopped: {status}");
    heard.wait_for_all(&Family::withdraws(), Duration::from_secs(2))?;
    Ok(())
}

#[test]
fn observing_daemon_decides_and_changes_nothing() -> Result<()> {
    let mut lab = Lab::start()?;
    for site in Site::ALL {
        lab.announce(site)?;
    }
    let _load = lab.load(Plan::steady(500))?;
    let mut daemon = lab.fra1.lapwing(&Settings {
        mode: "observe",
        ..Settings::new()
    })?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_secs(30))?;
    let heard = lab.capture(Site::Fra1)?;
    lab.fra1.nginx.kill()?;
    let mut held = Vec::new();
    daemon.journal().wait(Duration::from_secs(5), |record| {
        if let Some(record) =
            record.filter(|record| record.event() == "held" && record.text("guard") == "observe")
        {
            let reason = &record.0["reason"];
            ensure!(
                reason["cause"] != "live_trials" || reason["evidence"]["flows"].as_u64() > Some(0),
                "{reason}"
            );
            held.push(record.text("prefix").to_owned());
        }
        Ok(Family::ALL
            .iter()
            .all(|family| held.iter().any(|prefix| prefix == family.prefix())))
    })?;
    heard.ensure_quiet("mode = observe")
}

#[test]
fn daemon_without_a_config_observes_what_listens() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Fra1)?;
    let _load = lab.load(Plan::steady(500))?;
    let heard = lab.capture(Site::Fra1)?;
    let daemon = Lapwing::start_unconfigured(&lab.fra1.node)?;
    std::thread::sleep(Duration::from_secs(2));
    let status = lab.fra1.lapwing_command(&["status", "--json"])?;
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    ensure!(status.status.success(), "status: {status:?}");
    for family in Family::ALL {
        let address = family.service().to_string();
        ensure!(
            text.contains(&address),
            "status does not show {address}:\n{text}"
        );
    }
    lab.fra1.nginx.kill()?;
    heard.ensure_quiet("no configuration")?;
    ensure!(daemon.stop()?.success());
    heard.ensure_quiet("stopped without a configuration")
}

#[test]
fn traced_daemon_tells_of_each_handshake() -> Result<()> {
    let lab = Lab::start()?;
    lab.announce(Site::Fra1)?;
    let _load = lab.load(Plan::steady(20))?;
    let daemon = Lapwing::start_traced(&lab.fra1.node)?;
    std::thread::sleep(Duration::from_secs(2));
    let log = daemon.log_tail();
    for (way, flags) in [("in", "flags 2 "), ("out", "flags 12 ")] {
        let told = log
            .lines()
            .any(|line| line.contains(&format!(" {way} ")) && line.contains(flags));
        ensure!(told, "no {way} with {flags}in\n{log}");
    }
    ensure!(daemon.stop()?.success());
    Ok(())
}

#[test]
fn deadlines_follow_the_answers_and_no_trial_is_taken_for_late() -> Result<()> {
    let lab = Lab::start()?;
    lab.announce(Site::Fra1)?;
    let _load = lab.load(Plan::steady(500))?;
    let mut daemon = Lapwing::start_unconfigured(&lab.fra1.node)?;
    let mut learned = 0;
    daemon.journal().wait(Duration::from_mins(1), |record| {
        learned += usize::from(record.is_some_and(|record| record.event() == "deadline"));
        Ok(learned == Family::ALL.len())
    })?;
    std::thread::sleep(Duration::from_secs(3));
    let status = lab.fra1.lapwing_command(&["status", "--json"])?;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
    for family in Family::ALL {
        let endpoint = std::net::SocketAddr::new(family.service(), 80).to_string() + "/tcp";
        let services = status["services"].as_array().into_iter().flatten();
        let totals = services
            .filter(|service| service["endpoint"] == endpoint)
            .map(|service| service["totals"].clone())
            .next();
        let totals = totals.with_context(|| format!("no {endpoint} in {status}"))?;
        ensure!(
            totals["succeeded"].as_u64() > Some(4000)
                && totals["late"] == 0
                && totals["failed"] == 0,
            "{endpoint}: {totals}"
        );
    }
    ensure!(daemon.stop()?.success());
    Ok(())
}
