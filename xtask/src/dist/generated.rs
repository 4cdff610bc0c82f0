//! What the binary says about its own command line: man pages and shell completions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

const MAN_PAGES: &str = "usr/share/man";

/// Each shell, and where it looks for what packages bring.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/lapwing"),
    ("zsh", "usr/share/zsh/vendor-completions/_lapwing"),
    ("fish", "usr/share/fish/vendor_completions.d/lapwing.fish"),
];

/// Has `binary` write them below `root`.
pub fn all(binary: &Path, root: &Path) -> Result<()> {
    let directory = root.join(MAN_PAGES);
    command::run(
        Command::new(binary).arg("man").arg(&directory),
        "writing the man pages",
        "",
    )?;
    // As Debian wants them; without names and times, so that a page is always the same.
    command::run(
        command::clean("gzip").arg("-n9").args(pages(&directory)?),
        "compressing the man pages",
        "install gzip",
    )?;
    for (shell, place) in COMPLETIONS {
        let script = command::ask(Command::new(binary).args(["completions", shell]))
            .with_context(|| format!("{} completions {shell} failed", binary.display()))?;
        command::write_file(&root.join(place), script.as_bytes())?;
    }
    Ok(())
}

fn pages(directory: &Path) -> Result<Vec<PathBuf>> {
    let listed = || format!("cannot list {}", directory.display());
    let mut pages = Vec::new();
    for section in fs::read_dir(directory).with_context(listed)? {
        let section = section.with_context(listed)?.path();
        for entry in fs::read_dir(section).with_context(listed)? {
            pages.push(entry.with_context(listed)?.path());
        }
    }
    pages.sort();
    Ok(pages)
}
