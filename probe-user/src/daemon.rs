//! The daemon: the one loop between the world and the core.
//!
//! ```text
//!  maps ──tick──▶ Reading ─┐                    ┌─ SetLevel ▶ announce (own thread) ─▶ kernel table
//!  table ─▶ Observation ───┤                    │                └─▶ Done ─▶ journal
//!  probes ─▶ Done ─────────┼▶ Engine ─▶ Command ┼─ Probe ────▶ probes (own thread) ─▶ Done
//!  other hosts ─▶ Witness ─┤                    │
//!  hooks ──1 Hz─▶ Sensor ──┤                    └─ Record ───▶ journal, log
//!  clock ─▶ Wake ──────────┘
//!             1 Hz: counters, status ─▶ watch channels ─▶ http, control socket
//!  acknowledged changes ─▶ closed loop (own thread) ─▶ BIRD ─▶ Finding ─▶ journal, log
//! ```
//!
//! All else runs on one thread, and nothing in the loop waits for a disk, a socket
//! or another thread: a failed trial becomes a route change within a tick. The
//! journal is written after the change has been handed to the route thread, and
//! synced by a thread of its own.

mod act;
mod alarm;
mod closed_loop;
mod conflicts;
mod event_loop;
mod heard;
pub mod hooks;
mod inbox;
pub mod last_resort;
mod launch;
mod lock;
mod log;
pub mod privileges;
mod reload;
mod remember;
pub(crate) mod rhythm;
mod routes;
mod setup;
mod signals;
mod supervisor;
mod view;
mod workshop;

use std::path::PathBuf;

use anyhow::Context;
use probe_core::input::ProbeResult;

use crate::{colours, config, probe::Prober};

use act::SetDone;
use event_loop::Daemon;

/// What the command line says about a run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The configuration file; none to observe what listens here.
    pub config: Option<PathBuf>,
    /// Interfaces instead of the configured ones.
    pub interfaces: Vec<String>,
    /// Whether the kernel side logs what it measures.
    pub trace: bool,
}

/// How a command failed, and so how the program ends.
#[derive(Debug)]
pub enum Failure {
    /// The operator's mistake, ready to be shown.
    Mistake(String),
    /// The world's.
    Runtime(anyhow::Error),
    /// None of the command's: it has told what it looked for, and that is not well.
    Found,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Runtime(error)
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        Self::Mistake(match error {
            config::Error::Mistakes(report) => {
                report.render(colours::wanted_on(&std::io::stderr()))
            }
            error @ (config::Error::Unreadable { .. } | config::Error::NoRoots(_)) => {
                format!("error: {error}")
            }
        })
    }
}

/// Runs until a signal asks to stop.
pub fn run(options: &RunOptions) -> Result<(), Failure> {
    let settings = setup::settings(options)?;
    let prober = Prober::new(&settings.core.services).map_err(config::Error::from)?;
    runtime()?.block_on(async {
        let parts = setup::start(settings, prober, options.trace).await?;
        Box::pin(Daemon::new(parts, options).run())
            .await
            .map_err(Failure::Runtime)
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .map_err(Failure::Runtime)
}

/// The end of something that was started.
#[derive(Debug)]
enum Done {
    Probe(ProbeResult),
    Read(Box<reload::Read>),
    Set(SetDone),
}
