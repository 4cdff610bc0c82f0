//! Which compiler builds the eBPF crates, and how it is called.
//!
//! bpf is a tier 3 target: rustup ships no core library for it. There are two
//! ways to have one:
//!
//! ```text
//! nightly + rust-src ──▶ cargo -Z build-std=core ──▶ bpf-linker from PATH
//! Debian's rustc-web ──▶ core prebuilt for bpf   ──▶ bpf-linker under target/tools
//! ```
//! The first is taken where it is complete, since then nothing has to be
//! installed; the second is what setup installs. The bpf-linker reads the
//! compiler's bitcode, so both need the same major version of LLVM.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bpf_linker;
use crate::command;
use crate::version::Rustc;
use crate::workspace::Workspace;

/// Debian's compiler, by full path: rustup's shims stay first in `PATH`.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_CLIPPY: &str = "/usr/bin/cargo-clippy";

/// The target: little endian, as are the hosts we run on.
pub const BPF_TARGET: &str = "bpfel-unknown-none";

/// A way to build for bpf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// Debian's `rustc-web` with its prebuilt core; setup builds the linker.
    Debian,
    /// A rustup nightly with rust-src, and the linker that is there.
    Nightly { rustc: Rustc, linker: PathBuf },
}

/// What clippy or the compiler is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    Build,
    Clippy,
}

impl Toolchain {
    /// The nightly if it is complete, else Debian's; with the reason.
    pub fn choose() -> (Self, String) {
        match Nightly::look().judge() {
            Ok((rustc, linker)) => {
                let reason = format!(
                    "nightly {} with rust-src and {} are here",
                    rustc.release,
                    linker.display()
                );
                (Self::Nightly { rustc, linker }, reason)
            }
            Err(lack) => (Self::Debian, format!("Debian's compiler, since {lack}")),
        }
    }

    /// The linker this toolchain uses.
    pub fn linker(&self, workspace: &Workspace) -> PathBuf {
        match self {
            Self::Debian => bpf_linker::path(workspace),
            Self::Nightly { linker, .. } => linker.clone(),
        }
    }

    /// Cargo, set up to build or check for bpf; the caller adds what to build.
    pub fn cargo(&self, workspace: &Workspace, job: Job) -> Command {
        let mut command = match self {
            Self::Debian => {
                let program = match job {
                    Job::Build => DEBIAN_CARGO,
                    Job::Clippy => DEBIAN_CLIPPY,
                };
                let mut command = command::clean(program);
                command
                    // cargo-clippy calls the cargo it is told.
                    .env("CARGO", DEBIAN_CARGO)
                    .env("RUSTC", DEBIAN_RUSTC)
                    // A released compiler that accepts core's intrinsics, which
                    // the atomic adds of the counters need.
                    .env("RUSTC_BOOTSTRAP", "1");
                command
            }
            Self::Nightly { .. } => {
                let mut command = command::clean("rustup");
                command.args(["run", "nightly", "cargo"]);
                command.env_remove("CARGO");
                command
            }
        };
        command.env_remove("RUSTUP_TOOLCHAIN");
        // A cache or wrapper meant for the host's compiler has no part in this.
        command.env_remove("RUSTC_WRAPPER");
        command.arg(match job {
            Job::Build => "build",
            Job::Clippy => "clippy",
        });
        if matches!(self, Self::Nightly { .. }) {
            command.args(["-Z", "build-std=core"]);
        }
        command
            .args(["--target", BPF_TARGET, "--target-dir"])
            .arg(workspace.bpf_target())
            .current_dir(workspace.root())
            // The encoded form wins over RUSTFLAGS and over every config file.
            .env(
                "CARGO_ENCODED_RUSTFLAGS",
                rustflags(&self.linker(workspace)).join("\x1f"),
            );
        command
    }
}

/// Debian's compiler, if it is installed.
pub fn debian_rustc() -> Option<Rustc> {
    Rustc::parse(&command::ask(Command::new(DEBIAN_RUSTC).arg("-vV"))?)
}

/// The flags every eBPF crate is compiled with.
fn rustflags(linker: &Path) -> Vec<String> {
    vec![
        format!("-Clinker={}", linker.display()),
        format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH),
        // BTF is made from the debug information of all crates.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        // v3 has 32-bit jumps and compare-exchange; v4 does not load on 6.1.
        "-Ctarget-cpu=v3".to_owned(),
        // Split functions would not share the 512 bytes of stack.
        "-Ccodegen-units=1".to_owned(),
    ]
}

/// What there is of the nightly way.
#[derive(Debug, Default)]
struct Nightly {
    rustc: Option<Rustc>,
    has_source: bool,
    linker: Option<(PathBuf, Option<u32>)>,
}

impl Nightly {
    fn look() -> Self {
        let rustc = |arguments: &[&str]| {
            let mut rustup = command::clean("rustup");
            rustup
                .args(["run", "nightly", "rustc"])
                .args(arguments)
                // Looking must not download a toolchain.
                .env("RUSTUP_AUTO_INSTALL", "0");
            command::ask(&mut rustup)
        };
        let Some(rustc_version) = rustc(&["-vV"]) else {
            return Self::default();
        };
        let has_source = rustc(&["--print", "sysroot"]).is_some_and(|sysroot| {
            Path::new(sysroot.trim())
                .join("lib/rustlib/src/rust/library/core/Cargo.toml")
                .is_file()
        });
        let linker = command::find("bpf-linker").or_else(|| {
            let home = env::var_os("CARGO_HOME").map(PathBuf::from)?;
            Some(home.join("bin/bpf-linker")).filter(|path| command::is_executable(path))
        });
        Self {
            rustc: Rustc::parse(&rustc_version),
            has_source,
            linker: linker.map(|path| {
                let llvm = bpf_linker::llvm_of(&path);
                (path, llvm)
            }),
        }
    }

    /// The compiler and linker to use, or what is lacking.
    fn judge(self) -> Result<(Rustc, PathBuf), String> {
        let Some(rustc) = self.rustc else {
            return Err("there is no rustup nightly".to_owned());
        };
        if !rustc.is_recent_enough() {
            return Err(format!("nightly {} is too old", rustc.release));
        }
        if !self.has_source {
            return Err(format!(
                "nightly {} is here without rust-src",
                rustc.release
            ));
        }
        match self.linker {
            None => Err(format!(
                "nightly {} is here without a bpf-linker",
                rustc.release
            )),
            // A linker with LLVM inside it does not tell which; it is believed.
            Some((path, None)) => Ok((rustc, path)),
            Some((path, Some(llvm))) if llvm == rustc.llvm => Ok((rustc, path)),
            Some((path, Some(llvm))) => Err(format!(
                "nightly {} has LLVM {} and {} has LLVM {llvm}",
                rustc.release,
                rustc.llvm,
                path.display()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nightly(minor: u32, llvm: u32) -> Rustc {
        Rustc {
            release: format!("1.{minor}.0-nightly"),
            llvm,
        }
    }

    #[test]
    fn nightly_is_taken_only_if_it_is_complete() {
        let linker = |llvm| Some((PathBuf::from("/bin/bpf-linker"), llvm));
        let cases = [
            ("none", None, false, None, Err("no rustup nightly")),
            (
                "old",
                Some(nightly(90, 20)),
                true,
                linker(None),
                Err("too old"),
            ),
            (
                "no source",
                Some(nightly(97, 22)),
                false,
                linker(None),
                Err("without rust-src"),
            ),
            (
                "no linker",
                Some(nightly(97, 22)),
                true,
                None,
                Err("without a bpf-linker"),
            ),
            (
                "another LLVM",
                Some(nightly(97, 22)),
                true,
                linker(Some(21)),
                Err("has LLVM 21"),
            ),
            (
                "same LLVM",
                Some(nightly(97, 22)),
                true,
                linker(Some(22)),
                Ok(()),
            ),
            (
                "LLVM inside",
                Some(nightly(97, 22)),
                true,
                linker(None),
                Ok(()),
            ),
        ];
        for (description, rustc, has_source, linker, expected) in cases {
            let judged = Nightly {
                rustc,
                has_source,
                linker,
            }
            .judge();
            match (judged, expected) {
                (Ok(_), Ok(())) => {}
                (Err(lack), Err(part)) => assert!(lack.contains(part), "{description}: {lack}"),
                (judged, _) => panic!("{description}: {judged:?}"),
            }
        }
    }

    fn value_of(command: &Command, name: &str) -> Option<String> {
        command
            .get_envs()
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| Some(value?.to_string_lossy().into_owned()))
    }

    fn is_removed(command: &Command, name: &str) -> bool {
        command
            .get_envs()
            .any(|(key, value)| key == name && value.is_none())
    }

    #[test]
    fn host_settings_do_not_reach_the_object() {
        let workspace = Workspace::locate();
        let command = Toolchain::Debian.cargo(&workspace, Job::Build);
        assert_eq!(command.get_program(), DEBIAN_CARGO);
        assert!(is_removed(&command, "RUSTUP_TOOLCHAIN"));
        assert_eq!(value_of(&command, "RUSTC").as_deref(), Some(DEBIAN_RUSTC));
        let flags = value_of(&command, "CARGO_ENCODED_RUSTFLAGS").expect("flags are set");
        let flags: Vec<_> = flags.split('\x1f').collect();
        assert!(flags.contains(&"-Clink-arg=--btf"));
        assert!(flags[0].ends_with("tools/bin/bpf-linker"), "{flags:?}");
    }

    #[test]
    fn nightly_builds_core_and_uses_the_linker_found() {
        let toolchain = Toolchain::Nightly {
            rustc: nightly(97, 22),
            linker: PathBuf::from("/opt/bin/bpf-linker"),
        };
        let command = toolchain.cargo(&Workspace::locate(), Job::Clippy);
        let shown = command::shown(&command);
        assert!(
            shown.starts_with("rustup run nightly cargo clippy -Z build-std=core"),
            "{shown}"
        );
        assert!(is_removed(&command, "RUSTC_BOOTSTRAP"));
        assert!(
            value_of(&command, "CARGO_ENCODED_RUSTFLAGS")
                .is_some_and(|flags| flags.contains("-Clinker=/opt/bin/bpf-linker"))
        );
    }
}
