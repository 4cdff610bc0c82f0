//! `cargo xtask bench`: set up, build, then become a benchmark.

use anyhow::Result;
use clap::Subcommand;

use crate::command;
use crate::lab;
use crate::needs::Group;
use crate::object;
use crate::privilege;
use crate::setup;
use crate::toolchain::Toolchain;
use crate::workspace::{Profile, Workspace};

/// Measures what Lapwing costs, and compares it with its budgets.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Nanoseconds a packet, program sizes, and packets per second over a veth
    Dataplane(Dataplane),
    /// Processor time and memory of the daemon, and whether those who look disturb it
    Daemon(Daemon),
    /// Thousands of prefixes: how soon all are withdrawn, and what they cost at rest
    Routes(Routes),
}

/// Withdraws and announces all prefixes of a host, by the daemon and by `ip -batch`, in
/// the lab.
#[derive(clap::Args)]
struct Routes {
    /// How many prefixes
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    prefixes: u32,
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Over how many seconds the cost at rest is taken
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    idle: u32,
}

/// Runs the daemon with many services in the lab, at rest and under load, and withdraws
/// while its metrics are asked for and while they are not.
#[derive(clap::Args)]
struct Daemon {
    /// How many services; several numbers by commas
    #[arg(long, value_delimiter = ',', default_value = "100,1000", value_parser = clap::value_parser!(u16).range(4..=4000))]
    services: Vec<u16>,
    /// How many faults each way
    #[arg(long, default_value_t = 5)]
    faults: u32,
    /// Over how many seconds processor time is taken
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// Runs packets through the programs in the kernel, without attaching them
/// anywhere but in network namespaces of its own.
#[derive(clap::Args)]
struct Dataplane {
    /// How often each case is measured
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(3..))]
    rounds: u32,
    /// Only the cases of these names; several by commas
    #[arg(
        long,
        value_name = "CASES",
        value_delimiter = ',',
        conflicts_with = "write"
    )]
    only: Vec<String>,
    /// Leave out the run over a veth
    #[arg(long)]
    no_live: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Put the tables into docs/performance.md, too
    #[arg(long)]
    write: bool,
}

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    match &args.what {
        What::Dataplane(args) => dataplane(workspace, args),
        What::Routes(Routes {
            prefixes,
            rounds,
            idle,
        }) => {
            let numbers = [prefixes, rounds, idle].map(ToString::to_string);
            in_the_lab(workspace, "routes", &numbers)
        }
        What::Daemon(Daemon {
            services,
            faults,
            seconds,
        }) => {
            let mut numbers = vec![seconds.to_string(), faults.to_string()];
            numbers.extend(services.iter().map(ToString::to_string));
            in_the_lab(workspace, "daemon", &numbers)
        }
    }
}

/// Becomes a benchmark that runs a daemon in the lab: `cargo xtask bench WHAT`.
fn in_the_lab(workspace: &Workspace, what: &str, arguments: &[String]) -> Result<()> {
    let verb = format!("cargo xtask bench {what}");
    privilege::require_root(
        &verb,
        "it makes network namespaces and loads eBPF programs into them",
    )?;
    let mut benchmark = lab::program_with_daemon(workspace, &format!("bench-{what}"))?;
    benchmark.args(arguments);
    Err(command::replace(
        &mut benchmark,
        "starting the benchmark",
        &format!("run `{verb}` again"),
    ))
}

fn dataplane(workspace: &Workspace, args: &Dataplane) -> Result<()> {
    privilege::require_root(
        "cargo xtask bench dataplane",
        "it loads eBPF programs and makes network namespaces",
    )?;
    let (toolchain, _) = Toolchain::choose();
    // Standard output is for the results alone.
    eprintln!("Getting ready.");
    setup::ensure(workspace, &toolchain, &[Group::Build, Group::Lab])?;
    let shipped = object::build(workspace, &toolchain)?;
    let bench = object::build_bench(workspace, &toolchain)?;
    let mut benchmark = lab::program(workspace, Profile::Release, "bench-dataplane", &shipped)?;
    benchmark
        .env(object::VARIABLE, &shipped)
        .env(object::BENCH_VARIABLE, &bench)
        .args(["--rounds", &args.rounds.to_string()]);
    if !args.only.is_empty() {
        benchmark.args(["--only", &args.only.join(",")]);
    }
    for (wanted, argument) in [(args.no_live, "--no-live"), (args.json, "--json")] {
        if wanted {
            benchmark.arg(argument);
        }
    }
    if args.write {
        benchmark
            .arg("--write")
            .arg(workspace.root().join("docs/performance.md"));
    }
    Err(command::replace(
        &mut benchmark,
        "starting the benchmark",
        "run `cargo xtask bench dataplane` again",
    ))
}
