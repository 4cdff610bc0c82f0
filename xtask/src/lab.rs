//! The programs of the lab: demo, benchmarks, soaks. Each is a binary of the
//! `tests` package, which a verb builds and then becomes.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::build;
use crate::command;
use crate::needs::Group;
use crate::object;
use crate::setup;
use crate::toolchain::Toolchain;
use crate::workspace::{Profile, Workspace};

/// Sets up, builds the daemon and the program `name`, and tells this where the
/// daemon is; the caller adds arguments.
pub fn program_with_daemon(workspace: &Workspace, name: &str) -> Result<Command> {
    let (toolchain, _) = Toolchain::choose();
    println!("Getting ready; the first time takes some minutes, later ones seconds.");
    setup::ensure(workspace, &toolchain, &[Group::Build, Group::Lab])?;
    let built = build::all(workspace, Profile::Release)?;
    println!("── {name}");
    let mut program = program(workspace, Profile::Release, name, &built.object)?;
    built.announce(&mut program);
    Ok(program)
}

/// Builds the program `name` around a finished eBPF object.
pub fn program(
    workspace: &Workspace,
    profile: Profile,
    name: &str,
    object: &Path,
) -> Result<Command> {
    let mut cargo = command::host_cargo(workspace);
    cargo
        .args(["build", "--package", "lapwing-tests", "--bin", name])
        .args(profile.arguments())
        .env(object::VARIABLE, object);
    command::run(
        &mut cargo,
        &format!("building {name}"),
        "the compiler's first error above tells",
    )?;
    Ok(command::clean(workspace.binary(profile, name)))
}
