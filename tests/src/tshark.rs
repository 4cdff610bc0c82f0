//! Wireshark as a witness: how many packets of a capture match which display filter.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

/// What reassembly would add: packets are counted where they are, not where a
/// datagram or a stream is complete.
const PREFERENCES: [&str; 3] = [
    "ip.defragment:FALSE",
    "ipv6.defragment:FALSE",
    "tcp.desegment_tcp_streams:FALSE",
];

/// How many packets match each filter, in one pass over the file. A filter may hold
/// no comma.
pub fn counts(file: &Path, filters: &[String]) -> Result<Vec<u64>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-q", "-r"]).arg(file);
    for preference in PREFERENCES {
        command.args(["-o", preference]);
    }
    command
        .arg("-z")
        .arg(format!("io,stat,0,{}", filters.join(",")));
    let output = command
        .output()
        .context("cannot run tshark; `cargo xtask setup` installs it")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // A truncated capture makes it fail, with the statistics of what it has read.
    ensure!(
        !text.is_empty(),
        "tshark says nothing about {}: {}",
        file.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let Some(row) = text.lines().find(|line| line.contains("<>")) else {
        bail!("no statistics of {} in:\n{text}", file.display());
    };
    // | from <> to | frames | bytes | frames | bytes | ...
    let cells: Vec<u64> = row
        .trim_matches('|')
        .split('|')
        .skip(1)
        .map(str::trim)
        // The table is padded to the width of its title.
        .filter(|cell| !cell.is_empty())
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("not a row of counts: {row}"))?;
    ensure!(
        cells.len() == 2 * filters.len(),
        "{} counts for {} filters: {row}",
        cells.len(),
        filters.len()
    );
    Ok(cells.into_iter().step_by(2).collect())
}
