//! `cargo xtask demo`: set up, build, then become the demo of the lab.

use std::ffi::OsString;

use anyhow::Result;

use crate::build;
use crate::command;
use crate::needs::Group;
use crate::object;
use crate::privilege;
use crate::setup;
use crate::toolchain::Toolchain;
use crate::workspace::{Profile, Workspace};

/// Raises two anycast sites, an upstream router and clients in network
/// namespaces, breaks the service at one site in two ways, and shows with
/// measured times how its route is withdrawn and comes back. Nothing outside
/// the namespaces is touched, and nothing is left behind.
#[derive(clap::Args)]
pub struct Args {
    /// Arguments for the demo itself (try `-- --help`)
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

const BINARY: &str = "demo";

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    privilege::require_root(
        "cargo xtask demo",
        "it makes network namespaces and loads eBPF programs into them",
    )?;
    let (toolchain, _) = Toolchain::choose();
    println!("Getting ready; the first time takes some minutes, later ones seconds.");
    setup::ensure(workspace, &toolchain, &[Group::Build, Group::Lab])?;
    let built = build::all(workspace, Profile::Release)?;
    println!("── demo");
    let mut cargo = command::host_cargo(workspace);
    cargo
        .args(["build", "--package", "lapwing-tests", "--bin", BINARY])
        .args(Profile::Release.arguments())
        .env(object::VARIABLE, &built.object);
    command::run(
        &mut cargo,
        "building the demo",
        "the compiler's first error above tells",
    )?;
    let mut demo = command::clean(workspace.binary(Profile::Release, BINARY));
    demo.args(&args.arguments);
    built.announce(&mut demo);
    println!();
    Err(command::replace(
        &mut demo,
        "starting the demo",
        "run `cargo xtask demo` again",
    ))
}
