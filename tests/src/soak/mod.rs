//! Soaks: the same short life of a daemon again and again, with one witness for
//! everything that must not add up.
//!
//! ```text
//! crash     fault or return ─▶ SIGKILL at a random moment ─▶ start ─▶ route as the service is?
//! race      both sites die at once ─▶ one of them announces at all times?
//! restart   SIGTERM ─▶ start ─▶ nothing heard, nothing lost, nothing left?
//! ```
//! A few rounds run as tests (`tests/tests/crash.rs`, `tests/tests/restarts.rs`,
//! `tests/tests/last_site.rs`), many
//! by `cargo xtask soak`.

pub mod crash;
pub mod footprint;
pub mod race;
pub mod restart;

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};

use crate::lab::{
    lapwing::{CONFIG, Lapwing, Settings, web_with},
    topology::{Edge, Family},
};

/// The shortest hold that the configuration takes: a soak is about what happens
/// between holds.
const HOLD: Duration = Duration::from_secs(1);

/// New connections per second of each family. Few enough that two busy cores lose
/// none of them, and enough to arm a detector in a second.
const RATE: u32 = 200;

/// The fast profile, and probes quick enough to judge alone within a second: a daemon
/// that has just started has no detector that may speak.
fn settings() -> Settings {
    Settings {
        hold: HOLD,
        hold_max: HOLD,
        settle: Duration::from_secs(1),
        arm_after: 50,
        // What a day of faults spends, a soak spends in a minute.
        lowerings_per_hour: 1_000_000,
        services: probed_often,
        ..Settings::fast()
    }
}

fn probed_often(family: Family) -> String {
    let endpoint = std::net::SocketAddr::new(family.service(), 80);
    web_with(
        family,
        &format!(
            r#"{{ http = "http://{endpoint}/", status = 200, interval = "100ms", timeout = "100ms", rise = 2, fall = 3 }}"#
        ),
    )
}

/// Reads the whole journal: every line must be a record, and their numbers one
/// unbroken sequence, in a chain that `lapwing journal verify` believes. Returns how many there are.
fn check_journal(edge: &Edge, daemon: &Lapwing) -> Result<u64> {
    let path = daemon.journal_path();
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    ensure!(
        text.ends_with('\n'),
        "the journal of {} ends within a line",
        edge.site
    );
    let mut last = 0;
    for (line, number) in text.lines().zip(1_u64..) {
        let record: serde_json::Value = serde_json::from_str(line)
            .with_context(|| format!("journal line {number} is no record: {line:?}"))?;
        let Some(seq) = record["seq"].as_u64() else {
            bail!("journal line {number} has no number: {line}");
        };
        ensure!(
            seq == last + 1,
            "journal line {number} has number {seq} after {last}"
        );
        last = seq;
    }
    let verified = edge.lapwing_command(&["journal", "verify", "--config", CONFIG])?;
    ensure!(
        verified.status.success(),
        "lapwing journal verify: {}{}",
        String::from_utf8_lossy(&verified.stdout),
        String::from_utf8_lossy(&verified.stderr)
    );
    Ok(last)
}
