//! `lapwing top` in a real terminal through a fault.
//!
//! ```text
//!  lapwing ── control.sock ── lapwing top ── pty ── tmux     nginx at fra1 killed, back;
//!                                                            the daemon hung, gone, back
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    bird,
    lapwing::{CONTROL, Lapwing, Settings, binary},
    terminal::Terminal,
    topology::{Lab, Site},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The command under test, as a shell takes it.
fn top() -> Result<String> {
    let binary = binary()?;
    Ok(format!(
        "{} top --control {CONTROL} --interval 200ms",
        binary.display()
    ))
}

#[test]
fn fault_is_seen_in_the_terminal_from_the_withdraw_to_the_return() -> Result<()> {
    let mut lab = Lab::start()?;
    let settings = Settings {
        bird_socket: Some(bird::SOCKET),
        ..Settings::new()
    };
    let daemon = lab.fra1.lapwing(&settings)?;
    lab.wait_announced(Site::Fra1)?;
    let terminal = Terminal::open(&lab.fra1.node, 80, 24)?;
    terminal.run(&top()?)?;
    for shown in [
        "fra1 / fra1-edge1",
        "✓ All is well",
        "192.0.2.0/24    ✓ full",
        "web4",
        "✓ passes",
        "✓ Sensor",
        "web4: the probes of all needed services",
    ] {
        terminal.wait_for(shown, PATIENCE)?;
    }

    lab.fra1.nginx.kill()?;
    for shown in [
        "192.0.2.0/24 is WITHDRAWN",
        "192.0.2.0/24    ✕ withdrawn",
        "✕ failed",
        "192.0.2.0/24 withdrawn    web4: the probe failed",
    ] {
        terminal.wait_for(shown, PATIENCE)?;
    }
    // To the decisions, only those about web4, all about the newest.
    terminal.press(&["Tab", "/", "w", "e", "b", "4"])?;
    terminal.wait_for("Services  1 of 2", PATIENCE)?;
    terminal.press(&["Enter", "Enter"])?;
    terminal.wait_for("web4: the probe failed 3 times in a row", PATIENCE)?;
    terminal.wait_for("lapwing explain ", PATIENCE)?;
    terminal.press(&["Escape"])?;
    terminal.wait_for("only \"web4\"", PATIENCE)?;
    terminal.press(&["Escape"])?;
    terminal.wait_until("all services", PATIENCE, |screen| {
        screen.contains("web6") && !screen.contains("only")
    })?;
    terminal.resize(160, 50)?;
    terminal.wait_for("ENDPOINT", PATIENCE)?;
    terminal.wait_for("eth0 ingress", PATIENCE)?;

    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    terminal.wait_for("✓ All is well", PATIENCE)?;
    terminal.wait_for("once", PATIENCE)?;

    // A daemon that hangs makes no key wait.
    let pid = Pid::from_raw(daemon.pid().cast_signed());
    kill(pid, Signal::SIGSTOP)?;
    terminal.press(&["?"])?;
    terminal.wait_for("Keys and marks", PATIENCE)?;
    terminal.press(&["Escape"])?;
    terminal.wait_for("No answer since", PATIENCE)?;
    kill(pid, Signal::SIGCONT)?;
    terminal.wait_for("✓ All is well", PATIENCE)?;

    drop(daemon);
    terminal.wait_for("No answer since", PATIENCE)?;
    terminal.wait_for("nobody answers on", PATIENCE)?;
    terminal.wait_for("What is shown below is old", PATIENCE)?;
    let _daemon = Lapwing::start_again(&lab.fra1.node, &settings)?;
    terminal.wait_for("✓ All is well", PATIENCE)?;

    terminal.press(&["q"])?;
    terminal.wait_restored(PATIENCE)?;
    terminal.run(&format!(
        "clear; timeout --foreground 2 {}; echo ended $?",
        top()?
    ))?;
    terminal.wait_for("ended 124", PATIENCE)?;
    terminal.wait_restored(PATIENCE)
}

#[test]
fn who_cannot_be_shown_anything_is_told_why() -> Result<()> {
    let lab = Lab::start()?;
    let _daemon = lab.fra1.lapwing(&Settings::new())?;
    let piped = lab.fra1.lapwing_command(&["top", "--control", CONTROL])?;
    let why = String::from_utf8_lossy(&piped.stderr).into_owned();
    ensure!(piped.status.code() == Some(2), "{why}");
    ensure!(
        why.contains("lapwing status") && piped.stdout.is_empty(),
        "{why}"
    );

    // nobody is not in the socket's group; in it, he may ask.
    let terminal = Terminal::open(&lab.fra1.node, 100, 30)?;
    let as_nobody = |group: &str| -> Result<String> {
        Ok(format!(
            "clear; setpriv --reuid nobody --regid {group} --clear-groups {}; echo ended $?",
            top()?
        ))
    };
    terminal.run(&as_nobody("nogroup")?)?;
    terminal.wait_for("this user may not talk to lapwing", PATIENCE)?;
    terminal.wait_for("ended 1", PATIENCE)?;
    terminal.wait_restored(PATIENCE)?;
    terminal.run(&as_nobody("root")?)?;
    terminal.wait_for("fra1 / fra1-edge1", PATIENCE)?;
    terminal.press(&["C-c"])?;
    terminal.wait_for("ended 0", PATIENCE)?;
    terminal.wait_restored(PATIENCE)
}
