//! The pages of `lapwing replay --html` and `lapwing simulate --html`, looked at in a real
//! browser: what is drawn is there, and in tables, too; nothing else is loaded; and it
//! fits on a narrow screen, light or dark.
//!
//! ```text
//!  capture ── lapwing replay --html ──┐
//!             lapwing simulate --html ┴▶ file:///run/lab/report.html ── chromium
//! ```

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::{
    captures::{ETHERNET, Fate, Traffic, Unit, pcap},
    lab::{browser::Browser, lapwing::binary, netns::Namespace},
};
use tempfile::TempDir;

const PAGE: &str = "/run/lab/report.html";
const PATIENCE: Duration = Duration::from_secs(20);

/// What is wrong with a page for readers who see it, and for those who do not.
const FAULTS: &str = r"(() => {
    const faults = [];
    const all = (selector, of = document) => [...of.querySelectorAll(selector)];
    for (const picture of all('svg')) {
        const name = picture.getAttribute('aria-label');
        if (!name || picture.getAttribute('role') !== 'img') faults.push('a picture without words');
        const drawn = all('.line', picture).filter(line => line.getTotalLength() > 50);
        if (drawn.length === 0) faults.push('nothing is drawn: ' + name);
        if (/NaN|Infinity/.test(picture.outerHTML)) faults.push('no number: ' + name);
    }
    for (const table of all('table')) {
        const name = table.caption?.textContent;
        if (!name) faults.push('a table without a caption');
        if (table.tBodies[0].rows.length === 0) faults.push('an empty table: ' + name);
        if (all('th:not([scope])', table).length > 0) faults.push('a heading of nothing: ' + name);
    }
    for (const wide of all('.wide')) {
        if (wide.tabIndex !== 0 || !wide.getAttribute('aria-label')) {
            faults.push('it cannot be scrolled with the keyboard');
        }
    }
    for (const link of all('a[href^=\'#\']')) {
        if (!document.getElementById(link.hash.slice(1))) faults.push('a dead link: ' + link.hash);
    }
    if (all('svg').length === 0 || all('table').length === 0) faults.push('an empty page');
    if (document.documentElement.scrollWidth > innerWidth) faults.push('wider than the screen');
    return faults.join('\n');
})()";

/// Has a report written.
fn report(arguments: &[&str], directory: &Path) -> Result<String> {
    let page = directory.join("report.html");
    let output = Command::new(binary()?)
        .args(arguments)
        .arg("--html")
        .arg(&page)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    fs::read_to_string(&page).context("the page")
}

/// Looks at a page on screens of all kinds, and leaves it open.
fn look(node: &Namespace, page: &str, heading: &str) -> Result<Browser> {
    node.write(PAGE, page)?;
    let url = format!("file://{PAGE}");
    let mut browser = Browser::open(node, &url)?;
    browser.wait_for("h1", heading, PATIENCE)?;
    let mut papers = Vec::new();
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light")] {
        browser.show_on(width, scheme)?;
        browser.evaluate("document.querySelectorAll('details').forEach(it => it.open = true)")?;
        let faults = browser.evaluate(FAULTS)?;
        ensure!(faults == "", "{width}, {scheme}: {faults}");
        papers.push(browser.evaluate("getComputedStyle(document.body).backgroundColor")?);
    }
    ensure!(papers[0] != papers[1], "dark is not light: {papers:?}");
    ensure!(papers[0] == papers[2], "light again: {papers:?}");
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "{complaints:?}");
    let asked_for = browser.asked_for()?;
    ensure!(asked_for.iter().all(|asked| *asked == url), "{asked_for:?}");
    Ok(browser)
}

#[test]
fn replayed_fault_is_drawn_and_told_and_nothing_is_loaded() -> Result<()> {
    let node = Namespace::new("reader")?;
    let directory = TempDir::new()?;
    let capture = directory.path().join("fault.pcap");
    let silent = |ms: u64| match ms {
        15_000..20_000 => Fate::Silent,
        _ => Fate::Answered,
    };
    let packets = Traffic::new("192.0.2.10:443", 200).packets(Duration::from_secs(25), silent);
    fs::write(&capture, pcap(Unit::Nanoseconds, ETHERNET, &packets))?;
    let capture = capture.display().to_string();
    let page = report(&["replay", &capture, "--host"], directory.path())?;
    let mut browser = look(&node, &page, "Replay of fault.pcap")?;
    let verdict = "Would have been withdrawn: 192.0.2.10/32.";
    browser.wait_for("#verdict", verdict, PATIENCE)?;
    for words in [
        "would be withdrawn",
        "new connections unanswered since the first failure",
        "successes fell far below the expected",
        "would be full again",
    ] {
        browser.wait_for("table.words", words, PATIENCE)?;
    }
    for title in [
        "Trials per second",
        "Highest score of its detectors, as a part of the threshold",
        "Level that 192.0.2.10/32 would have had",
        "Time until the answer, in milliseconds",
        "suspected",
        "withdrawn",
    ] {
        let is_drawn = format!(
            "[...document.querySelectorAll('svg text')].some(it => it.textContent === '{title}')"
        );
        ensure!(browser.evaluate(&is_drawn)? == true, "{title}");
    }
    // Silence is late: as many trials as started in those five seconds.
    let late = "[...document.querySelectorAll('section table')].pop().tBodies[0].rows[0].cells[3].textContent";
    ensure!(
        browser.evaluate(late)? == "1000",
        "{:?}",
        browser.evaluate(late)?
    );
    Ok(())
}

#[test]
fn simulation_is_drawn_and_nothing_is_loaded() -> Result<()> {
    let node = Namespace::new("reader")?;
    let directory = TempDir::new()?;
    let arguments = [
        "simulate",
        "--quick",
        "--scenario",
        "gaps@10",
        "--scenario",
        "unseen",
    ];
    let page = report(&arguments, directory.path())?;
    let mut browser = look(&node, &page, "Simulated decisions")?;
    browser.wait_for("main", "Every scenario went as it must.", PATIENCE)?;
    browser.wait_for("main", "Calm: nothing may be withdrawn", PATIENCE)?;
    browser.wait_for("main", "unseen", PATIENCE)?;
    Ok(())
}
