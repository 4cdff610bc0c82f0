//! What goes wrong around the daemon: somebody else's network manager, and a daemon that
//! does not start any more.

use anyhow::{Result, ensure};

use super::{CONFIG, SOON, Stage, UNIT, host};
use crate::lab::{
    lapwing::service_name,
    topology::{Family, Site},
    wait_until,
};

const LAST_RESORT: &str = "lapwing-last-resort.service";
const DROP_IN: &str = "/etc/systemd/networkd.conf.d/lapwing.conf";
/// A link that systemd-networkd makes and looks after.
const LINK: [(&str, &str); 2] = [
    (
        "/etc/systemd/network/10-own.netdev",
        "[NetDev]\nName=own0\nKind=bridge\n",
    ),
    (
        "/etc/systemd/network/10-own.network",
        "[Match]\nName=own0\n[Network]\nAddress=203.0.113.1/24\nConfigureWithoutCarrier=yes\n",
    ),
];

/// With the drop-in a new start of systemd-networkd leaves the routes alone; without it
/// `doctor` says what will happen.
pub fn networkd(stage: &Stage<'_>) -> Result<()> {
    for (path, text) in LINK {
        stage.disk.write(path, text)?;
    }
    let start = || {
        stage.container.run("systemctl restart systemd-networkd")?;
        wait_until("networkd has made its link", SOON, || {
            let shown = stage.container.output("ip -4 address show dev own0")?;
            Ok(String::from_utf8_lossy(&shown.stdout).contains("203.0.113.1"))
        })
    };
    stage.without_a_route_event("systemd-networkd with the drop-in", || {
        start()?;
        start()
    })?;
    let advice = |present: bool| -> Result<()> {
        let said = stage
            .container
            .output(&format!("lapwing doctor --config {CONFIG}"))?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        ensure!(
            said.contains("ManageForeignRoutes=no") != present,
            "with the drop-in: {present}; doctor says\n{said}"
        );
        Ok(())
    };
    advice(true)?;
    stage.container.run(&format!("mv {DROP_IN} /root/"))?;
    advice(false)?;
    // Not every version removes routes without a link, so nothing is asked of this one.
    stage.routes.drain();
    start()?;
    let gone = stage
        .routes
        .drain()
        .iter()
        .filter(|event| !event.present)
        .count();
    println!("      without the drop-in this systemd-networkd removes {gone} routes");
    stage.container.run(&format!(
        "mv /root/lapwing.conf {DROP_IN}; systemctl stop systemd-networkd; ip link delete own0"
    ))?;
    // The daemon puts back what somebody else removes.
    stage.lab.wait_announced(Site::Fra1)
}

/// Three failed starts, and the last resort: a healthy site stays, a dead one goes.
pub fn failed_starts(stage: &Stage<'_>) -> Result<()> {
    // Passes for the last resort, which attaches to no interface.
    let broken = host::lapwing_config("enforce")
        .replace("[daemon]\n", "[daemon]\ninterfaces = [\"gone0\"]\n");
    stage.forget_starts()?;
    stage.disk.write(CONFIG, broken)?;
    stage.without_a_route_event("no start succeeds at a healthy site", || {
        stage.container.output("systemctl restart lapwing")?;
        gives_up(stage, 0)
    })?;
    println!("      a healthy site stays");

    stage.container.run("systemctl stop nginx")?;
    stage.forget_starts()?;
    stage.container.output("systemctl start lapwing")?;
    stage.heard.wait_for_all(&Family::withdraws(), SOON)?;
    gives_up(stage, 1)?;
    println!("      a dead one is withdrawn");

    stage.disk.write(CONFIG, host::lapwing_config("enforce"))?;
    stage
        .container
        .run("systemctl start nginx; systemctl reset-failed; systemctl start lapwing")?;
    stage.lab.wait_announced(Site::Fra1)?;
    stage.container.run("lapwing journal verify").map(drop)
}

/// Waits until systemd has given up and the last resort has ended well, for the
/// `earlier + 1`th time.
fn gives_up(stage: &Stage<'_>, earlier: usize) -> Result<()> {
    let container = &stage.container;
    container.wait_property(UNIT, "ActiveState", SOON, |state| state == "failed")?;
    let asked = || -> Result<usize> {
        let log = container.run(&format!("journalctl --no-pager --unit={LAST_RESORT}"))?;
        let ended = format!("{}: ", service_name(Family::V6));
        let told = |line: &&str| line.contains(&ended) && line.contains("of 3 probes failed");
        Ok(log.lines().filter(told).count())
    };
    wait_until("the last resort has asked", SOON, || Ok(asked()? > earlier))?;
    container.wait_property(LAST_RESORT, "ActiveState", SOON, |state| {
        state == "inactive"
    })?;
    let starts = container.run(&format!(
        "journalctl --no-pager --unit={UNIT} --grep 'Start request repeated too quickly' | wc -l"
    ))?;
    ensure!(
        starts.trim().parse::<usize>()? > earlier,
        "systemd gave up for another reason:\n{}",
        container.log(UNIT)
    );
    ensure!(
        asked()? == earlier + 1,
        "the last resort ran more than once"
    );
    let result = container.property(LAST_RESORT, "Result")?;
    ensure!(result == "success", "the last resort ended with {result}");
    Ok(())
}
