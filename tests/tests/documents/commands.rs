//! Every `lapwing ...` of the manual, in blocks and in the text, is understood by the command
//! line as it is.

use anyhow::{Result, ensure};
use clap::error::ErrorKind;
use lapwing_tests::manual::{self, Page};

/// What stands for something, and what may stand there.
const PLACEHOLDERS: [(&str, &str); 4] = [
    ("PREFIX", "192.0.2.0/24"),
    ("ID", "17"),
    ("N", "7"),
    ("...", "because"),
];

/// Whoever gives `lapwing` from a checkout names the built binary.
pub const PROGRAMS: [&str; 2] = ["lapwing", "target/release/lapwing"];

/// The code of a page that begins with our name.
fn ours(page: &Page) -> Vec<String> {
    let blocks = page.blocks();
    let lines = blocks
        .iter()
        .filter(|block| ["", "sh", "text"].contains(&&*block.language))
        .flat_map(|block| manual::commands(&block.text))
        .map(str::to_owned);
    let code = lines.chain(page.spans());
    code.filter(|line| {
        line.split_whitespace()
            .next()
            .is_some_and(|first| PROGRAMS.contains(&first))
    })
    .collect()
}

/// A line without what goes elsewhere: `> file`, `| grep x`.
fn words(line: &str) -> Vec<&str> {
    let line = line.split(['>', '|']).next().unwrap_or_default();
    let words = line.split_whitespace().map(|word| {
        let known = PLACEHOLDERS.iter().find(|(name, _)| *name == word);
        known.map_or(word, |(_, value)| value)
    });
    words.collect()
}

/// Whether each option that a summary in brackets names belongs to its command.
fn has_options(line: &str) -> Result<()> {
    let mut command = probe_user::cli::command();
    for word in line.split_whitespace().skip(1) {
        let word = word.trim_matches(['[', ']']);
        if let Some(option) = word.strip_prefix("--") {
            let known = command.get_arguments().any(|argument| {
                argument.get_long() == Some(option)
                    || argument
                        .get_all_aliases()
                        .is_some_and(|aliases| aliases.contains(&option))
            });
            ensure!(known, "{line}: no option {option}");
        } else if let Some(inner) = command.find_subcommand(word) {
            command = inner.clone();
        }
    }
    ensure!(command.get_name() != "lapwing", "{line}: no such command");
    Ok(())
}

#[test]
fn commands_of_the_manual_are_understood() -> Result<()> {
    let mut understood = 0;
    for page in manual::pages()? {
        for line in ours(&page) {
            let words = words(&line);
            // A picture's first word, or the name of the job, the user, the package.
            if words.len() < 2 || !words[1].is_ascii() {
                continue;
            }
            if line.contains('[') {
                has_options(&line)?;
                understood += 1;
                continue;
            }
            match probe_user::cli::command().try_get_matches_from(&words) {
                Ok(_) => {}
                Err(error) => {
                    // A command that the text speaks of, without its arguments.
                    let is_mentioned = words.len() == 2
                        && [
                            ErrorKind::MissingRequiredArgument,
                            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                        ]
                        .contains(&error.kind());
                    let is_version = error.kind() == ErrorKind::DisplayVersion;
                    ensure!(is_mentioned || is_version, "{}: {line}\n{error}", page.name);
                }
            }
            understood += 1;
        }
    }
    println!("{understood} commands");
    ensure!(understood > 90, "only {understood} commands were found");
    Ok(())
}
