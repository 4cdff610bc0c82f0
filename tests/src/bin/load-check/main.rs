//! The first and only process of a guest that `cargo xtask kernels` boots: loads the
//! eBPF object through the daemon's own code, attaches it in every way, lets real
//! connections pass, and writes what came of it.
//!
//! ```text
//! guest, pid 1: load-check                             second network namespace
//!   listeners ── e0 (programs on both hooks) ── veth ── e1 ── clients
//!        │
//!        └─▶ /dev/ttyS1: one JSON object a line, read by xtask
//! ```
//! In: the kernel modules in `/modules`, loaded in the order of their names. Out: the
//! lines described in [`record`]. At the end it powers the guest off, whatever happened.

mod check;
mod counted;
mod guest;
mod net;
mod record;

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::record::{Record, Report};

fn main() -> ExitCode {
    if let Err(error) = guest::require() {
        eprintln!("load-check: {error:#}");
        return ExitCode::from(2);
    }
    if let Err(error) = run() {
        // To the console as well: perhaps it is the report that cannot be had.
        eprintln!("load-check: {error:#}");
        let why = format!("{error:#}");
        let _ = Report::open().and_then(|mut report| report.write(&Record::Broken { why }));
    }
    guest::power_off()
}

fn run() -> Result<()> {
    guest::mount_all()?;
    let mut report = Report::open()?;
    report.write(&Record::Guest {
        kernel: guest::kernel_release()?,
    })?;
    guest::load_modules().context("loading modules")?;
    let clients = net::raise().context("making the link")?;
    check::all(&clients, &mut report)?;
    report.write(&Record::Done)
}
