//! `lapwing doctor` on a host that is well, and with each trouble made for real.
//!
//! ```text
//!  clients ── upstream ── eth0  fra1  other ── nobody
//!                               lapwing, BIRD
//! ```

use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    lapwing::{self, CONFIG, CONTROL, Settings},
    topology::{Edge, Family, Lab, OUTER, Site, TABLE},
};
use serde_json::Value;

/// What a machine that runs tests may lack, whatever the lab does.
const OF_THE_MACHINE: [&str; 4] = ["btf", "clock", "state", "tc"];
const OTHER: &str = "other";
const TWISTED: &str = "/run/lapwing/twisted.toml";

/// What was found, and the exit code.
fn findings(output: &Output) -> Result<(Vec<Value>, Option<i32>)> {
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("doctor says {output:?}"))?;
    let findings = report["findings"].as_array().context("findings")?;
    Ok((findings.clone(), output.status.code()))
}

fn examine(edge: &Edge, config: &str) -> Result<(Vec<Value>, Option<i32>)> {
    findings(&edge.lapwing_command(&["doctor", "--json", "--config", config])?)
}

/// A finding of this check and grade that says this, and has a remedy; and the exit
/// code that belongs to it.
fn ensure_found(edge: &Edge, config: &str, check: &str, grade: &str, what: &str) -> Result<()> {
    let (found, code) = examine(edge, config)?;
    let finding = found.iter().find(|finding| {
        finding["check"] == check
            && finding["grade"] == grade
            && finding["what"]
                .as_str()
                .is_some_and(|told| told.contains(what))
    });
    let finding = finding.with_context(|| format!("no {grade} {check} {what:?} in {found:#?}"))?;
    println!("{finding}");
    ensure!(finding["remedy"].is_string(), "{finding}");
    ensure!(grade != "fail" || code == Some(3), "exit code {code:?}");
    Ok(())
}

fn ensure_well(edge: &Edge, config: &str) -> Result<()> {
    let (found, code) = examine(edge, config)?;
    let bad: Vec<&Value> = found
        .iter()
        .filter(|finding| finding["grade"] != "ok")
        .filter(|finding| {
            !OF_THE_MACHINE
                .iter()
                .any(|check| finding["check"] == *check)
        })
        .collect();
    ensure!(bad.is_empty(), "{bad:#?}");
    ensure!(code == Some(0), "exit code {code:?} of {found:#?}");
    Ok(())
}

/// The lab's configuration with another text in place of one.
fn twist(edge: &Edge, from: &str, to: &str) -> Result<()> {
    let config = Settings::new().config(Site::Fra1);
    ensure!(config.contains(from), "no {from:?} in\n{config}");
    edge.node.write(TWISTED, &config.replacen(from, to, 1))
}

#[test]
fn a_host_that_is_well_has_nothing_to_mend_with_and_without_a_daemon() -> Result<()> {
    let lab = Lab::start()?;
    let edge = &lab.fra1;
    edge.node
        .write(CONFIG, &Settings::new().config(Site::Fra1))?;
    ensure_well(edge, CONFIG)?;
    let daemon = edge.lapwing(&Settings::new())?;
    lab.wait_announced(Site::Fra1)?;
    ensure_well(edge, CONFIG)?;
    let text = edge.lapwing_command(&["doctor", "--config", CONFIG])?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    println!("{text}");
    ensure!(
        text.contains("lapwing runs as process") && text.contains("0 that must be mended"),
        "{text}"
    );
    // Another socket in the file: the daemon is there and cannot be asked.
    twist(edge, CONTROL, "/run/lapwing/nobody.sock")?;
    ensure_found(edge, TWISTED, "daemon", "fail", "does not answer")?;
    ensure!(daemon.stop()?.success());
    Ok(())
}

#[test]
fn troubles_of_routing_are_found() -> Result<()> {
    let lab = Lab::start()?;
    let edge = &lab.fra1;
    edge.node
        .write(CONFIG, &Settings::new().config(Site::Fra1))?;
    let found = |check, grade, what: &str| ensure_found(edge, CONFIG, check, grade, what);

    for family in Family::ALL {
        let flag = family.flag();
        let order = |verb| {
            let table = TABLE.to_string();
            let rule = [flag, "rule", verb, "priority", "100", "table", &table];
            edge.node.run("ip", rule)
        };
        order("add")?;
        found("rules", "fail", "priority 100")?;
        order("del")?;
    }

    for (metric, grade, what) in [("1", "fail", "never sees"), ("99", "warn", "may announce")] {
        for family in Family::ALL {
            let route = format!(
                "blackhole {} table {TABLE} proto static metric {metric}\n",
                family.prefix()
            );
            edge.node.ip(&format!("route add {route}"))?;
            found("table", grade, what)?;
            edge.node.ip(&format!("route del {route}"))?;
        }
    }

    // Replies of IPv4 by another link than the one that is measured.
    edge.node.ip(&format!(
        "link add {OTHER} type veth peer name nobody\nlink set nobody up\nlink set {OTHER} up\nroute add 203.0.113.0/24 dev {OTHER}\n"
    ))?;
    found("replies", "fail", &format!("answers by {OTHER}"))?;
    twist(
        edge,
        &format!("[\"{OUTER}\"]"),
        &format!("[\"{OUTER}\", \"{OTHER}\"]"),
    )?;
    ensure_well(edge, TWISTED)?;

    // And the link itself.
    edge.node.ip(&format!("link set {OTHER} mtu 9000\n"))?;
    ensure_found(edge, TWISTED, "xdp", "warn", "MTU 9000")?;
    edge.node.ip(&format!("link set {OTHER} down\n"))?;
    ensure_found(edge, TWISTED, "interface", "fail", "is down")?;
    edge.node.ip(&format!("link del {OTHER}\n"))?;
    ensure_found(edge, TWISTED, "interface", "fail", "does not exist")?;
    ensure_well(edge, CONFIG)
}

#[test]
fn troubles_of_the_host_are_found() -> Result<()> {
    let lab = Lab::start()?;
    let edge = &lab.fra1;
    edge.node
        .write(CONFIG, &Settings::new().config(Site::Fra1))?;

    let running = "/run/systemd/units/invocation:systemd-networkd.service";
    edge.node.write(running, "")?;
    ensure_found(edge, CONFIG, "networkd", "fail", "removes Lapwing's routes")?;
    let dropin = include_str!("../../packaging/networkd/lapwing.conf");
    edge.node
        .write("/run/systemd/networkd.conf.d/lapwing.conf", dropin)?;
    ensure_well(edge, CONFIG)?;

    edge.node
        .write("/run/systemd/units/invocation:NetworkManager.service", "")?;
    let profile = "/run/NetworkManager/system-connections/edge.nmconnection";
    edge.node
        .write(profile, &format!("[ipv4]\nroute-table={TABLE}\n"))?;
    ensure_found(edge, CONFIG, "nm", "fail", profile)?;
    edge.node.write(profile, "[ipv4]\nmethod=auto\n")?;
    ensure_well(edge, CONFIG)?;

    // A file where a directory is to be; a place that is no bpf file system.
    twist(edge, "/run/lapwing/state", &format!("{CONFIG}/state"))?;
    ensure_found(edge, TWISTED, "state", "fail", "is no directory")?;
    twist(edge, "[route]", "pin_dir = \"/run/lapwing/pins\"\n[route]")?;
    ensure_found(edge, TWISTED, "bpffs", "fail", "no bpf file system")?;
    twist(edge, "mode =", "mood =")?;
    ensure_found(edge, TWISTED, "config", "fail", "unknown key `mood`")?;

    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set", "-net_admin"])
        .arg(lapwing::binary()?)
        .args(["doctor", "--json", "--config", CONFIG]);
    let (found, code) = findings(&edge.node.output(command, "")?)?;
    let lacking = found
        .iter()
        .find(|finding| finding["check"] == "capabilities");
    ensure!(
        code == Some(3) && lacking.is_some_and(|finding| finding["grade"] == "fail"),
        "{found:#?}"
    );
    Ok(())
}
