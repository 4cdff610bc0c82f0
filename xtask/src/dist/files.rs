//! Which files go where.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What an operator may change: kept over upgrades, gone with a purge.
pub const CONFIGURATION: [&str; 2] = [
    "etc/lapwing/lapwing.toml",
    "etc/systemd/networkd.conf.d/lapwing.conf",
];

/// From the checkout, to a host.
const FILES: [(&str, &str); 8] = [
    ("packaging/lapwing.toml", CONFIGURATION[0]),
    ("packaging/networkd/lapwing.conf", CONFIGURATION[1]),
    (
        "packaging/systemd/lapwing.service",
        "lib/systemd/system/lapwing.service",
    ),
    (
        "packaging/systemd/lapwing-last-resort.service",
        "lib/systemd/system/lapwing-last-resort.service",
    ),
    (
        "packaging/debian/copyright",
        "usr/share/doc/lapwing/copyright",
    ),
    ("CHANGELOG.md", "usr/share/doc/lapwing/CHANGELOG.md"),
    ("LICENSE-APACHE", "usr/share/doc/lapwing/LICENSE-APACHE"),
    ("LICENSE-MIT", "usr/share/doc/lapwing/LICENSE-MIT"),
];

/// The same, with everything below.
const DIRECTORIES: [(&str, &str); 3] = [
    ("bird-config", "usr/share/doc/lapwing/bird-config"),
    ("docs", "usr/share/doc/lapwing"),
    ("grafana", "usr/share/lapwing/grafana"),
];

/// Of these, what only who works on Lapwing needs.
const LEFT_OUT: [&str; 4] = [
    "grafana/check",
    "grafana/generator",
    "grafana/requirements.txt",
    "grafana/rules/tests",
];

/// A file of the package.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packed {
    /// Below the checkout.
    pub from: PathBuf,
    /// Below the root of a host.
    pub to: PathBuf,
}

/// All but the binary.
pub fn all(checkout: &Path) -> Result<Vec<Packed>> {
    let mut files: Vec<Packed> = FILES
        .iter()
        .map(|(from, to)| Packed {
            from: from.into(),
            to: to.into(),
        })
        .collect();
    for (from, to) in DIRECTORIES {
        if checkout.join(from).is_dir() {
            below(checkout, Path::new(from), Path::new(to), &mut files)?;
        }
    }
    files.sort();
    Ok(files)
}

fn below(checkout: &Path, from: &Path, to: &Path, files: &mut Vec<Packed>) -> Result<()> {
    let directory = checkout.join(from);
    let entries =
        fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", directory.display()))?;
        let (from, to) = (from.join(entry.file_name()), to.join(entry.file_name()));
        if LEFT_OUT.iter().any(|left_out| from == Path::new(left_out)) {
            continue;
        }
        if entry.path().is_dir() {
            below(checkout, &from, &to, files)?;
        } else {
            files.push(Packed { from, to });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn everything_that_is_packed_is_in_the_checkout_and_has_a_place_of_its_own() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask is in the checkout");
        let files = all(checkout).expect("the checkout can be listed");
        for file in &files {
            assert!(checkout.join(&file.from).is_file(), "{file:?}");
        }
        let places: BTreeSet<_> = files.iter().map(|file| &file.to).collect();
        assert_eq!(places.len(), files.len());
        for configuration in CONFIGURATION {
            assert!(places.contains(&PathBuf::from(configuration)));
        }
    }

    #[test]
    fn the_last_resort_is_confined_like_the_daemon() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask is in the checkout");
        let confinement = |unit: &str| -> BTreeSet<String> {
            let text = fs::read_to_string(checkout.join("packaging/systemd").join(unit))
                .expect("the unit can be read");
            let (_, confinement) = text
                .split_once("NoNewPrivileges=yes\n")
                .expect("the unit gains no privileges");
            confinement
                .lines()
                .take_while(|line| !line.starts_with('['))
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned)
                .collect()
        };
        let daemon = confinement("lapwing.service");
        let last_resort = confinement("lapwing-last-resort.service");
        let more: Vec<_> = daemon.difference(&last_resort).collect();
        // Hooks are the daemon's alone.
        assert_eq!(
            more,
            [
                "ReadWritePaths=-/sys/fs/bpf/lapwing",
                "SystemCallFilter=bpf perf_event_open"
            ]
        );
        assert!(last_resort.is_subset(&daemon));
    }

    #[test]
    fn runbooks_lie_where_alerts_point_and_no_page_is_without_an_alert() {
        const INDEX: &str = "/usr/share/doc/lapwing/runbooks/README.md";
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask is in the checkout");
        let pages: BTreeSet<String> = all(checkout)
            .expect("the checkout can be listed")
            .iter()
            .map(|file| format!("/{}", file.to.display()))
            .filter(|place| place.contains("/runbooks/") && place != INDEX)
            .collect();
        let alerts = fs::read_to_string(checkout.join("grafana/rules/lapwing.alerts.yml"))
            .expect("the alerts can be read");
        let values = |key: &str| -> Vec<String> {
            let lines = alerts
                .lines()
                .filter_map(|line| line.trim().strip_prefix(key));
            lines.map(str::to_owned).collect()
        };
        let named: Vec<String> = values("- alert: ")
            .iter()
            .map(|alert| format!("/usr/share/doc/lapwing/runbooks/{alert}.md"))
            .collect();
        assert!(!named.is_empty());
        assert_eq!(values("runbook_url: "), named, "in the order of the alerts");
        assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), pages);
        let index = fs::read_to_string(checkout.join("docs/runbooks/README.md"))
            .expect("the index can be read");
        for alert in values("- alert: ") {
            assert!(
                index.contains(&format!("| [{alert}]({alert}.md) |")),
                "{alert}"
            );
        }
    }
}
