//! The bpf-linker that setup builds, with the LLVM of Debian's compiler.
//!
//! rustc hands it LLVM bitcode. A linker with an older LLVM cannot read it, so
//! it is rebuilt whenever the compiler's LLVM moved on. A stamp beside the
//! executable says what it was built for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::command;
use crate::version::leading_number;
use crate::workspace::Workspace;

/// The version we build.
pub const VERSION: &str = "0.13.0";

/// The LLVM versions this bpf-linker has a feature for.
const OLDEST_LLVM: u32 = 21;
const NEWEST_LLVM: u32 = 23;

/// Where setup puts it: below the build directory, not in anyone's home.
pub fn path(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("bin/bpf-linker")
}

fn stamp_path(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("bin/bpf-linker.stamp")
}

/// What an executable was built for: our version of bpf-linker, and its LLVM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    version: String,
    llvm: u32,
}

impl Stamp {
    fn wanted(llvm: u32) -> Self {
        Self {
            version: VERSION.to_owned(),
            llvm,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (version, llvm) = text
            .trim()
            .strip_prefix("bpf-linker ")?
            .split_once(" llvm ")?;
        Some(Self {
            version: version.to_owned(),
            llvm: leading_number(llvm)?,
        })
    }

    /// As it is written, and as it is shown to people.
    pub fn text(&self) -> String {
        format!("bpf-linker {} llvm {}", self.version, self.llvm)
    }
}

/// What is built, if it runs. An executable without a stamp is looked into.
pub fn present(workspace: &Workspace) -> Option<Stamp> {
    let linker = path(workspace);
    // A shared libLLVM that went away shows here.
    let printed = command::ask(Command::new(&linker).arg("--version"))?;
    fs::read_to_string(stamp_path(workspace))
        .ok()
        .and_then(|text| Stamp::parse(&text))
        .or_else(|| {
            Some(Stamp {
                version: printed.trim().strip_prefix("bpf-linker ")?.to_owned(),
                llvm: llvm_of(&linker)?,
            })
        })
}

/// Does it fit a compiler with this LLVM?
pub fn fits(stamp: &Stamp, llvm: u32) -> bool {
    *stamp == Stamp::wanted(llvm)
}

/// The LLVM a linker loads, read from the library's name inside it; `None` if
/// LLVM is part of the executable.
pub fn llvm_of(linker: &Path) -> Option<u32> {
    llvm_in_image(&fs::read(linker).ok()?)
}

fn llvm_in_image(image: &[u8]) -> Option<u32> {
    ["libLLVM.so.", "libLLVM-"].iter().find_map(|name| {
        image
            .windows(name.len())
            .enumerate()
            .filter(|(_, window)| *window == name.as_bytes())
            .find_map(|(at, _)| {
                let digits: String = image[at + name.len()..]
                    .iter()
                    .take(3)
                    .map(|byte| char::from(*byte))
                    .collect();
                leading_number(&digits)
            })
    })
}

/// The feature of bpf-linker for this LLVM.
fn feature(llvm: u32) -> Result<String> {
    if (OLDEST_LLVM..=NEWEST_LLVM).contains(&llvm) {
        return Ok(format!("llvm-{llvm}"));
    }
    bail!(
        "Debian's rustc has LLVM {llvm}, but bpf-linker {VERSION} knows only LLVM \
         {OLDEST_LLVM} to {NEWEST_LLVM}\n  remedy:  raise the version of bpf-linker in \
         xtask/src/bpf_linker.rs to one with a feature `llvm-{llvm}`, or install a rustup \
         nightly with rust-src and a bpf-linker that fits it"
    )
}

/// The package with the LLVM to link against.
pub fn llvm_package(llvm: u32) -> String {
    format!("llvm-{llvm}-dev")
}

/// The command that builds it.
pub fn install_command(workspace: &Workspace, llvm: u32) -> Result<Command> {
    let mut command = command::host_cargo(workspace);
    command
        .args(["install", "bpf-linker", "--version", VERSION, "--locked"])
        .args(["--no-default-features", "--features", &feature(llvm)?])
        .arg("--force")
        .arg("--root")
        .arg(workspace.tools())
        .env("LLVM_PREFIX", format!("/usr/lib/llvm-{llvm}"))
        // Flags for our crates are not meant for it.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // A build directory of its own, removed afterwards.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET_DIR");
    Ok(command)
}

/// Builds it for this LLVM and writes the stamp.
pub fn install(workspace: &Workspace, llvm: u32) -> Result<()> {
    let mut command = install_command(workspace, llvm)?;
    command::run(
        &mut command,
        "building bpf-linker",
        "cargo's first error above tells: no network means no crates; a missing library means \
         the LLVM package is incomplete (`apt-get install --reinstall` it); then run \
         `cargo xtask setup` again",
    )?;
    let stamp = Stamp::wanted(llvm);
    if llvm_of(&path(workspace)).is_some_and(|linked| linked != llvm) {
        bail!(
            "the new bpf-linker links another LLVM than {llvm}\n  remedy:  remove other LLVM \
             directories from LLVM_PREFIX and PATH and run `cargo xtask setup` again"
        );
    }
    command::write_file(
        &stamp_path(workspace),
        format!("{}\n", stamp.text()).as_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_exist_only_for_the_llvms_it_knows() {
        assert_eq!(feature(21).expect("known"), "llvm-21");
        assert_eq!(feature(23).expect("known"), "llvm-23");
        for llvm in [14, 20, 24] {
            let error = feature(llvm).expect_err("unknown").to_string();
            assert!(error.contains(&format!("LLVM {llvm}")), "{error}");
            assert!(error.contains("remedy:"), "{error}");
        }
    }

    #[test]
    fn linker_fits_only_the_llvm_it_was_built_for() {
        let stamp = Stamp::wanted(22);
        assert_eq!(
            Stamp::parse(&format!("{}\n", stamp.text())),
            Some(stamp.clone())
        );
        assert!(fits(&stamp, 22));
        assert!(!fits(&stamp, 23));
        let older = Stamp::parse("bpf-linker 0.9.15 llvm 22").expect("a stamp");
        assert!(!fits(&older, 22));
        for text in ["", "bpf-linker", "bpf-linker 0.13.0 llvm x"] {
            assert_eq!(Stamp::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn llvm_is_read_from_the_name_of_the_shared_library() {
        let cases: [(&[u8], Option<u32>); 5] = [
            (b"\0libLLVM.so.22.1\0libc.so.6", Some(22)),
            (b"\0libLLVM-21.so.1\0", Some(21)),
            (b"\0libLLVM.so.\0 libLLVM.so.23.1\0", Some(23)),
            (b"no library", None),
            (b"libLLVM-", None),
        ];
        for (image, expected) in cases {
            assert_eq!(llvm_in_image(image), expected);
        }
    }

    #[test]
    fn install_command_matches_llvm_feature_and_prefix() {
        let command = install_command(&Workspace::locate(), 22).expect("known LLVM");
        let shown = command::shown(&command);
        assert!(shown.contains("--features llvm-22"), "{shown}");
        assert!(shown.contains("--version 0.13.0 --locked"), "{shown}");
        assert!(command.get_envs().any(|(name, value)| {
            name == "LLVM_PREFIX" && value.is_some_and(|value| value == "/usr/lib/llvm-22")
        }));
    }
}
