//! The interface suffers. What is not seen is not judged: nothing is withdrawn, and
//! once the interface is there again so are the hooks.

use std::{fmt::Write as _, thread, time::Duration};

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    lapwing::Settings,
    topology::{Family, OUTER, Site},
};

use super::Watched;

/// More than detectors, probes and the look after the hooks need to make a mistake.
const A_WHILE: Duration = Duration::from_secs(3);

#[test]
fn interface_that_is_removed_and_made_again_gets_its_hooks_back() -> Result<()> {
    let mut watched = Watched::start(&Settings::fast())?;
    watched.lab.fra1.node.ip(&format!("link del {OUTER}\n"))?;
    watched.wait_told("no program on eth0")?;
    thread::sleep(A_WHILE);
    watched.ensure_untouched()?;
    watched.lab.link_again(Site::Fra1)?;
    watched.daemon.journal().wait(super::PATIENT, |record| {
        Ok(record.is_some_and(|record| record.event() == "attached"))
    })?;
    watched.ensure_untouched()?;
    // The capture's interface went with the link.
    watched.heard = watched.lab.capture(Site::Fra1)?;
    watched.lab.wait_announced(Site::Fra1)?;
    watched.heard.drain();
    watched.ensure_on_duty()
}

#[test]
fn renamed_interface_is_reported_and_taken_back_under_its_name() -> Result<()> {
    let mut watched = Watched::start(&Settings::fast())?;
    let node = &watched.lab.fra1.node;
    node.ip(&format!("link set {OUTER} name other0\n"))?;
    watched.wait_told("no program on eth0")?;
    thread::sleep(A_WHILE);
    watched.ensure_untouched()?;
    watched.ensure_not_withdrawn()?;
    let node = &watched.lab.fra1.node;
    node.ip(&format!("link set other0 name {OUTER}\n"))?;
    watched.daemon.journal().wait(super::PATIENT, |record| {
        Ok(record.is_some_and(|record| record.event() == "attached"))
    })?;
    watched.ensure_untouched()?;
    watched.wait_announced_again()?;
    watched.ensure_not_withdrawn()?;
    watched.ensure_on_duty()
}

#[test]
fn interface_that_takes_the_name_of_a_watched_one_gets_hooks_of_its_own() -> Result<()> {
    let mut watched = Watched::start(&Settings::fast())?;
    // The pinned link stays with the interface that has another name now.
    watched.lab.fra1.node.ip(&format!(
        "link set {OUTER} name other0\nlink add {OUTER} type veth peer name far0\nlink set {OUTER} up\n"
    ))?;
    watched.wait_attached_again()?;
    let shown = watched
        .lab
        .fra1
        .node
        .run("bpftool", ["net", "show", "dev", OUTER])?;
    ensure!(shown.contains("driver id"), "no native XDP in\n{shown}");
    thread::sleep(A_WHILE);
    // Had the old link been taken for the new one, it would be lost again each second.
    let records = watched.daemon.journal().read()?;
    let again = records
        .iter()
        .any(|record| ["attached", "decision"].contains(&record.event()));
    ensure!(!again, "{records:?}");
    watched.ensure_not_withdrawn()
}

#[test]
fn interface_down_and_up_keeps_its_hooks() -> Result<()> {
    let mut watched = Watched::start(&Settings::fast())?;
    let node = &watched.lab.fra1.node;
    node.ip(&format!("link set {OUTER} down\n"))?;
    thread::sleep(A_WHILE);
    watched.ensure_untouched()?;
    let node = &watched.lab.fra1.node;
    node.ip(&format!("link set {OUTER} up\n"))?;
    // Down takes the routes and the addresses of IPv6.
    for family in Family::ALL {
        let (ours, theirs) = (
            Site::Fra1.edge_address(family),
            Site::Fra1.upstream_address(family),
        );
        if family == Family::V6 {
            node.ip(&format!("addr replace {ours}/64 dev {OUTER} nodad\n"))?;
        }
        node.ip(&format!("route replace default via {theirs}\n"))?;
    }
    watched.wait_announced_again()?;
    watched.ensure_untouched()?;
    watched.ensure_on_duty()
}

#[test]
fn interface_put_into_a_bridge_is_measured_as_before() -> Result<()> {
    let mut watched = Watched::start(&Settings::fast())?;
    let node = &watched.lab.fra1.node;
    let mut commands =
        format!("link add br0 type bridge\nlink set br0 up\nlink set {OUTER} master br0\n");
    for family in Family::ALL {
        let length = if family == Family::V4 { 30 } else { 64 };
        let (ours, theirs) = (
            Site::Fra1.edge_address(family),
            Site::Fra1.upstream_address(family),
        );
        let nodad = if family == Family::V4 { "" } else { "nodad" };
        writeln!(
            commands,
            "addr del {ours}/{length} dev {OUTER}\naddr add {ours}/{length} dev br0 {nodad}\n\
             route replace default via {theirs} dev br0"
        )?;
    }
    node.ip(&commands)?;
    watched.wait_announced_again()?;
    watched.ensure_untouched()?;
    watched.ensure_on_duty()
}
