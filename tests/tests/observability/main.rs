//! A real Prometheus beside a real daemon, through a fault and back: every recording rule
//! and every query of the dashboards gives something, the alerts of a dead server fire and
//! no others, and they end. Then BIRD and the daemon are killed, and that is alerted.
//!
//! ```text
//!  clients ══ upstream ── fra1: nginx killed and back, BIRD, lapwing ◀── Prometheus
//!                     └── ams1 (announced)                               rules, dashboards
//! ```

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::{
    dashboards,
    lab::{
        bird,
        lapwing::Settings,
        load::Plan,
        prometheus::{self, Prometheus},
        topology::{Edge, Family, Lab, Site},
        wait_until,
    },
};

const SOON: Duration = Duration::from_secs(20);

/// What a killed server has to fire. Only fra1 is scraped, so nobody else is known to be
/// full.
const DEAD: [&str; 4] = [
    "LapwingPrefixNowhereFull",
    "LapwingPrefixWithdrawn",
    "LapwingProbeFailing",
    "LapwingServiceFailed",
];

/// The names of the alerts for which a query over ALERTS gives something.
fn alerts(prometheus: &Prometheus, edge: &Edge, query: &str) -> Result<BTreeSet<String>> {
    let found = prometheus.query(&edge.node, query)?;
    let names = found.iter().map(|sample| &sample["metric"]["alertname"]);
    Ok(names
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect())
}

fn firing(prometheus: &Prometheus, edge: &Edge) -> Result<BTreeSet<String>> {
    alerts(prometheus, edge, r#"ALERTS{alertstate="firing"}"#)
}

/// Waits until exactly these alerts fire.
fn wait_firing(prometheus: &Prometheus, edge: &Edge, expected: &[&str]) -> Result<()> {
    let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
    wait_until("the alerts that are expected fire", SOON, || {
        Ok(firing(prometheus, edge)? == expected)
    })
    .with_context(|| {
        let found = firing(prometheus, edge);
        format!("expected {expected:?}, firing {found:?}")
    })
}

/// What stands now has words for people, with nothing in them that could not be filled in.
fn ensure_told(prometheus: &Prometheus, edge: &Edge) -> Result<()> {
    for alert in prometheus.alerts(&edge.node)? {
        for part in ["summary", "description", "runbook_url"] {
            let text = alert["annotations"][part].as_str().unwrap_or_default();
            ensure!(
                !text.is_empty() && !text.contains("no value") && !text.contains("<error"),
                "{part} of {alert}"
            );
        }
        ensure!(alert["labels"]["severity"].is_string(), "{alert}");
    }
    Ok(())
}

fn ensure_recorded(prometheus: &Prometheus, edge: &Edge) -> Result<()> {
    let mut empty = Vec::new();
    for (_, text) in prometheus::rules()? {
        for line in text.lines() {
            if let Some(name) = line.trim().strip_prefix("- record: ")
                && prometheus.query(&edge.node, name)?.is_empty()
            {
                empty.push(name.to_owned());
            }
        }
    }
    ensure!(empty.is_empty(), "recording rules without data: {empty:?}");
    Ok(())
}

fn ensure_shown(prometheus: &Prometheus, edge: &Edge) -> Result<()> {
    let shown = Duration::from_mins(1);
    let queries = dashboards::queries(shown)?;
    let mut empty = Vec::new();
    for query in &queries {
        let found = prometheus
            .query_last(&edge.node, &query.text, shown)
            .with_context(|| query.place.clone())?;
        if found.is_empty() && !dashboards::may_be_empty(&query.text) {
            empty.push(format!("{}: {}", query.place, query.text));
        }
    }
    println!("{} queries of the dashboards", queries.len());
    ensure!(empty.is_empty(), "nothing to show:\n{}", empty.join("\n"));
    Ok(())
}

#[test]
fn fault_is_recorded_alerted_and_shown_until_it_is_over() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let _load = lab.load(Plan::steady(200))?;
    let settings = Settings {
        bird_socket: Some(bird::SOCKET),
        ..Settings::new()
    };
    let daemon = lab.fra1.lapwing(&settings)?;
    lab.wait_announced(Site::Fra1)?;
    let prometheus = Prometheus::start(&lab.fra1.node, &[prometheus::OWN])?;
    daemon.wait_ready(&lab.fra1.node, Duration::from_secs(40))?;
    wait_firing(&prometheus, &lab.fra1, &[])?;

    lab.fra1.nginx.kill()?;
    wait_firing(&prometheus, &lab.fra1, &DEAD)?;
    ensure_told(&prometheus, &lab.fra1)?;
    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    wait_firing(&prometheus, &lab.fra1, &[])?;
    let ever = alerts(
        &prometheus,
        &lab.fra1,
        r#"max_over_time(ALERTS{alertstate="firing"}[1h])"#,
    )?;
    ensure!(
        ever == DEAD.map(str::to_owned).into(),
        "also fired: {ever:?}"
    );

    // The counter was there at 0, so that a rate sees the first withdraw of each prefix.
    let withdraws = r#"increase(lapwing_decisions_total{action="withdraw"}[5m]) > 0.5"#;
    let withdraws = prometheus.query(&lab.fra1.node, withdraws)?;
    ensure!(withdraws.len() == Family::ALL.len(), "{withdraws:?}");

    // Clients are back, and the rate leg learns anew.
    daemon.wait_ready(&lab.fra1.node, Duration::from_secs(40))?;
    ensure_recorded(&prometheus, &lab.fra1)?;
    ensure_shown(&prometheus, &lab.fra1)?;

    lab.fra1.bird.kill()?;
    wait_firing(
        &prometheus,
        &lab.fra1,
        &["LapwingBirdDown", "LapwingUnhealthy"],
    )?;
    daemon.kill()?;
    wait_firing(&prometheus, &lab.fra1, &["LapwingAbsent"])
}
