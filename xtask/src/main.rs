//! Lapwing's tasks, run as `cargo xtask VERB`: everything between a fresh
//! checkout and a running, tested daemon.
//!
//! ```text
//! setup ─▶ build ─▶ run
//!            ├────▶ test   (README's second command)
//!            ├────▶ demo   (README's first command)
//!            ├────▶ kernels
//!            ├────▶ bench
//!            ├────▶ soak
//!            ├────▶ grafana-check
//!            └────▶ dist
//! ```
//! Each verb calls what it needs of the ones before it, so no verb has a
//! precondition that a reader must know. Every external command goes through
//! [`command`], which prints it when it fails, and what to do about it.

mod apt;
mod bench;
mod bpf_linker;
mod build;
mod captures;
mod command;
mod demo;
mod dist;
mod fuzz;
mod grafana_check;
mod kernels;
mod lab;
mod needs;
mod object;
mod privilege;
mod run;
mod setup;
mod soak;
mod test;
mod toolchain;
mod version;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Lapwing's tasks: set up, build, run, test, show, measure.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Bring this machine to a state where everything builds and tests
    Setup(setup::Args),
    /// Build the eBPF object and the `lapwing` binary that carries it
    Build(build::Args),
    /// Build, attach and run the daemon on this host (as root)
    Run(run::Args),
    /// Check and test everything, end to end (as root)
    Test(test::Args),
    /// Fuzz the parsers and the measurement
    Fuzz(fuzz::Args),
    /// Show a withdraw happening, on a lab of two sites and an upstream (as root)
    Demo(demo::Args),
    /// Boot other kernels and load the eBPF object under each
    Kernels(kernels::Args),
    /// Measure what Lapwing costs, against its budgets (as root)
    Bench(bench::Args),
    /// Kill or restart the daemon again and again, in the lab (as root)
    Soak(soak::Args),
    /// Draw the dashboards with Grafana's own components, to be looked at (as root)
    GrafanaCheck(grafana_check::Args),
    /// Make the Debian package and the archive
    Dist(dist::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let workspace = Workspace::locate();
    let result = match cli.verb {
        Verb::Setup(args) => setup::main(&workspace, &args),
        Verb::Build(args) => build::main(&workspace, &args),
        Verb::Run(args) => run::main(&workspace, &args),
        Verb::Test(args) => test::main(&workspace, &args),
        Verb::Fuzz(args) => fuzz::main(&workspace, &args),
        Verb::Demo(args) => demo::main(&workspace, &args),
        Verb::Kernels(args) => kernels::main(&workspace, &args),
        Verb::Bench(args) => bench::main(&workspace, &args),
        Verb::Soak(args) => soak::main(&workspace, &args),
        Verb::GrafanaCheck(args) => grafana_check::main(&workspace, &args),
        Verb::Dist(args) => dist::main(&workspace, &args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ncargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
