//! `cargo xtask demo`: set up, build, then become the demo of the lab.

use std::ffi::OsString;

use anyhow::Result;

use crate::command;
use crate::lab;
use crate::privilege;
use crate::workspace::Workspace;

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

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    privilege::require_root(
        "cargo xtask demo",
        "it makes network namespaces and loads eBPF programs into them",
    )?;
    let mut demo = lab::program_with_daemon(workspace, "demo")?;
    demo.args(&args.arguments);
    println!();
    Err(command::replace(
        &mut demo,
        "starting the demo",
        "run `cargo xtask demo` again",
    ))
}
