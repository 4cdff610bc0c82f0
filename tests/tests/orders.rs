//! What the operator orders by command, and what a killed daemon's successor knows.
//!
//! ```text
//!  clients ── upstream ──(capture)── fra1   lapwing pin | drain | freeze ...; kill -9
//!                 └───────────────── ams1
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    lapwing::{CONTROL, Lapwing, Settings, service_name},
    load::Plan,
    topology::{Edge, Family, Lab, Site},
    wait_until,
};

/// Gives an order; what the command printed.
fn order(edge: &Edge, arguments: &[&str]) -> Result<String> {
    let output = edge.lapwing_command(&[arguments, &["--control", CONTROL]].concat())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{arguments:?}: {output:?}");
    Ok(text)
}

#[test]
fn a_pin_holds_a_dead_site_even_over_a_killed_daemon() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let settings = Settings::fast();
    let _load = lab.load(Plan::steady(500))?;
    let daemon = lab.fra1.lapwing(&settings)?;
    lab.wait_announced(Site::Fra1)?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_secs(30))?;
    let heard = lab.capture(Site::Fra1)?;

    let said = order(
        &lab.fra1,
        &["pin", "all", "--for", "1h", "--reason", "new kernel"],
    )?;
    ensure!(
        said == "all prefixes pinned at the present level, for 1h\n",
        "{said}"
    );
    lab.fra1.nginx.kill()?;
    heard.ensure_quiet("pinned")?;
    for family in Family::ALL {
        let held = daemon.prefix_field(&lab.fra1.node, family, "held_by")?;
        ensure!(held == "pinned", "{family}: {held}");
    }

    daemon.kill()?;
    let daemon = Lapwing::start_again(&lab.fra1.node, &settings)?;
    heard.ensure_quiet("pinned before the daemon was killed")?;
    for family in Family::ALL {
        let pin = daemon.prefix_field(&lab.fra1.node, family, "orders")?;
        ensure!(
            pin[0]["directive"]["why"] == "new kernel",
            "{family}: {pin}"
        );
    }
    order(&lab.fra1, &["unpin", "all"])?;
    heard.wait_for_all(&Family::withdraws(), Duration::from_secs(10))?;
    Ok(())
}

#[test]
fn a_drain_leaves_in_two_steps_and_a_freeze_stops_everything() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let _load = lab.load(Plan::steady(200))?;
    let daemon = lab.fra1.lapwing(&Settings::fast())?;
    lab.wait_announced(Site::Fra1)?;
    let observed = |family, level: &'static str| {
        wait_until(level, Duration::from_secs(10), || {
            Ok(daemon.prefix_field(&lab.fra1.node, family, "observed")? == level)
        })
    };
    let family = Family::V4;
    order(&lab.fra1, &["drain", family.prefix(), "--reason", "disk"])?;
    observed(family, "degraded")?;
    ensure!(
        lab.fra1.routes(family)?.contains("proto 202"),
        "the route is of the level"
    );
    observed(family, "withdrawn")?;
    observed(Family::V6, "full")?;
    order(&lab.fra1, &["undrain", family.prefix()])?;
    observed(family, "full")?;

    let heard = lab.capture(Site::Fra1)?;
    order(&lab.fra1, &["freeze", "--for", "10m"])?;
    lab.fra1.nginx.kill()?;
    heard.ensure_quiet("frozen")?;
    let frozen = daemon.status(&lab.fra1.node)?["frozen"]["by"].clone();
    ensure!(frozen.is_string(), "{frozen}");
    order(&lab.fra1, &["thaw"])?;
    heard.wait_for_all(&Family::withdraws(), Duration::from_secs(10))?;

    let unknown = lab
        .fra1
        .lapwing_command(&["pin", "203.0.113.0/24", "--control", CONTROL])?;
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    ensure!(
        !unknown.status.success() && told.contains("known are"),
        "{told}"
    );
    Ok(())
}

#[test]
fn a_successor_is_armed_at_once() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let settings = Settings {
        // Twenty seconds of trials: more than the test waits after the restart.
        arm_after: 5000,
        ..Settings::fast()
    };
    let _load = lab.load(Plan::steady(500))?;
    let daemon = lab.fra1.lapwing(&settings)?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_mins(1))?;
    ensure!(daemon.stop()?.success());
    let daemon = Lapwing::start_again(&lab.fra1.node, &settings)?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_secs(5))?;
    let status = daemon.status(&lab.fra1.node)?;
    ensure!(
        Family::ALL.iter().all(|family| {
            let services = status["services"].as_array().into_iter().flatten();
            services
                .filter(|service| service["name"] == service_name(*family))
                .all(|service| service["armed"] == true)
        }),
        "{status}"
    );
    // And what it knows is enough to decide.
    let heard = lab.capture(Site::Fra1)?;
    lab.fra1.nginx.kill()?;
    heard.wait_for_all(&Family::withdraws(), Duration::from_secs(5))?;
    Ok(())
}
