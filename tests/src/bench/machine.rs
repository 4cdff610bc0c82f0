//! Where and when it was measured.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};

/// The machine and the day.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The processor's name, and how many there are.
    pub cpu: String,
    /// The kernel's release.
    pub kernel: String,
    /// The day, as YYYY-MM-DD.
    pub date: String,
}

impl Machine {
    /// This one, today.
    pub fn here() -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").context("reading /proc/cpuinfo")?;
        let field = |name: &str| {
            cpuinfo
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().to_owned())
        };
        let model = field("model name").unwrap_or_else(|| "unknown processor".to_owned());
        let cpus = cpuinfo
            .lines()
            .filter(|line| line.starts_with("processor"))
            .count();
        let virtual_machine = field("flags").is_some_and(|flags| flags.contains("hypervisor"));
        let kind = if virtual_machine { ", virtual" } else { "" };
        Ok(Self {
            cpu: format!("{model}, {cpus} CPUs{kind}"),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
            date: today()?,
        })
    }
}

fn today() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%F"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
