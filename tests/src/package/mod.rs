//! `cargo xtask package-test`: the Debian package from its installation to its purge, in a
//! container with systemd at an edge of the lab.
//!
//! ```text
//!  clients ── upstream ──(capture)── fra1 ═ Debian under systemd: bird, nginx, lapwing.deb
//!                 └───────────────── ams1
//! ```
//! In flow the package, the root of a Debian, and `docs/quick-start.md`, whose commands are
//! run as they stand there; out flows the first thing that is not as the documents say.

mod host;
mod quick_start;
mod trouble;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::lab::{
    bgp::Change,
    capture::Capture,
    clock,
    container::{Container, Disk},
    load::Plan,
    routes::RouteWatch,
    topology::{Family, Lab, OUTER, Site, TABLE},
    wait_until,
};

/// A machine with other work may need so long for what takes a moment.
const SOON: Duration = Duration::from_secs(30);
/// New connections a second to each family's address.
const CLIENTS: u32 = 200;
const UNIT: &str = "lapwing.service";
const CONFIG: &str = "/etc/lapwing/lapwing.toml";

/// Plays all of it; `progress` hears what is being done, and `quick_start` is the document.
pub fn play(
    package: &Path,
    root: &Path,
    quick_start: &Path,
    mut progress: impl FnMut(&str),
) -> Result<()> {
    progress("the lab, and a Debian at one of its edges");
    let mut lab = Lab::start()?;
    lab.fra1.nginx.kill()?;
    lab.fra1.bird.kill()?;
    lab.announce(Site::Ams1)?;
    let disk = Disk::over(&lab.fra1.node, root)?;
    host::prepare(&disk, package)?;
    let stage = Stage {
        container: disk.boot()?,
        heard: lab.capture(Site::Fra1)?,
        routes: lab.fra1.watch_routes()?,
        disk: &disk,
        lab: &lab,
    };

    progress("the quick start, as it is written");
    quick_start::play(&stage, quick_start)?;
    progress("the unit's sandbox");
    stage.sandbox()?;
    let _load = lab.load(Plan::steady(CLIENTS))?;
    progress("mode enforce: the prefixes are announced");
    stage.enforce()?;
    progress("upgraded under traffic");
    stage.upgrade(package)?;
    progress("stopped by SIGSTOP: the watchdog starts it again");
    stage.hang()?;
    progress("systemd-networkd started anew, with the drop-in and without");
    trouble::networkd(&stage)?;
    progress("the service dies: withdrawn, by the sandboxed daemon");
    stage.fault()?;
    progress("no start succeeds: the last resort");
    trouble::failed_starts(&stage)?;
    progress("the machine goes down");
    stage.shutdown()?;
    progress("the next boot, and the purge");
    purge(&lab, &disk)
}

/// What an episode looks at.
struct Stage<'a> {
    container: Container<'a>,
    heard: Capture,
    routes: RouteWatch,
    disk: &'a Disk<'a>,
    lab: &'a Lab,
}

impl Stage<'_> {
    /// `lapwing status --json`.
    fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.container.run("lapwing status --json")?,
        )?)
    }

    /// Waits until live trials guard every service.
    fn wait_armed(&self) -> Result<()> {
        let armed = || {
            let Ok(status) = self.status() else {
                return Ok(false);
            };
            let services = status["services"].as_array().context("no services")?;
            Ok(services.iter().all(|service| service["state"] == "armed"))
        };
        wait_until("all services are armed", 2 * SOON, armed)
            .with_context(|| self.container.log(UNIT))
    }

    /// Starts are counted from here: an operator's own are not failed ones.
    fn forget_starts(&self) -> Result<()> {
        self.container.run("systemctl reset-failed").map(drop)
    }

    /// Nothing changes in the kernel's table or upstream while this is done.
    fn without_a_route_event(&self, what: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
        self.heard.drain();
        self.routes.drain();
        act()?;
        self.heard.ensure_quiet(what)?;
        let events = self.routes.drain();
        ensure!(events.is_empty(), "{what}: the table changed: {events:?}");
        Ok(())
    }

    fn sandbox(&self) -> Result<()> {
        for (unit, most) in [(UNIT, 2.0), ("lapwing-last-resort.service", 2.0)] {
            let report = self
                .container
                .run(&format!("systemd-analyze security --no-pager {unit}"))?;
            let exposure: f64 = report
                .lines()
                .find_map(|line| {
                    line.split_once("Overall exposure level for ")?
                        .1
                        .split_once(": ")
                })
                .and_then(|(_, level)| level.split(' ').next()?.parse().ok())
                .with_context(|| format!("no level in\n{report}"))?;
            println!("      {unit}: exposure {exposure}");
            ensure!(exposure <= most, "{unit} is exposed by {exposure}");
        }
        Ok(())
    }

    fn enforce(&self) -> Result<()> {
        self.disk.write(CONFIG, host::lapwing_config("enforce"))?;
        self.container.run("systemctl reload lapwing")?;
        self.lab.wait_announced(Site::Fra1)?;
        self.wait_armed()
    }

    /// To a package of another version, whose default configuration is another one, too:
    /// the operator's stays.
    fn upgrade(&self, package: &Path) -> Result<()> {
        let next = host::next_version(&self.container, package)?;
        let config = self.container.run(&format!("cat {CONFIG}"))?;
        let before = (self.pid()?, self.counted()?);
        self.without_a_route_event("upgrade", || {
            self.container.run(&format!(
                "apt install -y -o Dpkg::Options::=--force-confold {next}"
            ))?;
            self.wait_armed()
        })?;
        let version = self
            .container
            .run("dpkg-query --show --showformat '${Version}' lapwing")?;
        ensure!(version.ends_with(host::NEXT), "{version} is installed");
        let kept = self.container.run(&format!("cat {CONFIG}"))?;
        ensure!(
            kept == config,
            "the operator's configuration is now\n{kept}"
        );
        let after = (self.pid()?, self.counted()?);
        println!(
            "      process {} -> {}, SYNs {} -> {}",
            before.0, after.0, before.1, after.1
        );
        ensure!(before.0 != after.0, "the daemon was not started again");
        ensure!(
            after.1 > before.1,
            "counted {} before and {} after",
            before.1,
            after.1
        );
        Ok(())
    }

    fn pid(&self) -> Result<String> {
        self.container.property(UNIT, "MainPID")
    }

    /// SYNs that came so far, by the maps in the kernel.
    fn counted(&self) -> Result<f64> {
        let metrics = self
            .container
            .run("curl -fsS http://127.0.0.1:9477/metrics")?;
        let values = metrics
            .lines()
            .filter(|line| line.starts_with("lapwing_tcp_syn_total{"))
            .map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<f64>()?));
        let sum: Result<f64> = values.sum();
        let sum = sum?;
        ensure!(sum > 0.0, "no SYN was counted");
        Ok(sum)
    }

    fn hang(&self) -> Result<()> {
        self.forget_starts()?;
        let hung = self.pid()?;
        self.without_a_route_event("a hung daemon", || {
            let begin = Instant::now();
            self.container.run(&format!("kill -STOP {hung}"))?;
            let other = |pid: &str| pid != hung && pid != "0";
            self.container
                .wait_property(UNIT, "MainPID", 2 * SOON, other)?;
            self.container
                .wait_property(UNIT, "ActiveState", SOON, |state| state == "active")?;
            println!("      started again after {:.1?}", begin.elapsed());
            self.wait_armed()
        })
    }

    /// The daemon under its system call filter sees a dead service and its return.
    fn fault(&self) -> Result<()> {
        self.heard.drain();
        let died = clock::now();
        self.container.run("systemctl kill --signal=KILL nginx")?;
        let withdrawn = self.heard.wait_for_all(&Family::withdraws(), SOON)?;
        for at in withdrawn {
            println!("      withdrawn upstream after {:.0?}", at.since(died));
        }
        self.container.run("systemctl restart nginx")?;
        self.lab.wait_announced(Site::Fra1)?;
        self.wait_armed()
    }

    /// Degraded, then withdrawn, and only then services and BIRD stop.
    fn shutdown(self) -> Result<()> {
        self.heard.drain();
        self.routes.drain();
        let Self {
            container,
            heard,
            routes,
            disk,
            ..
        } = self;
        container.power_off()?;
        let mut withdrawn = Vec::new();
        let events = routes.drain();
        for family in Family::ALL {
            let of_prefix: Vec<_> = events
                .iter()
                .filter(|event| event.prefix == family.network())
                .collect();
            let protocols: Vec<_> = of_prefix
                .iter()
                .map(|event| (event.present, event.protocol))
                .collect();
            ensure!(
                protocols.first() == Some(&(true, 202)) && protocols.last() == Some(&(false, 202)),
                "{family}: degraded, then withdrawn; but {protocols:?}"
            );
            withdrawn.extend(of_prefix.last().map(|event| event.at));
        }
        let told: Vec<_> = heard
            .drain()
            .into_iter()
            .filter(|heard| matches!(heard.change, Change::Withdraw(_)))
            .collect();
        for family in Family::ALL {
            ensure!(
                told.iter()
                    .any(|heard| heard.change == Change::Withdraw(family.network())),
                "{family}: upstream heard no withdraw, only {told:?}"
            );
        }
        withdrawn.extend(told.iter().map(|heard| heard.at));
        let last = withdrawn.into_iter().max().context("there are some")?;
        for unit in ["bird.service", "nginx.service"] {
            let stops = host::stopping(disk, unit)?;
            println!(
                "      {unit} is stopped {:.0?} after the last withdraw",
                stops.since(last)
            );
            ensure!(
                last < stops,
                "{unit} was stopped before the prefixes were withdrawn"
            );
        }
        Ok(())
    }
}

/// After a boot the daemon is there again; after a purge nothing of it is.
fn purge(lab: &Lab, disk: &Disk<'_>) -> Result<()> {
    let container = disk.boot()?;
    container.wait_property(UNIT, "ActiveState", SOON, |state| state == "active")?;
    lab.wait_announced(Site::Fra1)?;
    container.run("DEBIAN_FRONTEND=noninteractive apt purge -y lapwing")?;
    let left = container.run(
        "find / -xdev -iname '*lapwing*' -not -path '/proc/*' -not -path '/root/*' \
         -not -path '/etc/bird/*' -not -path '/var/log/*'; \
         find /sys/fs/bpf /run /etc/systemd -iname '*lapwing*'; \
         getent passwd lapwing; getent group lapwing; \
         systemctl list-unit-files --no-legend '*lapwing*'; \
         ps -e -o comm= | grep -x lapwing; true",
    )?;
    ensure!(left.is_empty(), "the purge has left\n{left}");
    for family in Family::ALL {
        let routes = lab.fra1.routes(family)?;
        ensure!(routes.is_empty(), "table {TABLE} has {routes:?}");
    }
    let hooks = lab.fra1.node.run("bpftool", ["net", "show"])?;
    ensure!(!hooks.contains(OUTER), "the purge has left\n{hooks}");
    container.power_off()
}
