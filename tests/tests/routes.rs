//! Someone else in Lapwing's table: what they take away or change comes back, what
//! is theirs stays.
//!
//! ```text
//!  ip route del/replace/add ─▶ table 4242 at fra1 ◀─ lapwing
//!                                 └─▶ BIRD ─▶ (capture) upstream
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    bgp::Change,
    lapwing::{Record, Settings},
    load::Plan,
    topology::{Family, Lab, Site},
    wait_until,
};

/// How `ip -N` prints the kind of our routes (`RTN_BLACKHOLE`).
const BLACKHOLE: &str = "6 ";
const SOON: Duration = Duration::from_secs(3);

#[test]
fn deleted_route_comes_back_and_is_reported() -> Result<()> {
    let lab = Lab::start()?;
    let mut daemon = lab.fra1.lapwing(&Settings::new())?;
    lab.wait_announced(Site::Fra1)?;
    daemon
        .journal()
        .read_until_quiet(Duration::from_millis(500))?;
    let heard = lab.capture(Site::Fra1)?;
    lab.fra1.delete_routes()?;
    let changes = Family::ALL.map(|family| {
        [
            Change::Withdraw(family.network()),
            Change::Announce(family.network()),
        ]
    });
    heard.wait_for_all(changes.as_flattened(), SOON)?;
    let mut reported = Vec::new();
    daemon.journal().wait(SOON, |record| {
        if let Some(record) = record.filter(|record| record.event() == "route_differs") {
            reported.push(record.text("prefix").to_owned());
        }
        Ok(Family::ALL
            .iter()
            .all(|family| reported.iter().any(|prefix| prefix == family.prefix())))
    })?;
    Ok(())
}

#[test]
fn changed_route_is_restored() -> Result<()> {
    let lab = Lab::start()?;
    let daemon = lab.fra1.lapwing(&Settings::new())?;
    lab.wait_announced(Site::Fra1)?;
    for family in Family::ALL {
        lab.fra1.node.ip(&format!(
            "route replace unreachable {} table 4242 proto 201 metric 32\n",
            family.prefix()
        ))?;
        wait_until("it is a blackhole again", SOON, || {
            Ok(lab.fra1.routes(family)?.starts_with(BLACKHOLE))
        })?;
    }
    drop(daemon);
    Ok(())
}

#[test]
fn foreign_route_in_our_place_is_reported_and_ours_returns_after_it() -> Result<()> {
    let lab = Lab::start()?;
    let mut daemon = lab.fra1.lapwing(&Settings::new())?;
    lab.wait_announced(Site::Fra1)?;
    let heard = lab.capture(Site::Fra1)?;
    for family in Family::ALL {
        let foreign = format!(
            "blackhole {} table 4242 proto 99 metric 32\n",
            family.prefix()
        );
        lab.fra1.node.ip(&format!("route replace {foreign}"))?;
        heard.wait_for(Change::Withdraw(family.network()), SOON)?;
        wait_until("the status names the conflict", SOON, || {
            let status = daemon.status(&lab.fra1.node)?;
            Ok(status["conflicts"].to_string().contains(family.prefix()))
        })?;
        let told = |record: Option<&Record>, stands: bool| {
            Ok(record.is_some_and(|record| {
                record.event() == "route_conflict"
                    && record.text("prefix") == family.prefix()
                    && record.text("conflict") == "blocked"
                    && record.0["stands"] == stands
            }))
        };
        daemon.journal().wait(SOON, |record| told(record, true))?;
        let routes = lab.fra1.routes(family)?;
        ensure!(
            routes.contains("proto 99"),
            "the foreign route was touched: {routes}"
        );
        lab.fra1.node.ip(&format!("route del {foreign}"))?;
        heard.wait_for(Change::Announce(family.network()), SOON)?;
        daemon.journal().wait(SOON, |record| told(record, false))?;
    }
    Ok(())
}

#[test]
fn flushed_table_is_filled_again_and_foreign_routes_are_left_alone() -> Result<()> {
    let lab = Lab::start()?;
    let daemon = lab.fra1.lapwing(&Settings::new())?;
    lab.wait_announced(Site::Fra1)?;
    let heard = lab.capture(Site::Fra1)?;
    lab.fra1
        .node
        .run("ip", ["route", "flush", "table", "4242"])?;
    lab.fra1
        .node
        .run("ip", ["-6", "route", "flush", "table", "4242"])?;
    heard.wait_for_all(
        &Family::ALL.map(|family| Change::Announce(family.network())),
        SOON,
    )?;

    lab.fra1
        .node
        .ip("route add blackhole 203.0.113.0/24 table 4242 proto 99 metric 32\n")?;
    std::thread::sleep(Duration::from_secs(1));
    let routes = lab.fra1.routes(Family::V4)?;
    ensure!(
        routes.contains("203.0.113.0/24"),
        "the foreign route is gone: {routes}"
    );
    drop(daemon);
    Ok(())
}

#[test]
fn route_added_while_withdrawn_goes_again() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let _load = lab.load(Plan::steady(500))?;
    let daemon = lab.fra1.lapwing(&Settings::fast())?;
    lab.wait_announced(Site::Fra1)?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_secs(30))?;
    let heard = lab.capture(Site::Fra1)?;
    let withdraws = Family::withdraws();
    lab.fra1.nginx.kill()?;
    heard.wait_for_all(&withdraws, SOON)?;
    for family in Family::ALL {
        lab.fra1.add_route(family)?;
        wait_until("the route goes", SOON, || {
            Ok(lab.fra1.routes(family)?.trim().is_empty())
        })?;
    }
    Ok(())
}
