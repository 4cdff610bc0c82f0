//! `cargo xtask kernels`: the object under the kernels that can be booted here.
//!
//! ```text
//! Debian's archive ─▶ image ──┐
//! load-check ─▶ initramfs ────┼─▶ qemu ─▶ record ─▶ verdict ─▶ table, JSON, docs/kernels.md
//! ```
//! Everything is fetched into the build directory, the emulator too if the machine has
//! none: neither the machine's packages nor apt's sources change. The guests are
//! emulated, so no virtualization is needed, and it is only the verifier's answers and
//! the counters that count, not the time.

mod archive;
mod catalog;
mod image;
mod initramfs;
pub mod mirror;
mod payload;
mod qemu;
mod record;
mod table;
mod unpack;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::command;
use crate::kernels::archive::Archive;
use crate::kernels::catalog::Kernel;
use crate::kernels::mirror::Mirrors;
use crate::kernels::table::Row;
use crate::kernels::verdict::Verdict;
use crate::needs::Group;
use crate::object;
use crate::setup::{self, seconds};
use crate::toolchain::Toolchain;
use crate::workspace::Workspace;

/// Boots Debian's kernels in an emulator, loads the eBPF object in each through the
/// daemon's own code, attaches it in every way, lets connections pass, and tells what
/// the verifier walked. Kernels and emulator are fetched once into the build
/// directory; nothing is installed.
#[derive(clap::Args)]
pub struct Args {
    /// Boot only this kernel (5.10, 6.1, 6.12, 6.18, newest); may be repeated
    #[arg(long, value_name = "KERNEL")]
    only: Vec<String>,
    /// Ask the archive for newer packages, even where one is here
    #[arg(long)]
    refresh: bool,
    /// Seconds after which a guest is ended
    #[arg(long, value_name = "SECONDS", default_value_t = 240)]
    timeout: u64,
    /// Write docs/kernels.md
    #[arg(long, conflicts_with = "only")]
    write: bool,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
}

const DOCUMENT: &str = "docs/kernels.md";

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    let start = Instant::now();
    let kernels = catalog::chosen(&args.only)?;
    if !apt::is_debian() {
        bail!(
            "the kernels come from Debian's archive by apt, which this system lacks\n  remedy:  \
             run it on Debian"
        );
    }
    let (toolchain, _) = Toolchain::choose();
    setup::ensure(workspace, &toolchain, &[Group::Build, Group::Kernels])?;
    let directory = workspace.target().join("kernels");
    let lab = Lab {
        emulator: qemu::Emulator::get(&directory)?,
        payload: {
            progress("the eBPF object");
            object::build(workspace, &toolchain)?;
            progress("the guest's init");
            payload::build(workspace, &directory)?
        },
        directory,
        refresh: args.refresh,
        timeout: Duration::from_secs(args.timeout),
    };
    let mut rows = Vec::new();
    for kernel in kernels {
        let begin = Instant::now();
        let row = lab.row(kernel);
        let took = seconds(begin.elapsed());
        progress(&format!("{}: {} ({took})", row.kernel, row.verdict.text()));
        rows.push(row);
    }
    if args.json {
        println!("{}", table::json(&rows)?);
    } else {
        print!("\n{}", table::text(&rows));
    }
    // What failed is no record; the table above tells it.
    judge(&rows)?;
    if args.write {
        let path = workspace.root().join(DOCUMENT);
        command::write_file(&path, table::document(&rows).as_bytes())?;
        progress(&format!("wrote {}", path.display()));
    }
    progress(&format!("done in {}", seconds(start.elapsed())));
    Ok(())
}

/// Every kernel must do what the catalogue says.
fn judge(rows: &[Row]) -> Result<()> {
    let surprises: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let why = row.surprise.as_ref()?;
            Some(format!("{}: {why}", row.kernel))
        })
        .collect();
    if surprises.is_empty() {
        return Ok(());
    }
    bail!(
        "not as it has to be:\n  {}\n  remedy:  each guest's console.log and report.jsonl are in \
         kernels/ of the build directory",
        surprises.join("\n  ")
    )
}

/// What all guests have in common.
struct Lab {
    directory: PathBuf,
    emulator: qemu::Emulator,
    payload: PathBuf,
    refresh: bool,
    timeout: Duration,
}

impl Lab {
    /// One kernel, from the archive to its row. What goes wrong is its verdict, so
    /// that the others are still tried.
    fn row(&self, kernel: &Kernel) -> Row {
        let directory = self.directory.join(kernel.name);
        let image = match self.image(kernel, &directory) {
            Ok(image) => image,
            Err(error) => {
                let verdict = Verdict::Failed(format!("{error:#}"));
                return Row::new(kernel, None, verdict, &[]);
            }
        };
        progress(&format!(
            "{}: booting {} {}",
            kernel.name, image.package, image.version
        ));
        match self.boot(&image, &directory) {
            Ok(records) => {
                let verdict = verdict::of(&records);
                Row::new(kernel, Some(&image), verdict, &records)
            }
            Err(error) => {
                let verdict = Verdict::Failed(format!("{error:#}"));
                Row::new(kernel, Some(&image), verdict, &[])
            }
        }
    }

    fn image(&self, kernel: &Kernel, directory: &Path) -> Result<image::Image> {
        if !self.refresh
            && let Some(image) = image::present(directory)
        {
            return Ok(image);
        }
        progress(&format!(
            "{}: fetching from {}",
            kernel.name, kernel.suite.name
        ));
        let mirrors = Mirrors::of_this_machine()?;
        let archive = Archive::of_one_suite(
            &self.directory.join("apt").join(kernel.suite.name),
            &mirrors.source(&kernel.suite),
        );
        image::fetch(kernel, &archive, directory)
            .with_context(|| format!("fetching kernel {}", kernel.name))
    }

    fn boot(&self, image: &image::Image, directory: &Path) -> Result<Vec<record::Record>> {
        let initramfs = directory.join("initramfs.cpio");
        let payload = fs::read(&self.payload)
            .with_context(|| format!("cannot read {}", self.payload.display()))?;
        command::write_file(&initramfs, &initramfs::archive(&payload, &image.modules()?))?;
        let guest = qemu::Guest {
            kernel: &image.vmlinuz(),
            initramfs: &initramfs,
            console: &directory.join("console.log"),
            report: &directory.join("report.jsonl"),
        };
        self.emulator.boot(&guest, self.timeout)?;
        let report = fs::read_to_string(guest.report)
            .with_context(|| format!("cannot read {}", guest.report.display()))?;
        record::parse(&report)
    }
}

/// Progress goes where it does not mix with JSON.
fn progress(what: &str) {
    eprintln!("── {what}");
}
