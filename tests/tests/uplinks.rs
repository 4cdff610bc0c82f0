//! Two uplinks, of which one begins to lose what we answer: the prefix whose clients come
//! by it is degraded for the way to them, and the reason names the uplink.
//!
//! ```text
//!  clients  eth0 ─── IPv4 ─── eth0  host   nginx, lapwing
//!           eth1 ─── IPv6 ─── eth1
//!             └ SYN-ACKs are dropped as they arrive
//! ```
//! The host sees SYNs come and its own answers leave; its probes pass.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    faults::nft,
    lapwing::{CONTROL, Lapwing, Record, Settings, binary},
    load::{Load, Plan},
    nginx::Nginx,
    pair::{Direction, Pair},
    topology::{Family, OUTER, Site},
    wait_until,
};
use serde_json::Value;

const OTHER: &str = "eth1";
const BOTH: &[&str] = &[OUTER, OTHER];
/// A busy machine is slow.
const PATIENT: Duration = Duration::from_secs(40);

/// One way of an interface in the status document.
fn way<'a>(status: &'a Value, interface: &str, way: &str) -> Option<&'a Value> {
    let named = |list: &'a Value, field: &str, name: &str| {
        list.as_array()?.iter().find(|entry| entry[field] == name)
    };
    named(
        &named(&status["uplinks"], "interface", interface)?["ways"],
        "way",
        way,
    )
}

#[test]
fn the_uplink_that_loses_clients_is_named() -> Result<()> {
    let pair = Pair::new()?;
    pair.link(OTHER, Site::Ams1)?;
    for direction in [Direction::ToHost, Direction::ToClients] {
        pair.set_way(direction, Family::V6, OTHER, Site::Ams1)?;
    }
    let _nginx = Nginx::start(&pair.host, Site::Fra1)?;
    let load = Load::start(&pair.clients, Plan::steady(100))?;
    let settings = Settings {
        interfaces: BOTH,
        arm_after: 100,
        grey_patience: Duration::from_secs(2),
        ..Settings::new()
    };
    let mut daemon = Lapwing::start(&pair.host, Site::Fra1, &settings)?;
    daemon.wait_ready(&pair.host, PATIENT)?;
    // Both interfaces have a past before one of them fails.
    wait_until("what is normal is known of both", PATIENT, || {
        let status = daemon.status(&pair.host)?;
        Ok(BOTH.iter().all(|interface| {
            way(&status, interface, "left").is_some_and(|left| left["normal"].is_number())
        }))
    })?;
    let well = daemon.status(&pair.host)?;
    for interface in BOTH {
        for name in ["came", "left"] {
            let way = way(&well, interface, name).context("it is there")?;
            ensure!(way["lossy"] == false, "{interface} {name}: {way}");
        }
    }

    daemon.journal().read()?;
    nft(
        &pair.clients,
        &format!(
            "table inet lost {{ chain lost {{ type filter hook prerouting priority raw; \
             iifname \"{OTHER}\" tcp flags & (syn | ack) == syn | ack drop; }}; }}\n"
        ),
    )?;
    let decided = daemon.journal().wait(PATIENT, |record| {
        Ok(record.is_some_and(|record| record.event() == "decision"))
    });
    let Record(decision) = decided.with_context(|| daemon.log_tail())?;
    ensure!(
        decision["prefix"] == Family::V6.prefix() && decision["level"] == "degraded",
        "{decision}"
    );
    let reason = &decision["reason"];
    ensure!(reason["class"] == "path", "{reason}");
    ensure!(reason["kind"] == "handshake", "{reason}");
    let uplinks = reason["uplinks"].as_array().context("uplinks")?;
    let named: Vec<_> = uplinks
        .iter()
        .map(|uplink| (&uplink["interface"], &uplink["way"]))
        .collect();
    ensure!(
        named.len() == 2 && named.iter().all(|(interface, _)| **interface == OTHER),
        "{reason}"
    );
    let sentence = decision["sentence"].as_str().unwrap_or_default();
    println!("{sentence}");
    ensure!(
        sentence.contains("; clients are lost through eth1: "),
        "{sentence}"
    );

    wait_until("the status names it", PATIENT, || {
        let status = daemon.status(&pair.host)?;
        let lossy = |interface, name| way(&status, interface, name).map(|way| &way["lossy"]);
        Ok(lossy(OTHER, "left") == Some(&Value::Bool(true))
            && lossy(OUTER, "left") == Some(&Value::Bool(false)))
    })?;
    wait_until("the table names it", PATIENT, || {
        let mut command = Command::new(binary()?);
        command.args(["status", "--control", CONTROL]);
        let text = pair.host.run_with_input(command, "")?;
        Ok(text.contains("! uplink: Clients are lost through eth1: "))
    })?;
    let lost = |interface: &str| -> Result<f64> {
        let count = |name: &str| -> Result<f64> {
            let series = format!("{name}{{interface=\"{interface}\",way=\"left\"}}");
            let value = daemon.metric(&pair.host, &series)?;
            value.with_context(|| series.clone())
        };
        let answered = count("lapwing_uplink_answered_total")?;
        Ok(1.0 - count("lapwing_uplink_completed_total")? / answered)
    };
    let (outer, other) = (lost(OUTER)?, lost(OTHER)?);
    println!("lost in all: {outer:.3} by {OUTER}, {other:.3} by {OTHER}");
    ensure!(other > 0.05 && outer < other / 2.0, "{outer} {other}");
    drop(load);
    Ok(())
}
