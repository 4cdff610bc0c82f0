//! The journal as evidence: what `lapwing explain`, `journal summary` and `journal
//! verify` make of real incidents.
//!
//! ```text
//!  clients ── upstream ── fra1   nginx killed and started again; lapwing and its journal
//!                 └────── ams1
//! ```

use std::{process::Output, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    lapwing::{CONFIG, JOURNAL, Settings},
    load::Plan,
    topology::{Edge, Family, Lab, Site},
};
use serde_json::Value;

fn told(output: &Output, code: i32) -> Result<String> {
    ensure!(output.status.code() == Some(code), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
    Ok(text)
}

fn json(edge: &Edge, arguments: &[&str]) -> Result<Value> {
    let mut all = arguments.to_vec();
    all.extend(["--json", "--config", CONFIG]);
    let output = edge.lapwing_command(&all)?;
    Ok(serde_json::from_str(&told(&output, 0)?)?)
}

fn explain(edge: &Edge, id: &str) -> Result<Output> {
    edge.lapwing_command(&["explain", id, "--config", CONFIG])
}

fn has(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "no {part:?} in\n{text}");
    }
    Ok(())
}

#[test]
fn a_withdraw_is_explained_from_its_first_failure_to_its_end() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let _load = lab.load(Plan::steady(1000))?;
    let mut daemon = lab.fra1.lapwing(&Settings::fast())?;
    lab.wait_announced(Site::Fra1)?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_secs(30))?;
    lab.fra1.nginx.kill()?;
    let decisions = daemon
        .journal()
        .wait_decisions("withdrawn", Duration::from_secs(10))?;
    std::thread::sleep(Duration::from_millis(300));
    let text = told(&explain(&lab.fra1, "last")?, 0)?;
    has(&text, &["was WITHDRAWN", "no later decision"])?;

    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    daemon
        .journal()
        .wait_decisions("full", Duration::from_secs(30))?;
    std::thread::sleep(Duration::from_millis(300));
    for (family, decision) in Family::ALL.into_iter().zip(&decisions) {
        ensure!(decision.0["config"].is_string(), "{decision:?}");
        let seq = decision.0["seq"].to_string();
        let text = told(&explain(&lab.fra1, &seq)?, 0)?;
        let kernel = "the kernel has the route withdrawn";
        let common = ["was WITHDRAWN", "Class", "Guards", "Config", kernel];
        has(&text, &common)?;
        has(
            &text,
            &[
                "decided: full",
                "it was decided full",
                decision.text("sentence"),
            ],
        )?;
        if decision.text("cause") == "live_trials" {
            let live = [
                "Trials",
                "Usual",
                "Detector",
                "Second leg",
                "first trial that failed",
            ];
            has(&text, &live)?;
        }
        let told = json(&lab.fra1, &["explain", &seq])?;
        ensure!(told["end"]["level"] == "full", "{family}: {told}");
        ensure!(told["record"]["seq"] == decision.0["seq"], "{told}");
    }
    let refused = explain(&lab.fra1, "1")?;
    ensure!(refused.status.code() == Some(2), "{refused:?}");
    has(
        &String::from_utf8_lossy(&refused.stderr),
        &["record 1 tells of `started` and is no decision"],
    )?;

    let summary = json(&lab.fra1, &["journal", "summary", "--since", "1h"])?;
    let done = summary["done"].as_array().context("done")?;
    ensure!(done.len() == 2, "{summary}");
    ensure!(done.iter().all(|lowering| lowering["seconds"].is_number()));

    let verify = || {
        lab.fra1
            .lapwing_command(&["journal", "verify", "--config", CONFIG])
    };
    has(&told(&verify()?, 0)?, &["whole: ", "last record "])?;
    ensure!(daemon.stop()?.success());
    let path = lab.fra1.node.path(JOURNAL);
    let journal = std::fs::read_to_string(&path)?;
    let without: Vec<&str> = journal
        .lines()
        .filter(|line| !line.contains(&format!("{{\"seq\":{},", decisions[0].0["seq"])))
        .collect();
    std::fs::write(&path, without.join("\n") + "\n")?;
    let seq = decisions[0].0["seq"].as_u64().context("seq")?;
    let broken = format!("BROKEN at {JOURNAL}:{seq}, record {}", seq + 1);
    has(&told(&verify()?, 3)?, &[&broken])
}

#[test]
fn shadow_mode_sums_up_what_it_would_have_done() -> Result<()> {
    let mut lab = Lab::start()?;
    for site in Site::ALL {
        lab.announce(site)?;
    }
    let _load = lab.load(Plan::steady(1000))?;
    let mut daemon = lab.fra1.lapwing(&Settings {
        mode: "observe",
        ..Settings::fast()
    })?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_secs(30))?;
    lab.fra1.nginx.kill()?;
    let mut held = 0;
    daemon.journal().wait(Duration::from_secs(10), |record| {
        held += usize::from(record.is_some_and(|record| record.text("guard") == "observe"));
        Ok(held >= Family::ALL.len())
    })?;
    std::thread::sleep(Duration::from_secs(2));
    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    let mut good = 0;
    daemon.journal().wait(Duration::from_secs(30), |record| {
        good += usize::from(
            record.is_some_and(|record| record.event() == "verdict" && record.0["failed"] == false),
        );
        Ok(good >= Family::ALL.len())
    })?;
    let text = lab
        .fra1
        .lapwing_command(&["journal", "summary", "--config", CONFIG])?;
    has(
        &told(&text, 0)?,
        &[
            "mode observe",
            "would have withdrawn 2 times:",
            "held by observe",
        ],
    )?;
    let summary = json(&lab.fra1, &["journal", "summary"])?;
    ensure!(summary["done"] == Value::Array(Vec::new()), "{summary}");
    let would = summary["would_have"].as_array().context("would_have")?;
    ensure!(
        would.iter().all(|lowering| lowering["seconds"].is_number()),
        "{summary}"
    );
    let seq = would[0]["seq"].to_string();
    let explained = explain(&lab.fra1, &seq)?;
    has(
        &told(&explained, 0)?,
        &[
            "was NOT withdrawn: held by observe",
            "the route was not touched",
        ],
    )
}
