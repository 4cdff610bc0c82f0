//! What packages and shells get of the command line and of the file: completions and man
//! pages, made from the definitions of both.

use std::{fs, path::Path};

use anyhow::Context as _;
use clap_complete::Shell;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use super::{command, print};
use crate::{
    config::keys::{self, Key},
    daemon::Failure,
};

/// Prints the completions for a shell.
pub fn completions(shell: Shell) -> Result<(), Failure> {
    print(&completion_script(shell))
}

fn completion_script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "lapwing", &mut script);
    String::from_utf8(script).expect("names and help are UTF-8, and so is what is made of them")
}

/// Writes a man page for every command into `man1` below `directory`, and that of the
/// configuration into `man5`.
pub fn pages(directory: &Path) -> Result<(), Failure> {
    let (commands, files) = (directory.join("man1"), directory.join("man5"));
    fs::create_dir_all(&commands)
        .and_then(|()| clap_mangen::generate_to(command(), &commands))
        .and_then(|()| fs::create_dir_all(&files))
        .and_then(|()| fs::write(files.join("lapwing.toml.5"), configuration()))
        .with_context(|| format!("cannot write man pages into {}", directory.display()))
        .map_err(Failure::from)
}

/// The page of the configuration file: every section with its keys.
fn configuration() -> String {
    let mut page = Roff::new();
    page.control("TH", ["lapwing.toml", "5"]);
    page.control("SH", ["NAME"]);
    page.text([roman("lapwing.toml - configuration of lapwing(1)")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "A TOML file, by default /etc/lapwing/lapwing.toml. `lapwing check FILE` finds mistakes \
         in it, `lapwing reload` applies it to the running daemon.",
    )]);
    for table in keys::ALL {
        page.control("SH", [table.name]);
        page.text([roman(table.about)]);
        for key in table.keys.iter().chain(table.shared) {
            page.control("TP", []);
            page.text([bold(key.name), roman(bounds(key))]);
            page.text([plain(key.meaning)]);
        }
    }
    page.render()
}

/// What may stand there, and what holds without it.
fn bounds(key: &Key) -> String {
    let Key {
        values, unwritten, ..
    } = key;
    format!(" = {values}; default: {unwritten}").replace('`', "")
}

/// Markdown without its marks: of a link its words.
fn plain(markdown: &str) -> Inline {
    let mut words = String::new();
    let mut rest = markdown;
    while let Some((before, after)) = rest.split_once("](") {
        let (ahead, linked) = before.rsplit_once('[').unwrap_or(("", before));
        words += ahead;
        words += linked;
        rest = after.split_once(')').map_or("", |(_, behind)| behind);
    }
    words += rest;
    roman(words.replace(['`', '*'], ""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The commands that are shown, with those below them: `journal-verify`.
    fn shown(command: &clap::Command, above: &str) -> BTreeSet<String> {
        let below = command
            .get_subcommands()
            .filter(|below| !below.is_hide_set());
        let mut names = BTreeSet::from([above.to_owned()]);
        for command in below {
            names.extend(shown(command, &format!("{above}-{}", command.get_name())));
        }
        names
    }

    #[test]
    fn every_command_has_a_page_and_a_hidden_one_has_none() {
        let directory = tempfile::tempdir().unwrap();
        pages(directory.path()).unwrap();
        let commands = directory.path().join("man1");
        let pages: BTreeSet<String> = fs::read_dir(&commands)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let expected: BTreeSet<String> = shown(&command(), "lapwing")
            .into_iter()
            .map(|name| format!("{name}.1"))
            .collect();
        assert_eq!(pages, expected);
        assert!(pages.contains("lapwing-journal-verify.1"));
        assert!(!pages.contains("lapwing-man.1"));
        let top = fs::read_to_string(commands.join("lapwing.1")).unwrap();
        assert!(top.contains("Exit codes"), "{top}");
    }

    #[test]
    fn the_configuration_has_a_page_with_every_key() {
        let page = configuration();
        for table in keys::ALL {
            assert!(page.contains(table.name), "{}", table.name);
            for name in table.names() {
                assert!(page.contains(&format!("\\fB{name}\\fR")), "{name}");
            }
        }
        assert!(!page.contains("]("), "{page}");
    }

    #[test]
    fn marks_are_taken_away_and_words_stay() {
        for (markdown, words) in [
            ("`a` *b*", "a b"),
            ("see [the page](page.md#x), too", "see the page, too"),
            ("no mark (here)", "no mark (here)"),
            ("a list `[\"x\"]` or [`y`](z)", "a list [\"x\"] or y"),
        ] {
            assert_eq!(plain(markdown), roman(words));
        }
    }

    #[test]
    fn completions_know_commands_and_options() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completion_script(shell);
            for word in ["undrain", "verify", "control", "reason"] {
                assert!(script.contains(word), "{word} for {shell}");
            }
        }
    }
}
