//! What packages and shells get of the command line: completions and man pages, both
//! made from its definition.

use std::{fs, path::Path};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, print};
use crate::daemon::Failure;

/// Prints the completions for a shell.
pub fn completions(shell: Shell) -> Result<(), Failure> {
    print(&completion_script(shell))
}

fn completion_script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lapwing", &mut script);
    String::from_utf8(script).expect("names and help are UTF-8, and so is what is made of them")
}

/// Writes a man page for every command into `directory`.
pub fn pages(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .with_context(|| format!("cannot write man pages into {}", directory.display()))
        .map_err(Failure::from)
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
        let pages: BTreeSet<String> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let expected: BTreeSet<String> = shown(&Cli::command(), "lapwing")
            .into_iter()
            .map(|name| format!("{name}.1"))
            .collect();
        assert_eq!(pages, expected);
        assert!(pages.contains("lapwing-journal-verify.1"));
        assert!(!pages.contains("lapwing-man.1"));
        let top = fs::read_to_string(directory.path().join("lapwing.1")).unwrap();
        assert!(top.contains("Exit codes"), "{top}");
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
