//! The guest's init: `load-check` of the tests' crate, linked statically, since the
//! guest has no other file.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::command;
use crate::object;
use crate::workspace::Workspace;

const BINARY: &str = "load-check";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds it around the finished object and returns where it is. It has a build
/// directory of its own: other flags would compile everything else again.
pub fn build(workspace: &Workspace, kernels: &Path) -> Result<PathBuf> {
    let directory = kernels.join("build");
    let mut cargo = command::host_cargo(workspace);
    cargo
        .args(["build", "--package", "lapwing-tests", "--bin", BINARY])
        // Named even if it is the host: build scripts and macros then keep their flags.
        .args(["--target", TARGET])
        .env("CARGO_TARGET_DIR", &directory)
        // Outranks every other source of flags.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_DEV_STRIP", "symbols")
        .env(object::VARIABLE, workspace.object());
    command::run(
        &mut cargo,
        "building the guest's init",
        "the compiler's first error above tells; to link statically, it needs libc.a (libc6-dev)",
    )?;
    Ok(directory.join(TARGET).join("debug").join(BINARY))
}
