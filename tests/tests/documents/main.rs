//! What the manual shows is what there is: every block of every page is of a known kind;
//! configurations are good, commands are understood, and those that change nothing run
//! against a daemon in the lab; what is printed as JSON is what its schema says.
//!
//! ```text
//! README.md, docs/, bird-config/, packaging/ ─▶ toml ─▶ the daemon's own reader
//!                                               sh   ─▶ clap ─▶ run at fra1
//!                                               yaml ─▶ promtool
//!                                               bird ─▶ tests/bird_config.rs
//! ```

mod commands;
mod json;
mod live;

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::manual::{self, Block};
use probe_user::config::Settings;

/// The kinds of blocks, and what becomes of them; nothing does with pictures and with what
/// a command printed.
const LANGUAGES: [&str; 6] = ["", "sh", "toml", "bird", "yaml", "text"];

/// All blocks of these languages.
fn blocks(languages: &[&str]) -> Result<Vec<Block>> {
    let pages = manual::pages()?;
    let all = pages.iter().flat_map(manual::Page::blocks);
    Ok(all
        .filter(|block| languages.contains(&&*block.language))
        .collect())
}

#[test]
fn every_block_is_of_a_known_kind() -> Result<()> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for page in manual::pages()? {
        for block in page.blocks() {
            ensure!(
                LANGUAGES.contains(&&*block.language),
                "{}:{}: a block of `{}`: nobody would look at it",
                block.page,
                block.line,
                block.language
            );
            // BIRD's are tested where they are put together.
            ensure!(
                block.language != "bird" || block.page == "bird-config/README.md",
                "{}:{}: blocks of BIRD's belong to bird-config/README.md",
                block.page,
                block.line
            );
            *kinds.entry(block.language).or_default() += 1;
        }
    }
    println!("{kinds:?}");
    for kind in LANGUAGES {
        ensure!(kinds.contains_key(kind), "no page has a block of `{kind}`");
    }
    Ok(())
}

#[test]
fn every_configuration_that_is_shown_is_good() -> Result<()> {
    let blocks = blocks(&["toml"])?;
    ensure!(blocks.len() >= 4, "{}", blocks.len());
    for block in blocks {
        // A part is a whole file, too: everything has a default.
        let place = format!("{}:{}", block.page, block.line);
        let settings = Settings::parse(Path::new(&place), &block.text, &|_| true);
        settings.map_err(|report| anyhow::anyhow!("{report}"))?;
    }
    Ok(())
}

#[test]
fn scrape_configuration_that_is_shown_is_taken_by_prometheus() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut with_rules = 0;
    for block in blocks(&["yaml"])? {
        let place = format!("{}:{}", block.page, block.line);
        let here = manual::root().join("grafana/rules").canonicalize()?;
        let installed = "/usr/share/lapwing/grafana/rules";
        with_rules += usize::from(block.text.contains(installed));
        let text = block.text.replace(installed, &here.display().to_string());
        let path = directory.path().join("prometheus.yml");
        fs::write(&path, text)?;
        let output = Command::new("promtool")
            .args(["check", "config"])
            .arg(&path)
            .output()
            .context("promtool: the package prometheus has it")?;
        ensure!(
            output.status.success(),
            "{place}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    ensure!(with_rules > 0, "nothing shows how the rules are loaded");
    Ok(())
}

/// Links to files of the checkout, and to headings in them.
#[test]
fn links_lead_somewhere() -> Result<()> {
    let mut followed = 0;
    for page in manual::pages()? {
        let directory = Path::new(&page.name).parent().unwrap_or(Path::new(""));
        for link in page.links() {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let path = match file {
                "" => manual::root().join(&page.name),
                file => manual::root().join(directory).join(file),
            };
            ensure!(path.exists(), "{}: {link} leads nowhere", page.name);
            if !heading.is_empty() {
                let text = fs::read_to_string(&path).with_context(|| link.clone())?;
                let there = manual::Page {
                    name: link.clone(),
                    text,
                };
                ensure!(
                    there.headings().iter().any(|known| known == heading),
                    "{}: {link}: there are {:?}",
                    page.name,
                    there.headings()
                );
            }
            followed += 1;
        }
    }
    ensure!(followed > 100, "{followed}");
    Ok(())
}
