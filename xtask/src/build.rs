//! `cargo xtask build`: the eBPF object, then the daemon that carries it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::command;
use crate::needs::Group;
use crate::object;
use crate::setup::{self, seconds};
use crate::toolchain::Toolchain;
use crate::workspace::{Profile, Workspace};

/// Builds the eBPF object (with BTF) and the `lapwing` binary with the object
/// inside, and prints where the binary is. Sets up what the build needs.
#[derive(clap::Args)]
pub struct Args {
    /// Build the binary without optimization (the eBPF object always has it)
    #[arg(long)]
    debug: bool,
    /// Build the binary optimized: the default
    #[arg(long, conflicts_with = "debug")]
    release: bool,
}

/// What a build leaves.
pub struct Built {
    pub object: PathBuf,
    pub binary: PathBuf,
}

impl Built {
    /// Where a build of this profile leaves its results.
    pub fn of(workspace: &Workspace, profile: Profile) -> Self {
        Self {
            object: workspace.object(),
            binary: workspace.binary(profile, "lapwing"),
        }
    }

    /// Tells a program of the lab which daemon and object to use.
    pub fn announce(&self, command: &mut Command) {
        command
            .env("LAPWING_BIN", &self.binary)
            .env(object::VARIABLE, &self.object);
    }
}

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    let start = Instant::now();
    let profile = if args.debug {
        Profile::Debug
    } else {
        Profile::Release
    };
    let built = all(workspace, profile)?;
    println!("eBPF object: {}", built.object.display());
    println!("daemon:      {}", built.binary.display());
    println!("built in {}", seconds(start.elapsed()));
    Ok(())
}

/// Sets up, and builds object and daemon.
pub fn all(workspace: &Workspace, profile: Profile) -> Result<Built> {
    let (toolchain, _) = Toolchain::choose();
    setup::ensure(workspace, &toolchain, &[Group::Build])?;
    println!("── eBPF object");
    object::build(workspace, &toolchain)?;
    println!("── daemon");
    command::run(
        &mut daemon(workspace, profile),
        "building the daemon",
        "the compiler's first error above tells",
    )?;
    Ok(Built::of(workspace, profile))
}

/// The command that builds the daemon around a finished object.
pub fn daemon(workspace: &Workspace, profile: Profile) -> Command {
    let mut cargo = command::host_cargo(workspace);
    cargo
        .args(["build", "--package", "probe-user", "--bin", "lapwing"])
        .args(profile.arguments())
        .env(object::VARIABLE, workspace.object());
    cargo
}
