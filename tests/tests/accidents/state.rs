//! What the daemon must not forget has no place to be written. Routes do not wait for
//! a disk.

use std::{fs, os::unix::net::UnixListener, thread, time::Duration};

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    lapwing::{CONFIG, CONTROL, Lapwing, STATE, Settings},
    topology::{Family, Lab, Site},
    wait_until,
};

use super::{PATIENT, Watched};

/// A state directory on a file system of its own, of so many KiB.
fn watched_with_small_state(kib: u32) -> Result<Watched> {
    // The file system has to be there before the daemon opens its journal, and the
    // daemon stays below it.
    let lab = Lab::start()?;
    fs::create_dir_all(lab.fra1.node.path(STATE))?;
    lab.fra1.node.run(
        "mount",
        ["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs", STATE],
    )?;
    Watched::in_lab(lab, &Settings::fast())
}

#[test]
fn full_disk_loses_no_decision_and_delays_none() -> Result<()> {
    let mut watched = watched_with_small_state(64)?;
    let filler = watched.lab.fra1.node.path(format!("{STATE}/filler"));
    // Up to the last byte; that it ends in an error is what is wanted.
    let _ = fs::write(&filler, vec![0; 64 << 10]);
    watched.lab.fra1.nginx.kill()?;
    watched.heard.wait_for_all(&Family::withdraws(), PATIENT)?;
    watched.wait_told("No space left on device")?;
    let log = fs::read_to_string(watched.lab.fra1.node.path("/run/lapwing.log"))?;
    for family in Family::ALL {
        let kept = log.lines().any(|line| {
            line.contains("journal record")
                && line.contains("\"decision\"")
                && line.contains(family.prefix())
        });
        ensure!(kept, "the log has no decision about {family}:\n{log}");
    }
    fs::remove_file(&filler)?;
    let records = watched
        .daemon
        .journal()
        .wait_decisions("withdrawn", PATIENT)?;
    ensure!(records.len() == 2, "{records:?}");
    Ok(())
}

#[test]
fn daemon_that_cannot_use_its_state_directory_says_so_and_changes_nothing() -> Result<()> {
    let lab = Lab::start()?;
    lab.announce(Site::Fra1)?;
    let heard = lab.capture(Site::Fra1)?;
    fs::create_dir_all(lab.fra1.node.path(STATE))?;
    lab.fra1
        .node
        .run("mount", ["-t", "tmpfs", "-o", "ro", "tmpfs", STATE])?;
    lab.fra1
        .node
        .write(CONFIG, &Settings::new().config(Site::Fra1))?;
    let output = lab.fra1.lapwing_command(&["run", "--config", CONFIG])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{output:?}");
    for word in [STATE, "Read-only file system", "state_dir"] {
        ensure!(said.contains(word), "no {word} in: {said}");
    }
    heard.ensure_quiet("a daemon did not start")
}

#[test]
fn lost_state_directory_is_made_again_and_nothing_is_withdrawn() -> Result<()> {
    let mut watched = Watched::start(&Settings::fast())?;
    fs::remove_dir_all(watched.lab.fra1.node.path(STATE))?;
    thread::sleep(Duration::from_secs(2));
    let Watched {
        heard,
        daemon,
        load,
        lab,
    } = watched;
    daemon.kill()?;
    let daemon = Lapwing::start_again(&lab.fra1.node, &Settings::fast())?;
    heard.ensure_quiet("the state was lost")?;
    watched = Watched {
        heard,
        daemon,
        load,
        lab,
    };
    watched.ensure_on_duty()
}

#[test]
fn state_directory_removed_under_a_running_daemon_is_made_again_with_what_matters() -> Result<()> {
    let mut watched = Watched::start(&Settings::fast())?;
    let state = watched.lab.fra1.node.path(STATE);
    fs::remove_dir_all(&state)?;
    wait_until("the journal is there again", PATIENT, || {
        Ok(watched.daemon.journal_path().exists())
    })?;
    watched.ensure_untouched()?;
    watched.ensure_on_duty()?;
    wait_until(
        "decisions and what to remember are written",
        PATIENT,
        || {
            let journal = fs::read_to_string(watched.daemon.journal_path())?;
            let decided = |family: &Family| {
                let mut lines = journal.lines();
                lines.any(|line| line.contains("\"decision\"") && line.contains(family.prefix()))
            };
            Ok(Family::ALL.iter().all(decided) && state.join("memory.json").exists())
        },
    )?;
    let verified = watched
        .lab
        .fra1
        .lapwing_command(&["journal", "verify", "--config", CONFIG])?;
    ensure!(verified.status.success(), "{verified:?}");
    // The next life knows of the withdraw, and its service is still dead.
    thread::sleep(Duration::from_secs(2));
    let Watched {
        heard, daemon, lab, ..
    } = watched;
    daemon.kill()?;
    let _daemon = Lapwing::start_again(&lab.fra1.node, &Settings::fast())?;
    heard.ensure_quiet("started with a dead service")
}

#[test]
fn second_start_is_refused_and_the_first_daemon_works_on() -> Result<()> {
    let mut watched = Watched::start(&Settings::fast())?;
    let output = watched
        .lab
        .fra1
        .lapwing_command(&["run", "--config", CONFIG])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(said.contains("another lapwing"), "{said}");
    watched.ensure_untouched()?;
    watched.heard.ensure_quiet("a second start was refused")?;
    watched.ensure_on_duty()
}

#[test]
fn stale_control_socket_is_replaced_and_any_other_file_is_not() -> Result<()> {
    let lab = Lab::start()?;
    let socket = lab.fra1.node.path(CONTROL);
    fs::create_dir_all(lab.fra1.node.path("/run/lapwing"))?;
    drop(UnixListener::bind(&socket)?);
    let daemon = lab.fra1.lapwing(&Settings::new())?;
    wait_until("the daemon answers", PATIENT, || {
        Ok(daemon.status(&lab.fra1.node).is_ok())
    })?;
    ensure!(daemon.stop()?.success());
    ensure!(!socket.exists(), "the socket stays behind");

    fs::write(&socket, "somebody's notes")?;
    let output = lab.fra1.lapwing_command(&["run", "--config", CONFIG])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(said.contains(CONTROL) && said.contains("control"), "{said}");
    ensure!(fs::read_to_string(&socket)? == "somebody's notes");
    Ok(())
}
