//! What is made for the package: what the binary says about its own command line (man pages
//! and shell completions), and the changelog in Debian's form.

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

/// Writes a changelog of one entry, as Debian wants one of every package: by the maintainer
/// that `control` names, at `epoch`. What has changed stands in the project's own.
pub fn changelog(control: &str, version: &str, epoch: &str, root: &Path) -> Result<()> {
    let maintainer = control
        .lines()
        .find_map(|line| line.strip_prefix("Maintainer: "))
        .context("packaging/debian/control names no maintainer")?;
    let mut date = command::clean("date");
    date.env("LC_ALL", "C");
    let at = command::ask(date.args(["--utc", "--rfc-email", "--date", &format!("@{epoch}")]))
        .with_context(|| format!("date does not know the time {epoch}"))?;
    let entry = format!(
        "lapwing ({version}) unstable; urgency=medium\n\n  \
         * What has changed stands in /usr/share/doc/lapwing/CHANGELOG.md.\n\n \
         -- {maintainer}  {}\n",
        at.trim()
    );
    let file = root.join("usr/share/doc/lapwing/changelog");
    command::write_file(&file, entry.as_bytes())?;
    command::run(
        command::clean("gzip").arg("-n9").arg(&file),
        "compressing the changelog",
        "install gzip",
    )
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
