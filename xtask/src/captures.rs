//! Real captures, which no licence lets us ship: fetched when they are tested.
//!
//! In: the names of Debian source packages. Out: a directory below the build
//! directory with the captures in their upstream archives. apt fetches and verifies
//! them by the machine's own configuration, with source lists of ours beside it, so
//! that nothing of the machine's changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::workspace::Workspace;

/// The variable that names the directory to the tests.
pub const VARIABLE: &str = "LAPWING_CAPTURES";

/// Source package, and where its archive has captures.
const PACKAGES: [(&str, &str); 2] = [
    ("ndpi", "*/tests/pcap/*.pcap*"),
    ("dnscap", "*/src/test/dns.pcap"),
];

/// The directory with the captures; fetches what is missing, once.
pub fn fetch(workspace: &Workspace) -> Result<PathBuf> {
    let directory = workspace.target().join("captures");
    let missing: Vec<_> = PACKAGES
        .iter()
        .filter(|(package, _)| !stamp(&directory, package).exists())
        .collect();
    if !missing.is_empty() {
        println!("── fetching captures, once: 130 MB of Debian's source archives");
        let apt = Apt::prepare(&directory)?;
        for (package, pattern) in missing {
            apt.fetch(package)?;
            let archive = apt.archive(package)?;
            unpack(&archive, pattern, &captures(&directory))?;
            fs::remove_file(&archive)
                .with_context(|| format!("cannot remove {}", archive.display()))?;
            let stamp = stamp(&directory, package);
            fs::write(&stamp, "").with_context(|| format!("cannot write {}", stamp.display()))?;
        }
    }
    Ok(captures(&directory))
}

fn captures(directory: &Path) -> PathBuf {
    directory.join("files")
}

fn stamp(directory: &Path, package: &str) -> PathBuf {
    directory.join(format!("{package}.done"))
}

/// apt with lists and a cache of its own.
struct Apt {
    directory: PathBuf,
}

impl Apt {
    fn prepare(captures: &Path) -> Result<Self> {
        let apt = Self {
            directory: captures.join("apt"),
        };
        for part in ["lists/partial", "cache/archives/partial", "archives"] {
            let path = apt.directory.join(part);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let sources = command::ask(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Identifier: Packages",
        ]))
        .context("apt does not tell its sources (`apt-get indextargets`)")?;
        fs::write(apt.sources(), debian_sources(&sources))
            .with_context(|| format!("cannot write {}", apt.sources().display()))?;
        command::run(
            apt.command().arg("update"),
            "fetching the lists of source packages",
            REMEDY,
        )?;
        Ok(apt)
    }

    fn sources(&self) -> PathBuf {
        self.directory.join("sources.list")
    }

    fn archives(&self) -> PathBuf {
        self.directory.join("archives")
    }

    /// apt-get, away from the machine's lists and cache.
    fn command(&self) -> Command {
        let mut command = command::clean("apt-get");
        for (option, path) in [
            ("Dir::Etc::sourcelist", self.sources()),
            ("Dir::Etc::sourceparts", PathBuf::from("/dev/null")),
            ("Dir::State::lists", self.directory.join("lists")),
            ("Dir::Cache", self.directory.join("cache")),
        ] {
            command
                .arg("-o")
                .arg(format!("{option}={}", path.display()));
        }
        // The build directory need not be readable for the user that apt would become.
        command
            .args(["-o", "APT::Sandbox::User=root"])
            .args(["-o", "Acquire::Retries=3"])
            .arg("-q")
            .current_dir(self.archives());
        command
    }

    /// The upstream archive alone: the packaging is not needed.
    fn fetch(&self, package: &str) -> Result<()> {
        command::run(
            self.command()
                .args(["source", "--download-only", "--tar-only", package]),
            &format!("fetching the source of {package}"),
            REMEDY,
        )
    }

    fn archive(&self, package: &str) -> Result<PathBuf> {
        let start = format!("{package}_");
        fs::read_dir(self.archives())?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| {
                path.file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| name.starts_with(&start) && name.contains(".orig.tar."))
            })
            .with_context(|| format!("apt fetched no upstream archive of {package}"))
    }
}

const REMEDY: &str = "look at apt's messages above; the other steps need no captures \
                      (`cargo xtask test --only unit`)";

/// Debian's own sources: others have no such packages, and may have none at all.
fn debian_sources(sources: &str) -> String {
    let mut lines: Vec<&str> = sources
        .lines()
        .filter(|line| line.contains("debian"))
        .collect();
    lines.sort_unstable();
    lines.dedup();
    lines.join("\n") + "\n"
}

fn unpack(archive: &Path, pattern: &str, into: &Path) -> Result<()> {
    fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    let mut tar = command::clean("tar");
    tar.arg("--extract")
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(into)
        // Names alone: the captures of all archives lie side by side.
        .args(["--transform", "s,.*/,,", "--wildcards", pattern]);
    command::run(
        &mut tar,
        &format!("unpacking {}", archive.display()),
        "is there room on the disk?",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debians_sources_are_asked_each_once() {
        let told = "deb-src http://deb.debian.org/debian/ bookworm main\n\
                    deb-src https://example.com/apt stable main\n\
                    deb-src http://deb.debian.org/debian/ bookworm main\n";
        let expected = "deb-src http://deb.debian.org/debian/ bookworm main\n";
        assert_eq!(debian_sources(told), expected);
    }
}
