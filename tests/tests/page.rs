//! The live page, looked at in a real browser through a fault.
//!
//! ```text
//!  lapwing ── http://127.0.0.1:9477/ ── chromium     nginx at fra1 killed, back, daemon gone
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    bird,
    browser::Browser,
    lapwing::Settings,
    topology::{Family, Lab, Site},
};
use serde_json::Value;

const PAGE: &str = "http://127.0.0.1:9477/";
const PATIENCE: Duration = Duration::from_secs(20);

/// The cell of a prefix in a column, counted from 1.
fn cell(family: Family, column: u32) -> String {
    format!(
        "#prefixes tr[data-name=\"{}\"] > :nth-child({column})",
        family.prefix()
    )
}

#[test]
fn fault_is_seen_in_the_browser_from_the_withdraw_to_the_return() -> Result<()> {
    let mut lab = Lab::start()?;
    let daemon = lab.fra1.lapwing(&Settings {
        bird_socket: Some(bird::SOCKET),
        ..Settings::new()
    })?;
    lab.wait_announced(Site::Fra1)?;
    let mut browser = Browser::open(&lab.fra1.node, PAGE)?;
    browser.wait_for("#verdict-words", "All is well", PATIENCE)?;
    browser.wait_for("#who", "fra1 / fra1-edge1", PATIENCE)?;
    for family in Family::ALL {
        browser.wait_for(&cell(family, 2), "✓ full", PATIENCE)?;
    }
    browser.wait_for("#services tr[data-name=web4]", "✓ passes", PATIENCE)?;
    browser.wait_for("#services tr[data-name=web6]", "✓ passes", PATIENCE)?;
    browser.wait_for("#daemon", "eth0 ingress", PATIENCE)?;
    browser.wait_for("#decisions", "first announcement", PATIENCE)?;

    lab.fra1.nginx.kill()?;
    browser.wait_for("#verdict-words", "WITHDRAWN", PATIENCE)?;
    for family in Family::ALL {
        browser.wait_for(&cell(family, 2), "✕ withdrawn", PATIENCE)?;
    }
    browser.wait_for("#services tr[data-name=web4]", "✕ failed", PATIENCE)?;
    browser.wait_for("#decisions", "192.0.2.0/24 withdrawn", PATIENCE)?;
    browser.wait_for(
        "#decisions",
        "web4: the probe failed 3 times in a row",
        PATIENCE,
    )?;
    browser.wait_for("#troubles", "web4 is held to be dead", PATIENCE)?;
    let shown = |browser: &mut Browser| {
        browser.evaluate("document.querySelectorAll('#services tbody tr').length")
    };
    browser.evaluate("document.getElementById('filter').value = 'web6'; showServices()")?;
    ensure!(shown(&mut browser)? == 1, "the filter shows one");
    browser.evaluate("document.getElementById('filter').value = ''; showServices()")?;
    browser.evaluate("document.getElementById('attention').click()")?;
    ensure!(shown(&mut browser)? == 2, "both need attention");

    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    browser.wait_for("#verdict-words", "All is well", PATIENCE)?;
    for family in Family::ALL {
        browser.wait_for(&cell(family, 2), "✓ full", PATIENCE)?;
        browser.wait_for(&cell(family, 7), "once", PATIENCE)?;
    }
    ensure!(shown(&mut browser)? == 0, "nothing needs attention");

    drop(daemon);
    browser.wait_for("#verdict-words", "No answer since", PATIENCE)?;
    browser.wait_for("#stale", "It cannot be reached", PATIENCE)?;
    let greyed = browser.evaluate("document.body.classList.contains('stale')")?;
    ensure!(greyed == true, "what is old is grey");
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

/// The fields of an object, in order.
fn names(value: &Value) -> Vec<&str> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, _)| name.as_str()).collect()
}

#[test]
fn decisions_are_there_after_a_restart_and_strangers_get_none() -> Result<()> {
    let lab = Lab::start()?;
    let settings = Settings::new();
    let ask = |path: &str, more: &[&str]| {
        let url = format!("http://127.0.0.1:9477{path}");
        let arguments = ["-sS", "-m", "5", &url]
            .into_iter()
            .chain(more.iter().copied());
        lab.fra1.node.run("curl", arguments)
    };
    let decisions = || -> Result<Vec<Value>> {
        let answer: Value = serde_json::from_str(&ask("/api/v1/decisions", &[])?)?;
        Ok(answer["decisions"].as_array().context("a list")?.clone())
    };
    let daemon = lab.fra1.lapwing(&settings)?;
    lab.wait_announced(Site::Fra1)?;
    lapwing_tests::lab::wait_until("both decisions are told", PATIENCE, || {
        Ok(decisions()?.len() == 2)
    })?;
    let before = decisions()?;
    let fields = [
        "cause", "class", "event", "guard", "level", "prefix", "sentence", "seq", "time",
    ];
    ensure!(names(&before[0]) == fields, "{before:?}");
    drop(daemon);
    let _daemon = lapwing_tests::lab::lapwing::Lapwing::start_again(&lab.fra1.node, &settings)?;
    lapwing_tests::lab::wait_until("the daemon answers", PATIENCE, || Ok(decisions().is_ok()))?;
    let after = decisions()?;
    ensure!(after.ends_with(&before), "{after:?} after {before:?}");
    let status: Value = serde_json::from_str(&ask("/api/v1/status", &[])?)?;
    ensure!(status["site"] == "fra1", "{status}");
    for path in ["/", "/api/v1/status", "/api/v1/decisions"] {
        let code = [
            "-H",
            "Host: evil.example",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ];
        let code = ask(path, &code)?;
        ensure!(code == "421", "{path}: {code}");
    }
    Ok(())
}
