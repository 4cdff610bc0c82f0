//! The lab leaves nothing behind: no process, no namespace, no eBPF program,
//! whatever ends the process that holds it.
//!
//! ```text
//!  this test ── starts `hold-lab` ── a lab with load and lapwing
//!      └── SIGKILL, SIGINT or a panic there; then looks through /proc
//! ```

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, ErrorKind},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::ProgramError;
use lapwing_tests::lab::wait_until;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const MARKER: &str = "LAPWING_LAB_MARKER";

#[derive(Clone, Copy, Debug)]
enum Ending {
    Signal(Signal),
    Panic,
}

fn nothing_is_left_after(ending: Ending) -> Result<()> {
    let marker = format!("{}-{ending:?}", std::process::id());
    let programs = bpf_programs()?;
    // Who starts us in the background of a script has us ignore SIGINT, and what we
    // start would inherit that.
    let mut holder = Command::new("env")
        .args(["--default-signal=INT", env!("CARGO_BIN_EXE_hold-lab")])
        .env(MARKER, &marker)
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = BufReader::new(holder.stdout.take().context("piped")?);
    let ready = output
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("READY"));
    if !ready {
        bail!("the lab was not raised: {}", holder.wait()?);
    }
    let ours = namespace_of("self").context("our own network namespace")?;
    let spaces: BTreeSet<String> = processes()
        .filter(|pid| is_marked(pid, &marker))
        .filter_map(|pid| namespace_of(&pid))
        .filter(|space| *space != ours)
        .collect();
    ensure!(spaces.len() == 4, "four nodes, but {spaces:?}");
    let inside = count_inside(&spaces);
    // Four holders, three BIRDs, two nginx masters and two workers.
    ensure!(inside >= 11, "{inside} processes in the lab");

    match ending {
        Ending::Signal(signal) => kill(Pid::from_raw(holder.id().cast_signed()), signal)?,
        Ending::Panic => {}
    }
    let status = holder.wait()?;
    ensure!(!status.success(), "it ended with {status}");
    wait_until("the lab's processes end", Duration::from_secs(3), || {
        Ok(count_inside(&spaces) == 0 && !processes().any(|pid| is_marked(&pid, &marker)))
    })?;
    wait_until(
        "the kernel frees the programs",
        Duration::from_secs(10),
        || Ok(bpf_programs()?.difference(&programs).next().is_none()),
    )?;
    Ok(())
}

#[test]
fn nothing_is_left_after_sigkill() -> Result<()> {
    nothing_is_left_after(Ending::Signal(Signal::SIGKILL))
}

#[test]
fn nothing_is_left_after_ctrl_c() -> Result<()> {
    nothing_is_left_after(Ending::Signal(Signal::SIGINT))
}

#[test]
fn nothing_is_left_after_a_panic() -> Result<()> {
    nothing_is_left_after(Ending::Panic)
}

fn processes() -> impl Iterator<Item = String> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_marked(pid: &str, marker: &str) -> bool {
    let wanted = format!("{MARKER}={marker}").into_bytes();
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted)
    })
}

fn namespace_of(pid: &str) -> Option<String> {
    Some(
        fs::read_link(format!("/proc/{pid}/ns/net"))
            .ok()?
            .display()
            .to_string(),
    )
}

fn count_inside(spaces: &BTreeSet<String>) -> usize {
    processes()
        .filter_map(|pid| namespace_of(&pid))
        .filter(|space| spaces.contains(space))
        .count()
}

/// The ids of all loaded eBPF programs: a pin or a link that is left keeps its own.
fn bpf_programs() -> Result<BTreeSet<u32>> {
    let mut ids = BTreeSet::new();
    for program in aya::programs::loaded_programs() {
        match program {
            Ok(program) => {
                ids.insert(program.id());
            }
            // Freed between the look at its id and the look at it.
            Err(ProgramError::SyscallError(error))
                if error.io_error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ids)
}
