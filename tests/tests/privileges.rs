//! The daemon as an unprivileged user with the capabilities that the systemd unit gives
//! it, and no others, through a real fault.
//!
//! ```text
//!  clients ══ upstream ──(capture)── fra1   lapwing as uid 65534; nginx killed, started
//! ```

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    bgp::Change,
    lapwing::{CONFIG, Lapwing, Settings},
    load::Plan,
    topology::{Family, Lab, Site},
};

const NOBODY: u32 = 65534;
const PATIENT: Duration = Duration::from_secs(30);
/// Bits of include/uapi/linux/capability.h.
const CAPABILITIES: [(&str, u32); 3] =
    [("CAP_NET_ADMIN", 12), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];

/// What a setting of the unit says.
fn unit_setting(name: &str) -> Result<String> {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd/lapwing.service");
    let unit = fs::read_to_string(unit)?;
    unit.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .map(str::to_owned)
        .with_context(|| format!("the unit has no {name}"))
}

#[test]
fn unprivileged_daemon_with_three_capabilities_withdraws_and_returns() -> Result<()> {
    let capabilities = unit_setting("CapabilityBoundingSet")?;
    ensure!(unit_setting("AmbientCapabilities")? == capabilities);
    let mut expected: u64 = 0;
    for name in capabilities.split_whitespace() {
        let (_, bit) = CAPABILITIES
            .iter()
            .find(|(known, _)| *known == name)
            .with_context(|| format!("the unit gives {name}, which nobody needs"))?;
        expected |= 1 << bit;
    }

    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let _load = lab.load(Plan::steady(400))?;
    let settings = Settings::fast();
    let node = &lab.fra1.node;
    node.write(CONFIG, &settings.config(Site::Fra1))?;
    for directory in ["/run/lapwing", "/sys/fs/bpf/lapwing"] {
        let path = node.path(directory);
        fs::create_dir_all(&path)?;
        chown(&path, Some(NOBODY), Some(NOBODY))?;
    }
    let named: Vec<String> = capabilities
        .split_whitespace()
        .map(|name| name.trim_start_matches("CAP_").to_lowercase())
        .map(|name| format!("+{name}"))
        .collect();
    let set = format!("-all,{}", named.join(","));
    let user = NOBODY.to_string();
    let wrapper = [
        "setpriv",
        "--reuid",
        &user,
        "--regid",
        &user,
        "--clear-groups",
        "--inh-caps",
        &set,
        "--ambient-caps",
        &set,
        "--bounding-set",
        &set,
    ];
    let daemon = Lapwing::start_by(node, &wrapper, &settings)?;

    for entry in fs::read_dir(format!("/proc/{}/task", daemon.pid()))? {
        let status = fs::read_to_string(entry?.path().join("status"))?;
        let field = |name: &str| -> Result<&str> {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
                .with_context(|| format!("no {name} in {status}"))
        };
        let set = |name: &str| -> Result<u64> { Ok(u64::from_str_radix(field(name)?, 16)?) };
        ensure!(
            field("Uid")?.split_whitespace().all(|uid| uid == user)
                && field("NoNewPrivs")? == "1"
                && set("CapEff")? == expected
                && set("CapBnd")? == expected
                && set("CapAmb")? == 0,
            "{status}"
        );
    }
    let control = fs::metadata(node.path("/run/lapwing/control.sock"))?;
    ensure!((control.uid(), control.mode() & 0o777) == (NOBODY, 0o660));

    lab.wait_announced(Site::Fra1)?;
    daemon.wait_armed(&lab.fra1.node, PATIENT)?;
    // It may look at itself.
    let descriptors = daemon.metric(&lab.fra1.node, "process_open_fds")?;
    ensure!(
        descriptors.is_some_and(|open| open > 10.0),
        "{descriptors:?}"
    );
    let heard = lab.capture(Site::Fra1)?;
    lab.fra1.nginx.kill()?;
    heard.wait_for_all(&Family::withdraws(), PATIENT)?;
    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    let announced = Family::ALL.map(|family| Change::Announce(family.network()));
    heard.wait_for_all(&announced, PATIENT)?;

    // Its successor adopts what it pinned.
    ensure!(daemon.stop()?.success());
    let daemon = Lapwing::start_by(&lab.fra1.node, &wrapper, &settings)?;
    heard.ensure_quiet("it was restarted")?;
    ensure!(daemon.stop()?.success());
    Ok(())
}
