//! What Lapwing costs a packet: in go packets through the programs in the kernel
//! (`BPF_PROG_TEST_RUN`), out come nanoseconds above an empty program, and their ratio
//! to a program that only parses.
//!
//! ```text
//! cases ─▶ world (maps in the state that the case needs) ─▶ sample ─▶ statistics ─▶ report
//!                                              live (packets over veth) ─────────────▲
//! ```
//! Nanoseconds are those of one machine; a ratio within one run is what another
//! machine would also find, so budgets are ratios.

mod cases;
mod live;
mod machine;
mod measure;
mod programs;
mod report;
mod sample;
mod statistics;
mod world;

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result};

/// What to run and where to put it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How often every case is measured.
    pub rounds: usize,
    /// The names of the cases, if not all.
    pub only: Vec<String>,
    /// Whether packets are sent over a veth, too.
    pub live: bool,
    /// Print JSON rather than tables.
    pub json: bool,
    /// The document whose tables are replaced.
    pub document: Option<PathBuf>,
}

/// Runs the benchmark of the data plane.
pub fn dataplane(plan: &Plan) -> Result<()> {
    let bench = object("LAPWING_BENCH_OBJECT")?;
    let shipped = object("LAPWING_EBPF_OBJECT")?;
    sample::stay_on_one_cpu()?;
    let measurements = measure::measure(&bench, plan.rounds, &plan.only)?;
    let report = report::Report {
        machine: machine::Machine::here()?,
        rounds: plan.rounds,
        measurements,
        programs: programs::of(&shipped)?,
        live: if plan.live {
            live::measure(&bench, plan.rounds)?
        } else {
            Vec::new()
        },
    };
    if let Some(path) = &plan.document {
        report.write(path)?;
        eprintln!("wrote {}", path.display());
    }
    if plan.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.markdown());
    }
    Ok(())
}

fn object(variable: &str) -> Result<Vec<u8>> {
    let path = env::var(variable)
        .with_context(|| format!("{variable} names an object; `cargo xtask bench` sets it"))?;
    fs::read(&path).with_context(|| format!("reading {path}"))
}
