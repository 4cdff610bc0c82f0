//! The Debian on which the package is installed: its services, their configuration, and
//! what its log says afterwards.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use probe_core::Timestamp;
use serde_json::Value;

use super::CONFIG;
use crate::lab::{
    bird::{self, Form},
    clock,
    container::{Container, Disk},
    lapwing,
    topology::{Family, Site},
};

/// Puts services and package where they belong, before the first boot.
pub fn prepare(disk: &Disk<'_>, package: &Path) -> Result<()> {
    disk.write(
        &format!("/root/{}", package_name(package)?),
        fs::read(package)?,
    )?;
    // Kept over a shutdown, to be read after it.
    fs::create_dir_all(disk.path("/var/log/journal"))?;
    disk.write("/etc/nginx/sites-enabled/default", nginx_config())?;
    let fragments = bird::fragments();
    let fragments = fragments.display();
    let config = bird::edge_config(Site::Fra1, Form::Standalone)
        .replace("log stderr all", "log syslog all")
        .replace(&format!("{fragments}/"), "/etc/bird/");
    disk.write("/etc/bird/bird.conf", config)?;
    let fragment = "lapwing.conf";
    let text = fs::read(bird::fragments().join(fragment))?;
    disk.write(&format!("/etc/bird/{fragment}"), text)
}

/// The name of the package's file.
pub fn package_name(package: &Path) -> Result<&str> {
    let name = package.file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("{} has no name", package.display()))
}

/// What a later version has behind its number.
pub const NEXT: &str = "+next";

/// Makes a package of a later version with another default configuration, and says where
/// it is.
pub fn next_version(container: &Container<'_>, package: &Path) -> Result<&'static str> {
    let name = package_name(package)?;
    container.run(&format!(
        "cd /root && dpkg-deb --raw-extract ./{name} next && \
         sed -i 's/^Version: .*/&{NEXT}/' next/DEBIAN/control && \
         echo '# A later default.' >> next{CONFIG} && \
         dpkg-deb --build next ./next.deb && rm -r next"
    ))?;
    Ok("/root/next.deb")
}

/// What the daemon is told after the quick start: both prefixes of the lab.
pub fn lapwing_config(mode: &str) -> String {
    let mut config = vec![format!(
        "[daemon]\nmode = \"{mode}\"\non_watchdog = \"probe\"\n\
         [detect]\nprofile = \"fast\"\ndeadline = \"200ms\"\n\
         [recover]\nhold = \"1s\"\nhold_max = \"4s\"\n"
    )];
    for family in Family::ALL {
        config.push(format!(
            "[[prefix]]\nprefix = \"{}\"\ndrain = \"2s\"\n{}",
            family.prefix(),
            lapwing::web(family),
        ));
    }
    config.concat()
}

fn nginx_config() -> String {
    let listen = Family::ALL
        .map(|family| std::net::SocketAddr::new(family.service(), 80))
        .map(|endpoint| format!("  listen {endpoint} backlog=4096;\n"))
        .concat();
    format!(
        "server {{\n{listen}  keepalive_timeout 0;\n  access_log off;\n  default_type text/plain;\n  \
         add_header X-Site {};\n  location / {{ return 200 \"well\\n\"; }}\n}}\n",
        Site::Fra1
    )
}

/// When systemd last began to stop a unit, by the log of a container that is off.
pub fn stopping(disk: &Disk<'_>, unit: &str) -> Result<Timestamp> {
    let output = Command::new("journalctl")
        .arg(format!(
            "--directory={}",
            disk.path("/var/log/journal").display()
        ))
        .args(["--output=json", "--reverse", "_PID=1"])
        .args(["JOB_TYPE=stop", &format!("UNIT={unit}")])
        .output()
        .context("journalctl")?;
    ensure!(
        output.status.success(),
        "journalctl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8_lossy(&output.stdout);
    lines
        .lines()
        .map(serde_json::from_str::<Value>)
        .filter_map(Result::ok)
        .filter(|entry| {
            let message = entry["MESSAGE"].as_str();
            message.is_some_and(|message| message.starts_with("Stopping "))
        })
        .find_map(|entry| {
            entry["_SOURCE_REALTIME_TIMESTAMP"]
                .as_str()?
                .parse::<u64>()
                .ok()
        })
        .map(|sent| clock::from_realtime(Duration::from_micros(sent).into()))
        .with_context(|| format!("the log does not say that {unit} was stopped:\n{lines}"))
}
