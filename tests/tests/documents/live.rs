//! The commands of the manual's blocks that change nothing, as an operator gives them at an
//! edge, next to a daemon that has something to tell.

use std::{collections::BTreeSet, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::{
    lab::{
        bird,
        lapwing::{CONFIG, Lapwing, Settings, binary},
        load::Plan,
        topology::{Edge, Family, Lab, Site},
        wait_until,
    },
    manual,
};

use super::{blocks, commands::PROGRAMS};

/// Commands that are not run here, by how they begin, and why.
const NOT_RUN: [(&str, &str); 17] = [
    (
        "birdc show bfd sessions",
        "no witness here, so no BFD; tests/last_site.rs has both",
    ),
    (
        "apt install",
        "changes the machine; tried by hand in a container",
    ),
    (
        "cargo xtask",
        "what runs these tests; xtask's own test reads them",
    ),
    ("ethtool", "counters of a real network card"),
    ("ip -ts monitor route", "goes on until it is stopped"),
    ("journalctl", "no systemd in the lab"),
    ("lapwing simulate --docs", "hours"),
    ("lapwing simulate --html", "hours"),
    ("lapwing simulate --scenario", "hours"),
    ("lapwing simulate --with", "its file takes hours"),
    ("mtr", "not installed; and nobody to trace"),
    (
        "ip route show table 4243",
        "no witness here; tests/last_site.rs has them",
    ),
    ("ssh", "from another machine"),
    ("lapwing top", "needs a terminal; tests/top.rs has one"),
    ("systemctl", "no systemd in the lab"),
    (
        "lapwing simulate --quick",
        "a minute; its JSON is tested with one scenario",
    ),
    (
        "lapwing doctor",
        "finds what a lab lacks; tests/doctor.rs has it whole",
    ),
];

/// The command as it has to be given in the lab, if it can be.
fn here(line: &str) -> Result<Option<String>> {
    let is = |begin: &str| line == begin || line.starts_with(&format!("{begin} "));
    if line == "lapwing simulate" || NOT_RUN.iter().any(|(begin, _)| is(begin)) {
        return Ok(None);
    }
    // What a filter shows depends on what happens to be wrong.
    let (asked, filter) = line.split_once(" | ").unwrap_or((line, ""));
    if let Some(pattern) = filter.strip_prefix("grep ") {
        ensure_metrics(pattern)?;
    }
    let (program, arguments) = asked.split_once(' ').unwrap_or((asked, ""));
    let lapwing = binary()?.display().to_string();
    Ok(Some(match program {
        name if PROGRAMS.contains(&name) => {
            let arguments = arguments.replace("/etc/lapwing/lapwing.toml", CONFIG);
            let reads_the_journal = ["explain", "journal"]
                .iter()
                .any(|verb| arguments.starts_with(verb));
            let config = if reads_the_journal {
                format!(" --config {CONFIG}")
            } else {
                String::new()
            };
            format!("{lapwing} {arguments}{config}")
        }
        "birdc" => format!("birdc -s {} {arguments}", bird::SOCKET),
        _ => asked
            .replace("/var/lib/lapwing", "/run/lapwing/state")
            .replace("/run/bird/bird.ctl", bird::SOCKET),
    }))
}

/// What a filter looks for among the metrics is there.
fn ensure_metrics(pattern: &str) -> Result<()> {
    let known = std::fs::read_to_string(manual::root().join("docs/metrics.md"))?;
    let pattern = pattern.trim_start_matches("-E ").trim_matches('\'');
    for name in pattern.split('|') {
        let name = name.trim_end_matches("_sum");
        ensure!(known.contains(name), "no metric is called {name}");
    }
    Ok(())
}

/// A daemon with orders, decisions and a journal.
pub struct Stage {
    /// The daemon; ends first.
    pub daemon: Lapwing,
    /// Where it runs.
    pub lab: Lab,
}

impl Stage {
    /// Prefixes were degraded by an order, and are full again.
    pub fn set() -> Result<Self> {
        let lab = Lab::start()?;
        let settings = Settings {
            bird_socket: Some(bird::SOCKET),
            ..Settings::new()
        };
        let daemon = lab.fra1.lapwing(&settings)?;
        lab.wait_announced(Site::Fra1)?;
        let _load = lab.load(Plan::steady(100))?;
        daemon.wait_armed(&lab.fra1.node, Duration::from_mins(1))?;
        let stage = Self { daemon, lab };
        stage.ordered(
            &["pin", "all", "--level", "degraded", "--reason", "a test"],
            "degraded",
        )?;
        stage.ordered(&["unpin", "all"], "full")?;
        stage.give(&["pin", Family::V4.prefix(), "--for", "1h"])?;
        Ok(stage)
    }

    /// The edge.
    pub fn edge(&self) -> &Edge {
        &self.lab.fra1
    }

    fn give(&self, order: &[&str]) -> Result<()> {
        let output = self.edge().lapwing_command(order)?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{order:?}: {told}");
        Ok(())
    }

    /// Gives an order and waits until all prefixes stand so.
    fn ordered(&self, order: &[&str], level: &str) -> Result<()> {
        self.give(order)?;
        wait_until(&format!("all are {level}"), Duration::from_secs(30), || {
            let status = self.daemon.status(&self.edge().node)?;
            let prefixes = status["prefixes"].as_array().context("prefixes")?;
            Ok(prefixes.iter().all(|prefix| prefix["observed"] == *level))
        })
    }
}

#[test]
fn commands_that_change_nothing_do_what_the_manual_has_them_for() -> Result<()> {
    let stage = Stage::set()?;
    let mut given = BTreeSet::new();
    let mut reasons = BTreeSet::new();
    let mut failed = Vec::new();
    for block in blocks(&["", "sh"])? {
        for line in manual::commands(&block.text) {
            let place = format!("{}:{}: {line}", block.page, block.line);
            let Some(command) = here(line).with_context(|| place.clone())? else {
                let why = NOT_RUN.iter().find(|(begin, _)| line.starts_with(begin));
                reasons.extend(why.map(|(begin, _)| *begin));
                continue;
            };
            if !given.insert(command.clone()) {
                continue;
            }
            let mut shell = Command::new("sh");
            shell.args(["-ec", &command]);
            let output = stage.edge().node.output(shell, "")?;
            if !output.status.success() || output.stdout.is_empty() {
                failed.push(format!(
                    "{place}: {}, and prints {:?}\n{}",
                    output.status,
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                ));
            }
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    println!("{} commands: {given:#?}", given.len());
    ensure!(given.len() > 15, "{given:?}");
    for (begin, reason) in NOT_RUN {
        ensure!(
            reasons.contains(begin),
            "no page has `{begin}` any more ({reason})"
        );
    }
    Ok(())
}
