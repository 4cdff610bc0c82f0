//! `cargo xtask soak`: set up, build, then become a soak in the lab.

use anyhow::Result;
use clap::Subcommand;

use crate::command;
use crate::lab;
use crate::privilege;
use crate::workspace::Workspace;

/// Plays one short scene many times, in network namespaces of its own, and checks after
/// each time that nothing was lost, left, announced or withdrawn without need.
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
    /// Two sites whose services die at the same instant, one of which has to stay
    Race {
        /// How many races; in half of them one site goes first
        #[arg(long, default_value_t = 100)]
        rounds: u32,
    },
    /// Stop and start under traffic
    Restart {
        /// How many cycles
        #[arg(long, default_value_t = 1000)]
        cycles: u32,
    },
}

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    privilege::require_root(
        "cargo xtask soak",
        "it makes network namespaces and loads eBPF programs into them",
    )?;
    let mut soak = lab::program_with_daemon(workspace, "soak")?;
    match args.what {
        What::Crash { points, seed } => {
            soak.args(["crash", &points.to_string(), &seed.to_string()]);
        }
        What::Race { rounds } => {
            soak.args(["race", &rounds.to_string()]);
        }
        What::Restart { cycles } => {
            soak.args(["restart", &cycles.to_string()]);
        }
    }
    Err(command::replace(
        &mut soak,
        "starting the soak",
        "run `cargo xtask soak` again",
    ))
}
