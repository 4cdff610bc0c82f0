//! The command line: arguments flow in, an exit code flows out.

mod doctor;
mod explain;
mod journal;
mod manual;
mod replay;
mod simulation;
mod top;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use ipnet::IpNet;
use probe_core::Level;

use self::journal::{as_json, shown};
use crate::{
    check, config,
    control::{self, OrderRequest, Verb},
    daemon::{self, Failure, RunOptions},
    logging,
};

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed while running; 2 mistake in the configuration or on the
command line, and nothing was attached or changed.";

const ALL_EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed while running; 2 mistake in the configuration or on the
command line, and nothing was attached or changed; 3 done, and what was looked at is not
well (doctor, journal verify).";

/// Withdraws an anycast prefix when live traffic proves that its service is dead.
#[derive(Debug, Parser)]
#[command(name = "lapwing", version, after_help = ALL_EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon. Without a configuration it observes the services that listen
    /// on this host and changes no route.
    #[command(after_help = EXIT_CODES)]
    Run {
        #[command(flatten)]
        setup: Setup,
        /// Log every measured packet from inside the kernel. Costs speed.
        #[arg(long)]
        trace: bool,
    },
    /// Show what a running daemon sees and has decided.
    #[command(after_help = EXIT_CODES)]
    Status {
        /// The raw document instead of tables.
        #[arg(long)]
        json: bool,
        /// The daemon's control socket.
        #[arg(long, value_name = "PATH")]
        control: Option<PathBuf>,
    },
    /// Show the same all the time, with what is wrong and why: the live page in a terminal.
    #[command(after_help = top::HELP)]
    Top(top::Top),
    /// Keep a prefix at a level, whatever is found.
    #[command(after_help = EXIT_CODES)]
    Pin {
        #[command(flatten)]
        what: Target,
        /// The level: full, degraded or withdrawn; the present one if not given.
        #[arg(long, value_name = "LEVEL", value_parser = level)]
        level: Option<Level>,
        #[command(flatten)]
        how: Directive,
    },
    /// Let what is found decide about a pinned prefix again.
    #[command(after_help = EXIT_CODES)]
    Unpin {
        #[command(flatten)]
        what: Target,
        #[command(flatten)]
        whom: Whom,
    },
    /// Take a prefix out in two steps: degraded, and after its drain time withdrawn.
    #[command(after_help = EXIT_CODES)]
    Drain {
        #[command(flatten)]
        what: Target,
        /// Even where nobody else announces the prefix.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        how: Directive,
    },
    /// End a drain: the prefix is announced again once its probes pass.
    #[command(after_help = EXIT_CODES)]
    Undrain {
        #[command(flatten)]
        what: Target,
        #[command(flatten)]
        whom: Whom,
    },
    /// Change no level of any prefix, whatever is found.
    #[command(after_help = EXIT_CODES)]
    Freeze {
        #[command(flatten)]
        how: Directive,
    },
    /// End a freeze.
    #[command(after_help = EXIT_CODES)]
    Thaw {
        #[command(flatten)]
        whom: Whom,
    },
    /// Have a running daemon read its configuration again and apply it, all of it or
    /// nothing; print what changed.
    #[command(after_help = EXIT_CODES)]
    Reload {
        /// Only say what would change.
        #[arg(long)]
        check: bool,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        whom: Whom,
    },
    /// Check a configuration file and say what it configures.
    #[command(after_help = EXIT_CODES)]
    Check {
        /// The file.
        file: PathBuf,
        /// Print what it configures, or its mistakes, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look for what on this host would keep Lapwing from working, with remedies.
    #[command(after_help = doctor::HELP)]
    Doctor(doctor::Doctor),
    /// Check or sum up the journal.
    #[command(subcommand)]
    Journal(journal::Asked),
    /// Tell why a prefix was withdrawn, degraded or announced, or why not.
    #[command(after_help = explain::HELP)]
    Explain(explain::Explain),
    /// Measure a capture file as if its packets came now: what would have been counted,
    /// and decided.
    #[command(after_help = replay::HELP)]
    Replay(replay::Replay),
    /// Let the decision core run against simulated services: how often it would be wrong,
    /// and how quick it is.
    #[command(after_help = simulation::HELP)]
    Simulate(simulation::Simulate),
    /// What is left when the daemon does not start any more: asks every service by three
    /// probes at once, and withdraws what they prove to be dead, if `on_watchdog` of
    /// [daemon] is "probe". The package has systemd run it after three failed starts.
    #[command(after_help = EXIT_CODES)]
    LastResort {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Attach the hooks and pin them, without running the daemon; or have a running one
    /// take native XDP.
    #[command(after_help = EXIT_CODES)]
    Attach {
        #[command(flatten)]
        setup: Setup,
        /// Native XDP, which may make the link drop for a moment; refused while a prefix is
        /// announced.
        #[arg(long)]
        native: bool,
        /// Even while a prefix is announced.
        #[arg(long, requires = "native")]
        force: bool,
    },
    /// Remove the pinned hooks and maps that a daemon left. Changes no route.
    #[command(after_help = EXIT_CODES)]
    Detach {
        /// Take the pin directory from this file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The pin directory.
        #[arg(long, value_name = "DIR", conflicts_with = "config")]
        pin_dir: Option<PathBuf>,
    },
    /// Print what a shell needs to complete commands and options.
    #[command(after_help = EXIT_CODES)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the man pages into a directory.
    #[command(hide = true)]
    Man {
        /// The directory; made if it is not there.
        directory: PathBuf,
    },
}

/// Which prefix an order is about.
#[derive(Debug, Args)]
struct Target {
    /// A configured prefix, or `all`.
    #[arg(value_name = "PREFIX", value_parser = prefix)]
    prefix: Prefixes,
}

/// Every configured prefix, or one.
#[derive(Clone, Copy, Debug)]
enum Prefixes {
    All,
    One(IpNet),
}

/// How long an order holds, and why.
#[derive(Debug, Args)]
struct Directive {
    /// For how long, such as `90m`; until it is taken back if not given.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// Why, for the journal and for whoever looks next.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    whom: Whom,
}

/// Which daemon is meant.
#[derive(Debug, Args)]
struct Whom {
    /// The daemon's control socket.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

/// What is measured, and where.
#[derive(Debug, Args)]
struct Setup {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Measure on this interface instead of the configured ones; may be repeated.
    #[arg(long = "interface", visible_alias = "iface", value_name = "IF")]
    interfaces: Vec<String>,
}

fn prefix(text: &str) -> Result<Prefixes, String> {
    if text == "all" {
        return Ok(Prefixes::All);
    }
    text.parse()
        .map(Prefixes::One)
        .map_err(|_| "write a prefix such as 192.0.2.0/24, or all".to_owned())
}

fn level(text: &str) -> Result<Level, String> {
    [Level::Full, Level::Degraded, Level::Withdrawn]
        .into_iter()
        .find(|level| level.to_string() == text)
        .ok_or_else(|| "a level is full, degraded or withdrawn".to_owned())
}

/// All commands and options, for whoever checks or describes them.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command that was asked for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Mistake(text)) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
        Err(Failure::Runtime(error)) => {
            eprintln!("error: {}", causes(&error));
            ExitCode::from(1)
        }
        Err(Failure::Found) => ExitCode::from(3),
    }
}

/// The error and its causes; a cause that is told already is not told again.
fn causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(cause.trim()) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run { setup, trace } => {
            confine()?;
            let _logs = logging::start(trace);
            daemon::run(&RunOptions {
                config: setup.config,
                interfaces: setup.interfaces,
                trace,
            })
        }
        Command::Status { json, control } => {
            let path = control.unwrap_or_else(|| config::Daemon::default().control);
            status(&path, json)
        }
        Command::Top(asked) => top::top(asked),
        Command::Pin { what, level, how } => order(Verb::Pin, Some(&what), level, &how, false),
        Command::Unpin { what, whom } => order(Verb::Unpin, Some(&what), None, &whom.into(), false),
        Command::Drain { what, force, how } => order(Verb::Drain, Some(&what), None, &how, force),
        Command::Undrain { what, whom } => {
            order(Verb::Undrain, Some(&what), None, &whom.into(), false)
        }
        Command::Freeze { how } => order(Verb::Freeze, None, None, &how, false),
        Command::Thaw { whom } => order(Verb::Thaw, None, None, &whom.into(), false),
        Command::Reload { check, json, whom } => reload(check, json, whom),
        Command::Check { file, json } => examine(&file, json),
        Command::Doctor(asked) => doctor::doctor(&asked),
        Command::Journal(asked) => journal::journal(&asked),
        Command::Explain(asked) => explain::explain(&asked),
        Command::Replay(asked) => replay::replay(asked),
        Command::Simulate(asked) => simulation::simulate(&asked),
        Command::LastResort { config } => {
            confine()?;
            let _logs = logging::start(false);
            print(&daemon::last_resort::run(&config)?)
        }
        Command::Attach {
            setup,
            native,
            force,
        } => {
            let _logs = logging::start(false);
            let options = RunOptions {
                config: setup.config,
                interfaces: setup.interfaces,
                trace: false,
            };
            let native = native.then_some(daemon::hooks::Native { force });
            print(&daemon::hooks::attach(&options, native)?)
        }
        Command::Detach { config, pin_dir } => {
            print(&daemon::hooks::detach(config.as_deref(), pin_dir)?)
        }
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::pages(&directory),
    }
}

/// What is started by an `exec` probe is to have no capability.
fn confine() -> Result<(), Failure> {
    let refused = |errno| anyhow::Error::new(errno).context("cannot give up privileges");
    Ok(daemon::privileges::confine().map_err(refused)?)
}

impl From<Whom> for Directive {
    /// What is taken back needs no time and no reason.
    fn from(whom: Whom) -> Self {
        Self {
            time: None,
            reason: String::new(),
            whom,
        }
    }
}

fn order(
    verb: Verb,
    what: Option<&Target>,
    level: Option<Level>,
    how: &Directive,
    force: bool,
) -> Result<(), Failure> {
    let default = || config::Daemon::default().control;
    let path = how.whom.control.clone().unwrap_or_else(default);
    let request = OrderRequest {
        verb,
        prefix: what.and_then(|what| match what.prefix {
            Prefixes::All => None,
            Prefixes::One(prefix) => Some(prefix),
        }),
        level,
        time: how.time,
        reason: how.reason.clone(),
        force,
    };
    let done = control::order(&path, &request).map_err(anyhow::Error::from)?;
    print(&(done + "\n"))
}

/// A mistake is told on stderr in any case.
fn reload(check: bool, json: bool, whom: Whom) -> Result<(), Failure> {
    let default = || config::Daemon::default().control;
    let path = whom.control.unwrap_or_else(default);
    match control::reload(&path, check) {
        Ok(reloaded) => print(&shown(&reloaded, json, || reloaded.text())?),
        Err(control::Error::Mistake(report)) => {
            if json {
                print(&as_json(&control::Reloaded::refused(&report))?)?;
            }
            Err(Failure::Mistake(report))
        }
        Err(error) => Err(anyhow::Error::from(error).into()),
    }
}

/// A mistake is told on stderr in any case.
fn examine(file: &Path, json: bool) -> Result<(), Failure> {
    let checked = check::check(file);
    if json {
        print(&as_json(&check::Document::of(file, &checked))?)?;
    }
    let settings = checked?;
    if json {
        Ok(())
    } else {
        print(&check::summary(&settings))
    }
}

fn status(path: &Path, json: bool) -> Result<(), Failure> {
    let (raw, document) = control::status(path).map_err(anyhow::Error::from)?;
    print(&if json { raw } else { document.table() })
}

/// To a file.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text)
        .with_context(|| format!("cannot write {}", file.display()))
        .map_err(Failure::from)
}

/// To stdout; a reader that has gone is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::from(error)
                .context("cannot write to stdout")
                .into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_cause_is_told_once() {
        let inner = std::io::Error::other("no route to host");
        let told = anyhow::Error::new(config::Error::Unreadable {
            path: "x".into(),
            source: inner,
        });
        assert_eq!(causes(&told).matches("no route to host").count(), 1);
        let untold = anyhow::Error::new(std::io::Error::other("no memory")).context("cannot start");
        assert_eq!(causes(&untold), "cannot start: no memory");
    }

    #[test]
    fn interfaces_may_be_repeated() {
        let cli = Cli::parse_from([
            "lapwing",
            "run",
            "--interface",
            "eth0",
            "--iface",
            "eth1",
            "--trace",
        ]);
        let Command::Run { setup, trace } = cli.command else {
            panic!("run");
        };
        assert_eq!(setup.interfaces, ["eth0", "eth1"]);
        assert!(trace && setup.config.is_none());
    }
}
