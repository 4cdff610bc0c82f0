//! What each command prints as JSON is what its schema in `docs/schema/` says, and no schema
//! is without one.

use std::{collections::BTreeSet, fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::{
    lab::{
        lapwing::{CONFIG, binary},
        wait_until,
    },
    manual,
};
use serde_json::Value;

use super::live::Stage;

/// Checks one document, and remembers that its kind was seen.
struct Checker {
    seen: BTreeSet<String>,
}

impl Checker {
    fn check(&mut self, name: &str, document: &Value) -> Result<()> {
        let path = manual::root().join(format!("docs/schema/{name}.json"));
        let schema = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let validator = jsonschema::validator_for(&serde_json::from_str(&schema)?)?;
        let errors: Vec<String> = validator
            .iter_errors(document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        ensure!(errors.is_empty(), "{name}: {errors:#?}\n{document:#}");
        self.seen.insert(name.to_owned());
        Ok(())
    }
}

/// What a command prints at the edge, whatever its exit code.
fn printed(stage: &Stage, arguments: &[&str], code: i32) -> Result<Value> {
    let output = stage.edge().lapwing_command(arguments)?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(code),
        "{arguments:?}: {}: {told}",
        output.status
    );
    serde_json::from_slice(&output.stdout).with_context(|| format!("{arguments:?}: {told}"))
}

/// What the page's API answers.
fn answered(stage: &Stage, path: &str) -> Result<Value> {
    let url = format!("http://127.0.0.1:9477{path}");
    let text = stage.edge().node.run("curl", ["-sS", &url])?;
    serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))
}

/// A capture without a packet.
const EMPTY_CAPTURE: [u8; 24] = [
    0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0,
];

#[test]
fn documents_are_what_their_schemas_say() -> Result<()> {
    let stage = Stage::set()?;
    let mut checker = Checker {
        seen: BTreeSet::new(),
    };
    let mut check = |name: &str, document: Value| checker.check(name, &document);

    // The state is made once a second.
    wait_until("the API answers", Duration::from_secs(10), || {
        Ok(answered(&stage, "/api/v1/status")?["troubles"].is_array())
    })?;
    check("status", printed(&stage, &["status", "--json"], 0)?)?;
    check("api-status", answered(&stage, "/api/v1/status")?)?;
    let decisions = answered(&stage, "/api/v1/decisions?limit=5")?;
    ensure!(decisions["decisions"][0]["seq"].is_u64(), "{decisions}");
    check("decisions", decisions)?;

    let ours = ["--json", "--config", CONFIG];
    let with = |arguments: &[&'static str]| [arguments, &ours].concat();
    check("explain", printed(&stage, &with(&["explain", "last"]), 0)?)?;
    check(
        "journal-summary",
        printed(&stage, &with(&["journal", "summary"]), 0)?,
    )?;
    check(
        "journal-verify",
        printed(&stage, &with(&["journal", "verify"]), 0)?,
    )?;
    let output = stage.edge().lapwing_command(&with(&["doctor"]))?;
    check("doctor", serde_json::from_slice(&output.stdout)?)?;

    check("check", printed(&stage, &["check", CONFIG, "--json"], 0)?)?;
    let nothing = printed(&stage, &["reload", "--check", "--json"], 0)?;
    ensure!(
        nothing["applied"] == false && nothing["changes"] == serde_json::json!([]),
        "{nothing}"
    );
    check("reload", nothing)?;
    check("reload", printed(&stage, &["reload", "--json"], 0)?)?;
    // With a mistake in it.
    let node = &stage.edge().node;
    let good = fs::read_to_string(node.path(CONFIG))?;
    node.write(
        CONFIG,
        &good.replace("[detect]", "[detect]\ncolour = \"red\""),
    )?;
    let bad = printed(&stage, &["check", CONFIG, "--json"], 2)?;
    ensure!(bad["mistakes"][0]["line"].is_u64(), "{bad}");
    check("check", bad)?;
    let refused = printed(&stage, &["reload", "--json"], 2)?;
    ensure!(refused["refused"].is_string(), "{refused}");
    check("reload", refused)?;
    check("status", printed(&stage, &["status", "--json"], 0)?)?;

    check("replay", replayed()?)?;
    check("simulate", simulated()?)?;

    let mut schemas = BTreeSet::new();
    for entry in fs::read_dir(manual::root().join("docs/schema"))? {
        let name = entry?.file_name().into_string().ok().context("a name")?;
        schemas.insert(name.trim_end_matches(".json").to_owned());
    }
    ensure!(
        schemas == checker.seen,
        "{schemas:?}, seen {:?}",
        checker.seen
    );
    Ok(())
}

fn replayed() -> Result<Value> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("empty.pcap");
    fs::write(&file, EMPTY_CAPTURE)?;
    let mut command = Command::new(binary()?);
    command.arg("replay").arg(&file);
    command.args(["--service", "192.0.2.1:80/tcp", "--host", "--json"]);
    Ok(serde_json::from_slice(&command.output()?.stdout)?)
}

fn simulated() -> Result<Value> {
    let mut command = Command::new(binary()?);
    command.args([
        "simulate",
        "--quick",
        "--days",
        "1",
        "--scenario",
        "gaps@10",
        "--json",
    ]);
    let output = command.output()?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
