//! The emulator: the machine's own, or fetched into the build directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::kernels::archive::Archive;
use crate::kernels::mirror::Mirrors;
use crate::kernels::unpack;

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";

/// How often a guest is looked at.
const POLL: Duration = Duration::from_millis(50);

/// The emulator.
pub enum Emulator {
    /// Installed.
    Installed(PathBuf),
    /// Unpacked below this directory, with libraries that the machine lacks.
    Unpacked(PathBuf),
}

/// What is booted, and where it writes.
pub struct Guest<'a> {
    pub kernel: &'a Path,
    pub initramfs: &'a Path,
    /// The kernel's console: the first serial port.
    pub console: &'a Path,
    /// The report: the second.
    pub report: &'a Path,
}

impl Emulator {
    /// The installed one, the one fetched earlier, or a fetched one.
    pub fn get(kernels: &Path) -> Result<Self> {
        if let Some(program) = command::find(PROGRAM) {
            return Ok(Self::Installed(program));
        }
        let root = kernels.join("qemu");
        if command::is_executable(&unpacked(&root)) {
            return Ok(Self::Unpacked(root));
        }
        super::progress("fetching the emulator (once)");
        let archive = Archive::of_this_machine(
            &kernels.join("apt/emulator"),
            &Mirrors::of_this_machine()?.own_sources(),
        );
        archive.update()?;
        let packages = archive
            .download_closure(PACKAGE)
            .context("fetching the emulator")?;
        // Renamed when complete, so that half of it is never taken for all.
        let partial = kernels.join("qemu.partial");
        unpack::packages(&packages, &partial)?;
        fs::rename(&partial, &root)
            .with_context(|| format!("cannot rename {}", partial.display()))?;
        Ok(Self::Unpacked(root))
    }

    /// Boots a guest and waits until it has switched itself off.
    pub fn boot(&self, guest: &Guest, timeout: Duration) -> Result<()> {
        for port in [guest.console, guest.report] {
            command::write_file(port, b"")?;
        }
        let mut command = self.command(guest);
        let mut child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", command::shown(&command)))?;
        let status = wait(&mut child, timeout)?;
        let tail = last_line(guest.console);
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the emulator failed ({status})"),
            None => bail!(
                "the guest had not ended after {} s; its console last said: {tail}",
                timeout.as_secs()
            ),
        }
    }

    fn command(&self, guest: &Guest) -> Command {
        let mut command = match self {
            Self::Installed(program) => command::clean(program),
            Self::Unpacked(root) => {
                let mut command = command::clean(unpacked(root));
                let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"]
                    .map(|directory| root.join(directory).display().to_string());
                command.env("LD_LIBRARY_PATH", libraries.join(":"));
                for firmware in ["usr/share/qemu", "usr/share/seabios"] {
                    command.arg("-L").arg(root.join(firmware));
                }
                command
            }
        };
        command
            // No device but what is named here.
            .args(["-nodefaults", "-nic", "none", "-display", "none"])
            .args(["-accel", "tcg", "-m", "512"])
            // Debian 12's QEMU emulates neither code patched under a second processor nor
            // cmpxchg16b faithfully: of 20 boots of 6.12 with both, 6 crashed.
            .args(["-smp", "1", "-cpu", "qemu64,-cx16"])
            // A panic restarts the guest, which then ends instead.
            .arg("-no-reboot")
            .arg("-serial")
            .arg(format!("file:{}", guest.console.display()))
            .arg("-serial")
            .arg(format!("file:{}", guest.report.display()))
            .arg("-kernel")
            .arg(guest.kernel)
            .arg("-initrd")
            .arg(guest.initramfs)
            .args(["-append", "console=ttyS0 panic=-1 quiet"]);
        command
    }
}

fn unpacked(root: &Path) -> PathBuf {
    root.join("usr/bin").join(PROGRAM)
}

/// Waits for the end; `None` if it had to be ended.
fn wait(child: &mut Child, timeout: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

fn last_line(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("nothing")
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_that_does_not_end_is_ended() {
        let start = Instant::now();
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep runs");
        let status = wait(&mut child, Duration::from_millis(100)).expect("it can be waited for");
        assert_eq!(status, None);
        assert!(start.elapsed() < Duration::from_secs(30));
        let mut child = Command::new("true").spawn().expect("true runs");
        let status = wait(&mut child, Duration::from_secs(30)).expect("it can be waited for");
        assert!(status.is_some_and(|status| status.success()));
    }

    #[test]
    fn fetched_emulator_uses_its_own_libraries_and_firmware() {
        let guest = Guest {
            kernel: Path::new("/k/vmlinuz"),
            initramfs: Path::new("/k/initramfs.cpio"),
            console: Path::new("/k/console.log"),
            report: Path::new("/k/report.jsonl"),
        };
        let command = Emulator::Unpacked(PathBuf::from("/q")).command(&guest);
        let shown = command::shown_with_variables(&command);
        assert!(
            shown.contains("LD_LIBRARY_PATH=/q/usr/lib/x86_64-linux-gnu:"),
            "{shown}"
        );
        assert!(shown.contains("-L /q/usr/share/qemu"), "{shown}");
        let installed = Emulator::Installed(PathBuf::from("/usr/bin/qemu-system-x86_64"));
        let shown = command::shown_with_variables(&installed.command(&guest));
        assert!(
            shown.starts_with("/usr/bin/qemu-system-x86_64 -nodefaults"),
            "{shown}"
        );
    }
}
