//! What is pinned, and who else is on the hook.

use std::fs;

use anyhow::{Result, ensure};
use lapwing_tests::{
    lab::{
        lapwing::{CONFIG, CONTROL, Lapwing, STATE, Settings},
        load::Plan,
        topology::{Edge, Family, Lab, Site},
        wait_until,
    },
    soak::{footprint::Footprint, restart::counters},
};

use probe_common::ABI_VERSION;

use super::{PATIENT, Watched};

const PINS: &str = "/sys/fs/bpf/lapwing";
const OTHER_CONFIG: &str = "/run/other/lapwing.toml";

/// The configuration of another Lapwing, with its own directories, and this way of
/// attaching.
fn write_other(edge: &Edge, pin_dir: &str, attach: &str) -> Result<()> {
    let config = Settings::new().config(Site::Fra1);
    let config = config
        .replace(CONTROL, "/run/other/control.sock")
        .replace(STATE, "/run/other/state")
        .replace("127.0.0.1:9477", "127.0.0.1:9478")
        .replace(
            "on_exit",
            &format!("pin_dir = \"{pin_dir}\"\nattach = \"{attach}\"\non_exit"),
        );
    edge.node.write(OTHER_CONFIG, &config)
}

/// Runs a command that must fail; returns what it said.
fn refused(edge: &Edge, arguments: &[&str]) -> Result<String> {
    let output = edge.lapwing_command(arguments)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{arguments:?}: {output:?}");
    Ok(said)
}

fn done(edge: &Edge, arguments: &[&str]) -> Result<String> {
    let output = edge.lapwing_command(arguments)?;
    ensure!(output.status.success(), "{arguments:?}: {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn on_hooks(edge: &Edge) -> Result<String> {
    edge.node.run("bpftool", ["net", "show", "dev", "eth0"])
}

#[test]
fn occupied_xdp_hook_is_told_with_its_remedy_and_auto_takes_tc() -> Result<()> {
    let lab = Lab::start()?;
    // What holds the hook is no pin of ours: to us it is anybody's program.
    write_other(&lab.fra1, "/sys/fs/bpf/somebody", "native")?;
    done(&lab.fra1, &["attach", "--config", OTHER_CONFIG])?;

    write_other(&lab.fra1, "/sys/fs/bpf/third", "native")?;
    let said = refused(&lab.fra1, &["attach", "--config", OTHER_CONFIG])?;
    for word in ["eth0", "bpftool net show dev eth0", "attach = \"tc\""] {
        ensure!(said.contains(word), "no {word} in: {said}");
    }
    ensure!(
        fs::read_dir(
            lab.fra1
                .node
                .path(format!("/sys/fs/bpf/third/v{ABI_VERSION}/links"))
        )?
        .count()
            == 0,
        "the refused start left hooks"
    );

    write_other(&lab.fra1, "/sys/fs/bpf/third", "auto")?;
    let said = done(&lab.fra1, &["attach", "--config", OTHER_CONFIG])?;
    ensure!(said.contains("attached to eth0 ingress (tcx)"), "{said}");
    Ok(())
}

#[test]
fn attach_counts_without_a_daemon_and_detach_leaves_nothing() -> Result<()> {
    let lab = Lab::start()?;
    lab.announce(Site::Fra1)?;
    lab.fra1
        .node
        .write(CONFIG, &Settings::new().config(Site::Fra1))?;
    let before = on_hooks(&lab.fra1)?;
    let said = done(&lab.fra1, &["attach", "--config", CONFIG])?;
    ensure!(said.contains("attached to eth0 ingress (native)"), "{said}");
    let load = lab.load(Plan::steady(50))?;
    let mut came = load.wait_served_by(&[Site::Fra1], PATIENT)?;
    came.add(&load.finish()?);
    ensure!(came.failures() == 0, "{came:?}");

    let daemon = Lapwing::start_again(&lab.fra1.node, &Settings::new())?;
    for family in Family::ALL {
        let clients = u64::from(came.answers_of(Site::Fra1, family));
        wait_until("what came without a daemon is counted", PATIENT, || {
            Ok(counters(&lab.fra1, family)? == [clients; 2])
        })?;
    }
    for arguments in [&["detach", "--config", CONFIG][..], &["detach"][..]] {
        let said = refused(&lab.fra1, arguments)?;
        ensure!(said.contains("stop it first"), "{arguments:?}: {said}");
    }
    ensure!(daemon.stop()?.success());
    let said = done(&lab.fra1, &["detach", "--config", CONFIG])?;
    ensure!(said.contains("eth0-ingress-native"), "{said}");
    ensure!(!lab.fra1.node.path(PINS).exists(), "{PINS} is still there");
    wait_until("the hooks are free", PATIENT, || {
        Ok(on_hooks(&lab.fra1)? == before)
    })?;
    let said = done(&lab.fra1, &["detach", "--config", CONFIG])?;
    ensure!(said.contains("nothing was pinned"), "{said}");
    Ok(())
}

#[test]
fn pins_of_another_version_are_taken_over_in_place() -> Result<()> {
    let mut watched = Watched::start(&Settings::fast())?;
    let Watched {
        heard,
        daemon,
        load,
        lab,
    } = watched;
    let before = Footprint::of(&lab.fra1, &daemon)?;
    ensure!(daemon.stop()?.success());
    let (ours, other) = (
        lab.fra1.node.path(format!("{PINS}/v{ABI_VERSION}")),
        lab.fra1.node.path(format!("{PINS}/v1")),
    );
    fs::rename(&ours, &other)?;
    // A second program on the XDP hook is refused, so this start works only if it
    // takes over the link.
    let daemon = Lapwing::start_again(&lab.fra1.node, &Settings::fast())?;
    ensure!(!other.exists(), "the pins of v1 are still there");
    wait_until("it holds what it held before", PATIENT, || {
        Ok(Footprint::of(&lab.fra1, &daemon)? == before)
    })?;
    heard.ensure_quiet("the daemon was upgraded")?;
    watched = Watched {
        heard,
        daemon,
        load,
        lab,
    };
    watched.ensure_on_duty()
}

#[test]
fn second_daemon_with_the_same_pins_is_refused_and_the_first_works_on() -> Result<()> {
    let mut watched = Watched::start(&Settings::fast())?;
    // Its own state directory, socket and port, as one is told to give it.
    write_other(&watched.lab.fra1, PINS, "auto")?;
    let said = refused(&watched.lab.fra1, &["run", "--config", OTHER_CONFIG])?;
    ensure!(said.contains(PINS) && said.contains("pin_dir"), "{said}");
    watched.ensure_untouched()?;
    watched.heard.ensure_quiet("a second daemon was refused")?;
    watched.ensure_on_duty()
}
