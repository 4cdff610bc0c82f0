//! The rules as `promtool` reads them, and their tests; every alert is fired by one.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana/rules")
}

/// The `.yml` files of a directory, in order.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "yml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn promtool(order: &str, files: &[PathBuf]) -> Result<()> {
    let output = Command::new("promtool")
        .args([order, "rules"])
        .args(files)
        .output()
        .context("promtool: the package prometheus has it")?;
    ensure!(
        output.status.success(),
        "promtool {order} rules:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn rules_are_well_formed() -> Result<()> {
    promtool("check", &files(&rules())?)
}

#[test]
fn alerts_fire_when_they_should_and_only_then() -> Result<()> {
    let tests = files(&rules().join("tests"))?;
    ensure!(!tests.is_empty(), "no tests");
    promtool("test", &tests)
}

#[test]
fn every_alert_and_every_recording_rule_is_tested() -> Result<()> {
    let mut tests = String::new();
    for file in files(&rules().join("tests"))? {
        tests += &fs::read_to_string(file)?;
    }
    let mut named = BTreeSet::new();
    for file in files(&rules())? {
        for line in fs::read_to_string(file)?.lines() {
            let line = line.trim();
            if let Some(alert) = line.strip_prefix("- alert: ") {
                named.insert(format!("alertname=\"{alert}\""));
            }
            if let Some(record) = line.strip_prefix("- record: ") {
                named.insert(record.to_owned());
            }
        }
    }
    ensure!(named.len() > 30, "{named:?}");
    let untested: Vec<_> = named
        .iter()
        .filter(|name| !tests.contains(&**name))
        .collect();
    ensure!(untested.is_empty(), "nothing expects {untested:?}");
    Ok(())
}
