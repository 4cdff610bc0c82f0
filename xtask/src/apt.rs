//! Debian packages: what is installed, and how to install what is not.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command;

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub package: String,
    pub version: String,
}

/// Which of these packages are installed, and in which version.
pub fn installed(packages: &[&str]) -> Vec<Installed> {
    // dpkg-query fails if it does not know one of them, but still answers for
    // the others, so only the text counts.
    Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Version}\n"])
        .args(packages)
        .output()
        .map(|output| parse_installed(&String::from_utf8_lossy(&output.stdout)))
        .unwrap_or_default()
}

fn parse_installed(listing: &str) -> Vec<Installed> {
    listing
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let status = fields.next()?;
            // Second letter: the state it is in. "rc" left only its
            // configuration behind.
            (status.chars().nth(1) == Some('i')).then_some(())?;
            Some(Installed {
                package: fields.next()?.to_owned(),
                version: fields.next()?.to_owned(),
            })
        })
        .collect()
}

/// What apt says a package depends on.
pub fn depends(package: &str) -> Option<String> {
    command::ask(Command::new("apt-cache").args(["depends", package]))
}

/// Fetches the package lists.
pub fn update() -> Command {
    let mut command = command::clean("apt-get");
    command.args(["update", "-q"]);
    command
}

/// Installs packages, and never removes one: if apt sees a conflict, the owner
/// of the machine decides.
pub fn install(packages: &[String]) -> Command {
    let mut command = command::clean("apt-get");
    command
        .args([
            "install",
            "-y",
            "-q",
            "--no-install-recommends",
            "--no-remove",
        ])
        .args(["-o", "DPkg::Lock::Timeout=120"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // bird2, nginx, knot and prometheus would start as services of this machine; the lab
        // starts its own, in its own namespaces.
        .env("SYSTEMD_OFFLINE", "1");
    command
}

/// Keeps the services of freshly installed packages from starting at the next
/// boot. `None` where no service manager runs or no package has a service.
pub fn disable_services(packages: &[String]) -> Option<Command> {
    let services = services_of(packages);
    if services.is_empty() || !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    let mut command = command::clean("systemctl");
    command.arg("disable").args(services);
    Some(command)
}

fn services_of(packages: &[String]) -> Vec<&'static str> {
    packages
        .iter()
        .filter_map(|package| match package.as_str() {
            "bird2" => Some("bird.service"),
            "nginx" => Some("nginx.service"),
            "knot" => Some("knot.service"),
            "prometheus" => Some("prometheus.service"),
            _ => None,
        })
        .collect()
}

/// Is this a system that apt serves?
pub fn is_debian() -> bool {
    command::find("apt-get").is_some() && command::find("dpkg-query").is_some()
}

/// The system's name, for messages.
pub fn system_name() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release")?;
    Ok(pretty_name(&release).unwrap_or_else(|| "an unknown system".to_owned()))
}

fn pretty_name(release: &str) -> Option<String> {
    release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|name| name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_count_as_installed() {
        let listing = "ii \tbird2\t2.0.12-7\nrc \tnginx\t1.22.1-9\nun \twrk\t\nhi \tgcc\t4:12\n";
        let seen: Vec<_> = parse_installed(listing)
            .into_iter()
            .map(|entry| (entry.package, entry.version))
            .collect();
        assert_eq!(
            seen,
            [
                ("bird2".to_owned(), "2.0.12-7".to_owned()),
                ("gcc".to_owned(), "4:12".to_owned())
            ]
        );
    }

    #[test]
    fn installing_removes_nothing_and_starts_nothing() {
        let command = install(&["bird2".to_owned()]);
        assert!(command.get_args().any(|argument| argument == "--no-remove"));
        assert!(command.get_envs().any(|(name, value)| {
            name == "SYSTEMD_OFFLINE" && value.is_some_and(|value| value == "1")
        }));
        assert_eq!(
            services_of(&["bird2", "nftables", "nginx", "prometheus"].map(str::to_owned)),
            ["bird.service", "nginx.service", "prometheus.service"]
        );
    }

    #[test]
    fn system_is_named_as_it_names_itself() {
        let release = "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(
            pretty_name(release).as_deref(),
            Some("Debian GNU/Linux 12 (bookworm)")
        );
    }
}
