//! Packages from Debian's archive without touching this machine's apt: sources, lists
//! and caches are in a directory of their own, and packages are only downloaded. apt's
//! configuration (proxies, time-outs) stays the machine's, and it checks signatures as
//! always.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// Lists of one or more suites.
pub struct Archive {
    directory: PathBuf,
    sources: String,
    installed: Installed,
}

/// Which packages apt takes as installed.
enum Installed {
    None,
    Machine,
}

impl Archive {
    /// One suite, seen from an empty system: the newest of a package is the suite's.
    pub fn of_one_suite(directory: &Path, source: &str) -> Self {
        Self {
            directory: directory.to_path_buf(),
            sources: source.to_owned(),
            installed: Installed::None,
        }
    }

    /// What this machine itself runs: what it has need not be downloaded.
    pub fn of_this_machine(directory: &Path, sources: &str) -> Self {
        Self {
            directory: directory.to_path_buf(),
            sources: sources.to_owned(),
            installed: Installed::Machine,
        }
    }

    /// Fetches the lists.
    pub fn update(&self) -> Result<()> {
        for part in ["lists/partial", "cache/archives/partial"] {
            let part = self.directory.join(part);
            fs::create_dir_all(&part)
                .with_context(|| format!("cannot create {}", part.display()))?;
        }
        command::write_file(&self.sources_file(), self.sources.as_bytes())?;
        command::write_file(&self.empty_status(), b"")?;
        quietly(
            self.apt("apt-get").args(["update", "-qq"]),
            "fetching the package lists",
        )
    }

    /// The names of all packages that begin so.
    pub fn names(&self, prefix: &str) -> Result<String> {
        self.ask(&["pkgnames", prefix])
    }

    /// The newest version of a package.
    pub fn version(&self, package: &str) -> Result<String> {
        let shown = self.ask(&["show", "--no-all-versions", package])?;
        let version = shown
            .lines()
            .find_map(|line| line.strip_prefix("Version: "))
            .with_context(|| format!("{package} has no version"))?;
        Ok(version.to_owned())
    }

    /// What a package depends on.
    pub fn depends(&self, package: &str) -> Result<Vec<String>> {
        Ok(parse_depends(&self.ask(&["depends", package])?))
    }

    /// Downloads these packages into a directory.
    pub fn download(&self, packages: &[String], into: &Path) -> Result<()> {
        quietly(
            self.apt("apt-get")
                .args(["download", "-qq"])
                .args(packages)
                .current_dir(into),
            "downloading packages",
        )
    }

    /// Downloads a package and what of its dependencies is not installed, and returns
    /// where they are.
    pub fn download_closure(&self, package: &str) -> Result<PathBuf> {
        quietly(
            self.apt("apt-get")
                .args(["install", "-y", "-qq", "--download-only"])
                .arg("--no-install-recommends")
                // Nothing is installed, so nothing has to be locked.
                .args(["-o", "Debug::NoLocking=1"])
                .arg(package),
            "downloading packages",
        )?;
        Ok(self.directory.join("cache/archives"))
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.apt("apt-cache");
        command.args(arguments);
        command::ask(&mut command)
            .with_context(|| format!("no answer to {}", command::shown(&command)))
    }

    fn apt(&self, program: &str) -> Command {
        let directory = self.directory.display();
        let mut options = vec![
            format!("Dir::Etc::sourcelist={}", self.sources_file().display()),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State::lists={directory}/lists"),
            format!("Dir::Cache={directory}/cache"),
            // apt's own user may not be able to enter the build directory.
            "APT::Sandbox::User=root".to_owned(),
        ];
        match self.installed {
            Installed::None => options.push(format!(
                "Dir::State::status={}",
                self.empty_status().display()
            )),
            Installed::Machine => {}
        }
        let mut command = command::clean(program);
        for option in options {
            command.args(["-o", &option]);
        }
        command
    }

    fn sources_file(&self) -> PathBuf {
        self.directory.join("sources.list")
    }

    fn empty_status(&self) -> PathBuf {
        self.directory.join("status")
    }
}

/// apt's progress says nothing that matters, and would go to standard output.
fn quietly(command: &mut Command, what: &str) -> Result<()> {
    command.stdout(std::process::Stdio::null());
    command::run(
        command,
        what,
        "apt's lines above tell; the mirror has to be reachable",
    )
}

/// Alternatives and virtual packages aside: a kernel's parts are named outright.
fn parse_depends(listing: &str) -> Vec<String> {
    listing
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("Depends: "))
        .filter(|name| !name.starts_with('<'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_those_that_have_a_package() {
        let listing = "linux-image-7.3.4+deb13-cloud-amd64\n\
                       \x20 PreDepends: linux-base\n\
                       \x20|Depends: <dracut>\n\
                       \x20 Depends: <linux-initramfs-tool>\n\
                       \x20 Depends: linux-binary-7.3.4+deb13-cloud-amd64\n\
                       \x20 Breaks: wireless-regdb\n";
        assert_eq!(
            parse_depends(listing),
            ["linux-binary-7.3.4+deb13-cloud-amd64"]
        );
    }

    #[test]
    fn apt_is_led_away_from_the_machines_own_state() {
        let archive = Archive::of_one_suite(Path::new("/build/apt"), "deb x y z\n");
        let shown = command::shown(&archive.apt("apt-get"));
        for option in [
            "Dir::Etc::sourcelist=/build/apt/sources.list",
            "Dir::Etc::sourceparts=/dev/null",
            "Dir::State::lists=/build/apt/lists",
            "Dir::State::status=/build/apt/status",
            "Dir::Cache=/build/apt/cache",
        ] {
            assert!(shown.contains(option), "{option} is not in {shown}");
        }
    }
}
