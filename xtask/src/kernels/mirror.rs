//! Where Debian's archive is, from this machine: as its own apt sources say.

use std::fs;

use anyhow::{Context, Result, anyhow};

use crate::command;

/// Signs Debian's archive, past suites included.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A suite, and the part of the archive that has it.
#[derive(Debug)]
pub struct Suite {
    pub name: &'static str,
    pub part: Part,
}

/// Security updates are in an archive of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Main,
    Security,
}

/// The archive's two parts, and which suite this machine runs.
#[derive(Debug, PartialEq, Eq)]
pub struct Mirrors {
    codename: String,
    main: String,
    security: String,
}

impl Mirrors {
    /// Asks apt.
    pub fn of_this_machine() -> Result<Self> {
        let release = fs::read_to_string("/etc/os-release").context("which system is this?")?;
        let codename = codename(&release)
            .context("/etc/os-release has no VERSION_CODENAME, so no Debian release")?;
        let format = "$(RELEASE) $(REPO_URI)";
        let listing = command::ask(command::clean("apt-get").args([
            "indextargets",
            "--format",
            format,
            "Created-By: Packages",
        ]))
        .context("apt-get indextargets does not answer")?;
        Self::from_listing(codename, &listing).ok_or_else(|| {
            anyhow!(
                "apt's sources name no mirror for {codename} and {codename}-security\n  remedy:  \
                 add both to apt's sources; what is fetched comes from the same mirrors"
            )
        })
    }

    fn from_listing(codename: &str, listing: &str) -> Option<Self> {
        let of = |suite: &str| {
            listing.lines().find_map(|line| {
                let (release, uri) = line.split_once(' ')?;
                (release == suite).then(|| uri.to_owned())
            })
        };
        Some(Self {
            codename: codename.to_owned(),
            main: of(codename)?,
            security: of(&format!("{codename}-security"))?,
        })
    }

    /// The release that this machine runs, and where it comes from.
    pub fn own_release(&self) -> (&str, &str) {
        (&self.codename, &self.main)
    }

    /// A suite as a line of apt's sources.
    pub fn source(&self, suite: &Suite) -> String {
        self.line(suite.name, suite.part)
    }

    /// What this machine itself runs, as lines of apt's sources.
    pub fn own_sources(&self) -> String {
        let security = format!("{}-security", self.codename);
        self.line(&self.codename, Part::Main) + &self.line(&security, Part::Security)
    }

    fn line(&self, suite: &str, part: Part) -> String {
        let uri = match part {
            Part::Main => &self.main,
            Part::Security => &self.security,
        };
        format!("deb [signed-by={KEYRING}] {uri} {suite} main\n")
    }
}

fn codename(release: &str) -> Option<&str> {
    release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_those_of_the_machine() {
        let listing = "nodistro https://example.net/node\n\
                       bookworm http://mirror.example/debian/\n\
                       bookworm-updates http://mirror.example/debian/\n\
                       bookworm-security http://mirror.example/debian-security/\n";
        let mirrors = Mirrors::from_listing("bookworm", listing).expect("both are listed");
        let suite = Suite {
            name: "bullseye-security",
            part: Part::Security,
        };
        assert_eq!(
            mirrors.source(&suite),
            format!(
                "deb [signed-by={KEYRING}] http://mirror.example/debian-security/ \
                 bullseye-security main\n"
            )
        );
        assert_eq!(mirrors.own_sources().lines().count(), 2);
        assert_eq!(Mirrors::from_listing("trixie", listing), None);
    }

    #[test]
    fn codename_is_what_the_system_says() {
        let release = "ID=debian\nVERSION_CODENAME=bookworm\n";
        assert_eq!(codename(release), Some("bookworm"));
        assert_eq!(codename("ID=arch\n"), None);
    }
}
