//! The commands that the runbooks give at night are those that there are.

use std::{fs, path::Path};

use clap::{Parser as _, error::ErrorKind};

use super::Cli;

/// Placeholders of the pages, and what may stand there.
const PLACEHOLDERS: [(&str, &str); 3] =
    [("PREFIX", "192.0.2.0/24"), ("ID", "17"), ("...", "because")];

/// What stands in code, in blocks and between backticks.
fn code(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (index, part) in page.split("```").enumerate() {
        if index % 2 == 1 {
            found.extend(part.lines().map(str::to_owned));
        } else {
            // A span may go on in the next line.
            let spans = part.split('`').skip(1).step_by(2);
            found.extend(spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    found
}

#[test]
fn commands_of_the_runbooks_are_understood() {
    let runbooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runbooks");
    let mut commands = 0;
    for entry in fs::read_dir(runbooks).unwrap() {
        let path = entry.unwrap().path();
        let page = fs::read_to_string(&path).unwrap();
        for line in code(&page) {
            let words: Vec<&str> = line.split_whitespace().collect();
            // Names of jobs and users are one word.
            if words.len() < 2 || words[0] != "lapwing" {
                continue;
            }
            let is_mentioned = words.len() == 2;
            let words = words.into_iter().map(|word| {
                let known = PLACEHOLDERS.iter().find(|(name, _)| *name == word);
                known.map_or(word, |(_, value)| value)
            });
            match Cli::try_parse_from(words) {
                Ok(_) => {}
                // A command that the text speaks of, without its arguments.
                Err(error)
                    if is_mentioned && error.kind() == ErrorKind::MissingRequiredArgument => {}
                Err(error) => panic!("{}: {line}\n{error}", path.display()),
            }
            commands += 1;
        }
    }
    assert!(commands > 30, "{commands} commands were found");
}
