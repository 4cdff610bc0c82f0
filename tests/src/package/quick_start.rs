//! `docs/quick-start.md`, followed to the letter: its blocks flow in, in their order, and
//! what they promise is looked at.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};

use super::{CONFIG, SOON, Stage};
use crate::lab::{
    prometheus::Prometheus,
    topology::{Family, Site},
    wait_until,
};

/// From the package to observing takes no more commands.
const MOST_COMMANDS: usize = 5;
/// Exit codes that are no failure: `doctor` says that something could be better.
const DOCTOR_FOUND: i32 = 3;

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
struct Block<'a> {
    language: &'a str,
    text: String,
}

/// Follows the document.
pub fn play(stage: &Stage<'_>, document: &Path) -> Result<()> {
    let text =
        fs::read_to_string(document).with_context(|| format!("reading {}", document.display()))?;
    let blocks = blocks(&text);
    let languages: Vec<&str> = blocks.iter().map(|block| block.language).collect();
    let [install, scrape, prefix, observe] = blocks.as_slice() else {
        anyhow::bail!("the quick start has other blocks: {languages:?}");
    };
    ensure!(
        languages == ["sh", "yaml", "toml", "sh"],
        "the quick start has other blocks: {languages:?}"
    );

    stage.heard.drain();
    let commands = follow(stage, install)?;
    ensure!(
        commands <= MOST_COMMANDS,
        "{commands} commands from the package to observing"
    );
    observes(stage)?;
    feeds_dashboards(stage, scrape)?;

    let config = fs::read_to_string(stage.disk.path(CONFIG))?;
    stage.disk.write(CONFIG, config + "\n" + &prefix.text)?;
    follow(stage, observe)?;
    wait_until("the prefix is decided about", SOON, || {
        Ok(stage.status()?["prefixes"][0]["prefix"] == Family::V4.prefix())
    })?;
    stage.heard.ensure_quiet("it only observes")
}

/// Runs a block's commands as they are; tells how many they were.
fn follow(stage: &Stage<'_>, block: &Block<'_>) -> Result<usize> {
    let commands: Vec<&str> = block.text.lines().collect();
    for command in &commands {
        println!("      # {command}");
        let output = stage.container.output(command)?;
        let code = output.status.code();
        let found = command.starts_with("lapwing doctor") && code == Some(DOCTOR_FOUND);
        ensure!(
            output.status.success() || found,
            "{command}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(commands.len())
}

/// The service is seen, the page and the metrics answer.
fn observes(stage: &Stage<'_>) -> Result<()> {
    for family in Family::ALL {
        let endpoint = std::net::SocketAddr::new(family.service(), 80).to_string();
        wait_until(&format!("{endpoint} is observed"), SOON, || {
            let status = stage.container.run("lapwing status")?;
            Ok(status.contains(&endpoint))
        })?;
    }
    for (path, expected) in [
        ("/", "<html"),
        ("/metrics", "lapwing_build_info"),
        ("/healthz", ""),
    ] {
        let answer = stage
            .container
            .run(&format!("curl -fsS http://127.0.0.1:9477{path}"))?;
        ensure!(
            answer.contains(expected),
            "{path} answers without {expected:?}:\n{answer}"
        );
    }
    Ok(())
}

/// A Prometheus with the document's own configuration has what the dashboards ask for.
fn feeds_dashboards(stage: &Stage<'_>, scrape: &Block<'_>) -> Result<()> {
    let node = &stage.lab.edge(Site::Fra1).node;
    let prometheus = Prometheus::with_config(node, &scrape.text)?;
    for query in ["up{job=\"lapwing\"} == 1", "lapwing_tcp_syn_total"] {
        wait_until(&format!("Prometheus has {query}"), SOON, || {
            Ok(!prometheus.query(node, query)?.is_empty())
        })?;
    }
    Ok(())
}

fn blocks(document: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for line in document.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                open = Some(Block {
                    language,
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text += line;
                block.text += "\n";
            }
            (None, None) => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_what_stands_between_fences() {
        let found = blocks("one\n```sh\na b\nc\n```\ntwo\n```yaml\nd: e\n```\n");
        let block = |language, text: &str| Block {
            language,
            text: text.to_owned(),
        };
        assert_eq!(found, [block("sh", "a b\nc\n"), block("yaml", "d: e\n")]);
    }
}
