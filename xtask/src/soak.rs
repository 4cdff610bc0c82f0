//! `cargo xtask soak`: set up, build, then become a soak in the lab.

use anyhow::Result;
use clap::Subcommand;

use crate::build;
use crate::command;
use crate::needs::Group;
use crate::object;
use crate::privilege;
use crate::setup;
use crate::toolchain::Toolchain;
use crate::workspace::{Profile, Workspace};

/// Ends and starts the daemon many times, in network namespaces of its own, and
/// checks after each time that nothing was lost, left or announced without need.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// SIGKILL at random points of withdraws and returns
    Crash {
        /// How many kills
        #[arg(long, default_value_t = 200)]
        points: u32,
        /// Chooses the points; a failure names its seed
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Stop and start under traffic
    Restart {
        /// How many cycles
        #[arg(long, default_value_t = 1000)]
        cycles: u32,
    },
}

const BINARY: &str = "soak";

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    privilege::require_root(
        "cargo xtask soak",
        "it makes network namespaces and loads eBPF programs into them",
    )?;
    let (toolchain, _) = Toolchain::choose();
    println!("Getting ready; the first time takes some minutes, later ones seconds.");
    setup::ensure(workspace, &toolchain, &[Group::Build, Group::Lab])?;
    let built = build::all(workspace, Profile::Release)?;
    println!("── soak");
    let mut cargo = command::host_cargo(workspace);
    cargo
        .args(["build", "--package", "lapwing-tests", "--bin", BINARY])
        .args(Profile::Release.arguments())
        .env(object::VARIABLE, &built.object);
    command::run(
        &mut cargo,
        "building the soak",
        "the compiler's first error above tells",
    )?;
    let mut soak = command::clean(workspace.binary(Profile::Release, BINARY));
    match args.what {
        What::Crash { points, seed } => {
            soak.args(["crash", &points.to_string(), &seed.to_string()]);
        }
        What::Restart { cycles } => {
            soak.args(["restart", &cycles.to_string()]);
        }
    }
    built.announce(&mut soak);
    Err(command::replace(
        &mut soak,
        "starting the soak",
        "run `cargo xtask soak` again",
    ))
}
