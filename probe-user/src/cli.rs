//! The command line: arguments flow in, an exit code flows out.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    check, config, control,
    daemon::{self, Failure, RunOptions},
    logging,
};

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed while running; 2 mistake in the configuration or on the
command line, and nothing was attached or changed.";

/// Withdraws an anycast prefix when live traffic proves that its service is dead.
#[derive(Debug, Parser)]
#[command(name = "lapwing", version, after_help = EXIT_CODES, arg_required_else_help = true)]
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
    /// Check a configuration file and say what it configures.
    #[command(after_help = EXIT_CODES)]
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Attach the hooks and pin them, without running the daemon.
    #[command(after_help = EXIT_CODES)]
    Attach {
        #[command(flatten)]
        setup: Setup,
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
            eprintln!("error: {}", explain(&error));
            ExitCode::from(1)
        }
    }
}

/// The error and its causes; a cause that is told already is not told again.
fn explain(error: &anyhow::Error) -> String {
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
        Command::Check { file } => print(&check::check(&file)?),
        Command::Attach { setup } => {
            let _logs = logging::start(false);
            let attached = daemon::hooks::attach(&RunOptions {
                config: setup.config,
                interfaces: setup.interfaces,
                trace: false,
            })?;
            print(&attached)
        }
        Command::Detach { config, pin_dir } => {
            print(&daemon::hooks::detach(config.as_deref(), pin_dir)?)
        }
    }
}

fn status(path: &Path, json: bool) -> Result<(), Failure> {
    let (raw, document) = control::status(path).map_err(anyhow::Error::from)?;
    print(&if json { raw } else { document.table() })
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
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_cause_is_told_once() {
        let inner = std::io::Error::other("no route to host");
        let told = anyhow::Error::new(config::Error::Unreadable {
            path: "x".into(),
            source: inner,
        });
        assert_eq!(explain(&told).matches("no route to host").count(), 1);
        let untold = anyhow::Error::new(std::io::Error::other("no memory")).context("cannot start");
        assert_eq!(explain(&untold), "cannot start: no memory");
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
