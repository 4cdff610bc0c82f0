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

/// What is wrong with a command, if anything is.
fn mistake(line: &str, words: &[&str]) -> Option<String> {
    // A summary of the options, or an option that is only named.
    let ends_with_option = words.last().is_some_and(|word| word.starts_with("--"));
    if line.contains('[') || words.len() > 2 && ends_with_option {
        let mistake = has_options(line).err();
        return mistake.map(|error| error.to_string());
    }
    let error = probe_user::cli::command()
        .try_get_matches_from(words)
        .err()?;
    let is_fine = match error.kind() {
        ErrorKind::DisplayVersion => true,
        // A command that the text speaks of, without its arguments.
        ErrorKind::MissingRequiredArgument
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => words.len() == 2,
        _ => false,
    };
    (!is_fine).then(|| error.to_string())
}

#[test]
fn commands_of_the_manual_are_understood() -> Result<()> {
    let mut understood = 0;
    let mut mistakes = Vec::new();
    for page in manual::pages()? {
        for line in ours(&page) {
            let words = words(&line);
            // A picture's first word, or the name of the job, the user, the package.
            if words.len() < 2 || !words[1].is_ascii() {
                continue;
            }
            match mistake(&line, &words) {
                Some(why) => mistakes.push(format!("{}: {line}\n{why}", page.name)),
                None => understood += 1,
            }
        }
    }
    ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    println!("{understood} commands");
    ensure!(understood > 90, "only {understood} commands were found");
    Ok(())
}
