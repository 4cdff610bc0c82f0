//! A whole Debian under systemd at a node of the lab: its network is the node's, its root
//! a directory that is only read, below an overlay in the node's memory.
//!
//! ```text
//! node fra1 (net, mount, pid) ── systemd-nspawn ── systemd ── bird, nginx, lapwing ...
//!   /run/container/root = overlay(root, tmpfs)          eth0, lo, tables: the node's
//! ```
//! It ends with the node, as every process there; what it wrote ends with the node's mounts.
//! Only the control groups that systemd made outlive it: they are removed with it.

use std::{
    fs,
    io::ErrorKind,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    mount::{MsFlags, mount},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    control_group::ControlGroup,
    netns::{Namespace, Process},
    wait_until,
};

/// Where its files are, in the node.
const ROOT: &str = "/run/container/root";
/// A machine with other work boots it slowly.
const BOOTS_WITHIN: Duration = Duration::from_mins(2);
/// Longer than any service of it may take to stop.
const STOPS_WITHIN: Duration = Duration::from_mins(2);
/// What a Lapwing in it needs beyond what systemd-nspawn gives.
const CAPABILITIES: &str = "--capability=CAP_NET_ADMIN,CAP_BPF,CAP_PERFMON";

/// The files of a container; it may be booted more than once.
pub struct Disk<'a> {
    node: &'a Namespace,
}

impl<'a> Disk<'a> {
    /// What is written stays in the node; `root` is only read.
    pub fn over(node: &'a Namespace, root: &Path) -> Result<Self> {
        let lower = root.canonicalize()?;
        ensure!(
            !lower.as_os_str().as_bytes().contains(&b':'),
            "{} cannot be below an overlay: its name has a colon",
            lower.display()
        );
        node.inside(move || -> Result<()> {
            let base = Path::new(ROOT).parent().context("it has a parent")?;
            let (upper, work) = (base.join("upper"), base.join("work"));
            for directory in [&upper, &work, &PathBuf::from(ROOT)] {
                fs::create_dir_all(directory)?;
            }
            let options = format!(
                "lowerdir={},upperdir={},workdir={}",
                lower.display(),
                upper.display(),
                work.display()
            );
            mount(
                Some("overlay"),
                ROOT,
                Some("overlay"),
                MsFlags::empty(),
                Some(options.as_str()),
            )
            .context("mounting the container's root")
        })??;
        Ok(Self { node })
    }

    /// A path of it as it can be opened from outside, booted or not.
    pub fn path(&self, inner: &str) -> PathBuf {
        self.node
            .path(Path::new(ROOT).join(inner.trim_start_matches('/')))
    }

    /// Writes a file; makes its directory. What stood there goes: a link would lead out of
    /// the container.
    pub fn write(&self, inner: &str, text: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(inner);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        fs::write(&path, text).with_context(|| format!("writing {inner} in the container"))
    }

    /// Boots it, and returns when systemd has started everything.
    pub fn boot(&self) -> Result<Container<'a>> {
        let groups = ControlGroup::new()?;
        // Its own /proc: systemd-nspawn looks there for its children.
        let script = format!(
            "{}mount -t proc proc /proc && exec systemd-nspawn --quiet --boot --register=no --keep-unit \
             --directory={ROOT} --machine=lapwing-test --network-namespace-path=/proc/self/ns/net \
             {CAPABILITIES} --system-call-filter='bpf perf_event_open' \
             --bind=/sys/fs/bpf --console=pipe",
            groups.entering()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "slave", "sh", "-c", &script]);
        let process = self.node.spawn("container", command)?;
        let mut leader = None;
        wait_until("the container's systemd", BOOTS_WITHIN, || {
            if let Some(status) = process.exited()? {
                bail!("the container ended ({status}): {}", process.log_tail());
            }
            leader = find_init(process.pid())?;
            Ok(leader.is_some())
        })?;
        let container = Container {
            node: self.node,
            leader: leader.context("it was found")?,
            process,
            _groups: groups,
        };
        wait_until("the container has booted", BOOTS_WITHIN, || {
            let state = container.output("systemctl is-system-running")?;
            Ok(matches!(
                state.stdout.trim_ascii(),
                b"running" | b"degraded"
            ))
        })
        .with_context(|| container.process.log_tail())?;
        Ok(container)
    }
}

/// One that runs. Killed when dropped.
pub struct Container<'a> {
    node: &'a Namespace,
    /// Its pid 1, as the test process sees it.
    leader: u32,
    process: Process,
    /// Empty when the process has ended, so it comes last.
    _groups: ControlGroup,
}

impl Container<'_> {
    /// Runs a script to its end, as root at a shell there.
    pub fn output(&self, script: &str) -> Result<Output> {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.leader.to_string()])
            // Not `--all`, which compares by pids of another namespace than that of /proc.
            .args([
                "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
            ])
            .args(["env", "--ignore-environment", "HOME=/root"])
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["bash", "-c", &format!("cd /root && {{\n{script}\n}}")]);
        self.node.output(command, "")
    }

    /// What a script prints; an error if it failed.
    pub fn run(&self, script: &str) -> Result<String> {
        let output = self.output(script)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{script} in the container: {}\n{text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    /// A property of a unit, as systemd tells it.
    pub fn property(&self, unit: &str, name: &str) -> Result<String> {
        let text = self.run(&format!("systemctl show --value --property={name} {unit}"))?;
        Ok(text.trim().to_owned())
    }

    /// Waits until a unit's property is so.
    pub fn wait_property(
        &self,
        unit: &str,
        name: &str,
        timeout: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let mut value = String::new();
        wait_until(&format!("{name} of {unit}"), timeout, || {
            value = self.property(unit, name)?;
            Ok(wanted(&value))
        })
        .with_context(|| format!("it is {value:?}\n{}", self.log(unit)))?;
        Ok(value)
    }

    /// The last lines of a unit's log, for messages.
    pub fn log(&self, unit: &str) -> String {
        self.run(&format!("journalctl --no-pager --lines=40 --unit={unit}"))
            .unwrap_or_else(|error| error.to_string())
    }

    /// Has it power off, and waits for that.
    pub fn power_off(self) -> Result<()> {
        self.output("systemctl poweroff --no-block")?;
        self.process
            .wait(STOPS_WITHIN)
            .with_context(|| self.process.log_tail())?;
        Ok(())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // Its pid 1 outlives a systemd-nspawn that is killed. As long as the latter runs, it
        // has not reaped the former, and the number is nobody else's.
        if matches!(self.process.exited(), Ok(None)) {
            let _ = kill(Pid::from_raw(self.leader.cast_signed()), Signal::SIGKILL);
        }
    }
}

/// Pid 1 below a process: the first that calls itself systemd.
fn find_init(ancestor: u32) -> Result<Option<u32>> {
    let mut generation = vec![ancestor];
    while !generation.is_empty() {
        let mut next = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let Some((command, parent)) = stat(pid)? else {
                continue;
            };
            if generation.contains(&parent) {
                if command == "systemd" {
                    return Ok(Some(pid));
                }
                next.push(pid);
            }
        }
        generation = next;
    }
    Ok(None)
}

/// The name of a process and its parent; none if it has ended.
fn stat(pid: u32) -> Result<Option<(String, u32)>> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        // Ended while it was read.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let name = text
        .split_once('(')
        .and_then(|(_, rest)| rest.rsplit_once(") "))
        .and_then(|(name, rest)| Some((name.to_owned(), rest.split(' ').nth(1)?.parse().ok()?)));
    Ok(name)
}
