//! What the scenarios share: one lab for all, and for each a fresh daemon at fra1
//! that has learned its clients, a capture upstream, and the journal.
//!
//! ```text
//!  clients ══ upstream ──(capture)── fra1   nginx or knot, lapwing; alone in announcing
//!  attackers ══╝
//! ```
//! Only fra1 announces, so that clients come to a degraded site as before.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    bgp::{Attributes, Change},
    capture::Capture,
    flood::NOBODY,
    lapwing::{Lapwing, Record, Settings},
    load::{Load, Plan},
    topology::{Family, Lab, Site},
    wait_until,
    withdrawal::clear_state,
};

/// New connections per second of ordinary clients to each family's address.
pub const RATE: u32 = 100;

/// A busy machine is slow; nothing here is about milliseconds.
pub const PATIENT: Duration = Duration::from_secs(40);

static LAB: Mutex<Option<Lab>> = Mutex::new(None);

/// Plays a scenario in the lab that all of them share. One that fails may have left
/// its fault behind, so the next one gets a new lab.
pub fn play(scenario: impl FnOnce(&mut Lab) -> Result<()>) -> Result<()> {
    let mut place = LAB.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lab = match place.take() {
        Some(lab) => lab,
        None => build()?,
    };
    scenario(&mut lab)?;
    *place = Some(lab);
    Ok(())
}

fn build() -> Result<Lab> {
    let lab = Lab::start()?;
    for network in NOBODY {
        // Nobody tells the site that its answers arrive nowhere.
        lab.upstream
            .ip(&format!("route add blackhole {network}\n"))?;
    }
    Ok(lab)
}

/// The settings of most scenarios: as in the field, but quick to learn.
pub fn settings() -> Settings {
    Settings {
        arm_after: 100,
        ..Settings::new()
    }
}

/// Ordinary clients. They wait for a SYN that is sent again.
pub fn plan() -> Plan {
    Plan {
        timeout: Duration::from_secs(3),
        ..Plan::steady(RATE)
    }
}

/// A daemon that guards its services, and what its acts are judged by.
pub struct Watched {
    /// The daemon.
    pub daemon: Lapwing,
    heard: Capture,
    records: Vec<Record>,
}

/// Starts a daemon beside clients that already come, and waits until it knows them.
pub fn watch(lab: &Lab, settings: &Settings) -> Result<Watched> {
    clear_state(&lab.fra1)?;
    let mut daemon = lab.fra1.lapwing(settings)?;
    lab.wait_announced(Site::Fra1)?;
    daemon.wait_ready(&lab.fra1.node, PATIENT)?;
    let heard = lab.capture(Site::Fra1)?;
    daemon.journal().read()?;
    Ok(Watched {
        daemon,
        heard,
        records: Vec::new(),
    })
}

/// As [`watch`], with clients of the web server.
pub fn watch_web(lab: &Lab, settings: &Settings) -> Result<(Load, Watched)> {
    let load = lab.load(plan())?;
    let watched = watch(lab, settings)?;
    load.drain();
    Ok((load, watched))
}

impl Watched {
    /// Every record since the daemon was ready.
    pub fn records(&mut self) -> Result<&[Record]> {
        let fresh = self.daemon.journal().read()?;
        self.records.extend(fresh);
        Ok(&self.records)
    }

    /// The journal in words, for messages.
    pub fn told(&mut self) -> String {
        let records = self.records().unwrap_or_default();
        let lines = records.iter().map(|record| {
            format!(
                "  {} {}{}{} {}\n",
                record.event(),
                record.text("service"),
                record.text("prefix"),
                record
                    .0
                    .get("guard")
                    .or(record.0.get("level"))
                    .map(|value| format!(" {value}"))
                    .unwrap_or_default(),
                record.text("sentence"),
            )
        });
        lines.collect()
    }

    /// Lets time pass while nothing may be decided and nothing be heard upstream.
    pub fn stays_full(&mut self, lab: &Lab, time: Duration) -> Result<()> {
        thread::sleep(time);
        let decided = self
            .records()?
            .iter()
            .any(|record| record.event() == "decision");
        ensure!(!decided, "decided:\n{}", self.told());
        let heard = self.heard.drain();
        ensure!(
            heard.is_empty(),
            "heard upstream: {heard:?}\n{}",
            self.told()
        );
        let status = self.daemon.status(&lab.fra1.node)?;
        for prefix in status["prefixes"].as_array().context("prefixes")? {
            ensure!(
                prefix["wanted"] == "full" && prefix["observed"] == "full",
                "{prefix}"
            );
        }
        Ok(())
    }

    /// Whether a guard held something on account of this kind of trials.
    pub fn was_held(&mut self, guard: &str, kind: &str) -> Result<bool> {
        Ok(self.records()?.iter().any(|record| {
            record.event() == "held"
                && record.text("guard") == guard
                && record.0["reason"]["kind"] == kind
        }))
    }

    /// Fails unless a guard held something on account of this kind of trials.
    pub fn expect_held(&mut self, guard: &str, kind: &str) -> Result<()> {
        let held = self.was_held(guard, kind)?;
        ensure!(held, "not held by {guard} for {kind}:\n{}", self.told());
        Ok(())
    }

    /// Waits for the decision that brings the prefix of `family` to `level`. Whatever is
    /// decided about it before is an error.
    pub fn decision(&mut self, family: Family, level: &str, timeout: Duration) -> Result<Record> {
        let decided = |record: &Record| {
            record.event() == "decision" && record.text("prefix") == family.prefix()
        };
        let waited = wait_until("a decision", timeout, || {
            Ok(self.records()?.iter().any(decided))
        });
        waited.with_context(|| format!("{family} to {level}:\n{}", self.told()))?;
        let Some(at) = self.records.iter().position(decided) else {
            anyhow::bail!("it was there");
        };
        ensure!(
            self.records[at].decides(family, level),
            "{family}, but not to {level}:\n{}",
            self.told()
        );
        // What is decided next is looked for behind it.
        Ok(self.records.remove(at))
    }

    /// Waits for the same decision about both prefixes, and for what upstream hears of
    /// it: one UPDATE each and nothing else.
    pub fn decisions(&mut self, level: &str, timeout: Duration) -> Result<[Record; 2]> {
        let [v4, v6] = Family::ALL.map(|family| self.decision(family, level, timeout));
        let decisions = [v4?, v6?];
        let mut awaited = Family::ALL.map(|family| expected(family, level)).to_vec();
        while !awaited.is_empty() {
            let Some(heard) = self.heard.next(Duration::from_secs(5)) else {
                anyhow::bail!("not heard upstream: {awaited:?}\n{}", self.told());
            };
            let update = (heard.change, heard.attributes);
            let Some(at) = awaited.iter().position(|awaited| *awaited == update) else {
                anyhow::bail!(
                    "heard {update:?} while waiting for {awaited:?}\n{}",
                    self.told()
                );
            };
            awaited.remove(at);
        }
        Ok(decisions)
    }

    /// Fails if upstream heard anything more.
    pub fn nothing_more(&mut self) -> Result<()> {
        let heard = self.heard.drain();
        ensure!(heard.is_empty(), "also heard: {heard:?}\n{}", self.told());
        Ok(())
    }
}

/// The UPDATE by which upstream hears of a level.
fn expected(family: Family, level: &str) -> (Change, Attributes) {
    let announced = Change::Announce(family.network());
    let at_full = Attributes {
        path: vec![64501],
        ..Attributes::default()
    };
    match level {
        "full" => (announced, at_full),
        "degraded" => {
            let attributes = Attributes {
                path: vec![64501; 3],
                communities: vec![(65535, 0)],
                ..at_full
            };
            (announced, attributes)
        }
        _ => (Change::Withdraw(family.network()), Attributes::default()),
    }
}

/// The class of fault that a decision names.
pub fn class(decision: &Record) -> &str {
    decision.0["reason"]["class"].as_str().unwrap_or_default()
}

/// Whether so much of what clients began was answered, in percent.
pub fn answered_percent(load: &Load, time: Duration) -> Result<u32> {
    let got = load.collect(time)?;
    let answered = got.answers(Site::Fra1);
    Ok(answered * 100 / (answered + got.failures()).max(1))
}
