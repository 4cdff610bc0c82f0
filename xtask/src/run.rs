//! `cargo xtask run`: build, then become the daemon.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::build;
use crate::command;
use crate::privilege;
use crate::workspace::{Profile, Workspace};

/// Builds Lapwing, attaches it and runs it on this host until Ctrl-C. Without
/// a configuration it observes the listening services and changes no route.
#[derive(clap::Args)]
pub struct Args {
    /// Interface to attach to [default: the configuration's, or those of the default routes]
    #[arg(long = "iface", visible_alias = "interface", value_name = "IF")]
    interfaces: Vec<String>,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Further arguments for `lapwing run`
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    privilege::require_root(
        "cargo xtask run",
        "the daemon loads eBPF programs into the kernel",
    )?;
    let built = build::all(workspace, Profile::Release)?;
    let mut lapwing = command::clean(&built.binary);
    arguments(&mut lapwing, args);
    println!("── {}", command::shown(&lapwing));
    Err(command::replace(
        &mut lapwing,
        "starting the daemon",
        "build it again with `cargo xtask build`",
    ))
}

fn arguments(lapwing: &mut Command, args: &Args) {
    lapwing.arg("run");
    for interface in &args.interfaces {
        lapwing.args(["--interface", interface]);
    }
    if let Some(config) = &args.config {
        lapwing.arg("--config").arg(config);
    }
    lapwing.args(&args.arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemon_gets_the_interfaces_the_config_and_the_rest() {
        let args = Args {
            interfaces: vec!["eth0".to_owned(), "eth1".to_owned()],
            config: Some(PathBuf::from("lapwing.toml")),
            arguments: vec!["--trace".into()],
        };
        let mut lapwing = Command::new("lapwing");
        arguments(&mut lapwing, &args);
        assert_eq!(
            command::shown(&lapwing),
            "lapwing run --interface eth0 --interface eth1 --config lapwing.toml --trace"
        );
    }
}
