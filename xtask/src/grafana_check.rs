//! `cargo xtask grafana-check`: the dashboards, type-checked against Grafana's published
//! schema and drawn with its own components, to be looked at.
//!
//! ```text
//! grafana/dashboards/*.json ─▶ dashboards.ts ─▶ tsc, with @grafana/schema
//! grafana/check/*.tsx ───────▶ esbuild ───────▶ page ─┐
//! the lab, in a fault ───────▶ Prometheus ────────────┴▶ Chromium ─▶ one PNG each, dark, light
//! ```
//! Grafana's packages are 620 MB, so no other verb needs this one.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::lab;
use crate::needs::Group;
use crate::privilege;
use crate::setup;
use crate::toolchain::Toolchain;
use crate::workspace::Workspace;

/// Checks the dashboards' JSON against Grafana's types, raises a lab with two
/// sites and a Prometheus, breaks its services, and draws every panel with
/// Grafana's own components in Chromium: a picture per dashboard and theme in
/// target/grafana-check/. Fails on a query without data, on an error in the
/// browser, and on a panel that cannot be drawn. Fetches 620 MB, once.
#[derive(clap::Args)]
pub struct Args {
    /// Only check the types, which needs neither root nor a lab
    #[arg(long)]
    types: bool,
}

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    if !args.types {
        privilege::require_root(
            "cargo xtask grafana-check",
            "it makes network namespaces and loads eBPF programs into them",
        )?;
    }
    let (toolchain, _) = Toolchain::choose();
    setup::ensure(workspace, &toolchain, &[Group::Panels])?;
    let check = Check::prepare(workspace)?;
    println!("── types");
    check.npm(
        &["run", "--silent", "types"],
        "checking the dashboards' types",
        "a line of dashboards.ts above names the field; grafana/generator writes it",
    )?;
    if args.types {
        return Ok(());
    }
    setup::ensure(workspace, &toolchain, &[Group::Browser])?;
    println!("── page");
    check.npm(
        &["run", "--silent", "page"],
        "bundling the page",
        "esbuild's first error above tells",
    )?;
    let mut draw = lab::program_with_daemon(workspace, "grafana-check")?;
    draw.arg(&check.build).arg(&check.directory);
    command::run(
        &mut draw,
        "drawing the dashboards",
        "the lines above name panels; the pictures in target/grafana-check/ show them",
    )
}

/// Where the page is built, with Grafana's packages beside its sources.
struct Check {
    /// For the pictures.
    directory: PathBuf,
    build: PathBuf,
}

impl Check {
    /// Lays out the sources and the dashboards, and installs what the lock file names.
    fn prepare(workspace: &Workspace) -> Result<Self> {
        let directory = workspace.target().join("grafana-check");
        let build = directory.join("build");
        fs::create_dir_all(&build).with_context(|| format!("cannot make {}", build.display()))?;
        for source in files(&workspace.root().join("grafana/check"))? {
            let name = source.file_name().context("a file has a name")?;
            fs::copy(&source, build.join(name))
                .with_context(|| format!("cannot copy {}", source.display()))?;
        }
        let dashboards = typed(&files(&workspace.root().join("grafana/dashboards"))?)?;
        command::write_file(&build.join("dashboards.ts"), dashboards.as_bytes())?;
        let check = Self { directory, build };
        check.install()?;
        Ok(check)
    }

    /// Once for each lock file.
    fn install(&self) -> Result<()> {
        let lock = fs::read(self.build.join("package-lock.json")).context("the lock file")?;
        let installed = self.build.join("installed.json");
        if fs::read(&installed).is_ok_and(|before| before == lock) {
            return Ok(());
        }
        println!("── fetching Grafana's packages, once: 620 MB");
        // No package's own script is run.
        self.npm(
            &["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            "installing Grafana's packages",
            "can npm's registry be reached?",
        )?;
        command::write_file(&installed, &lock)
    }

    fn npm(&self, arguments: &[&str], what: &str, remedy: &str) -> Result<()> {
        let mut npm = Command::new("npm");
        npm.args(arguments).current_dir(&self.build);
        command::run(&mut npm, what, remedy)
    }
}

/// The files in a directory, in order.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(directory)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .with_context(|| format!("cannot list {}", directory.display()))?;
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}

/// The dashboards as constants that have to be of the schema's type.
fn typed(dashboards: &[PathBuf]) -> Result<String> {
    let mut text = "import type { Board } from './schema';\n".to_owned();
    for path in dashboards {
        let json =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        writeln!(
            text,
            "\nexport const {name} = {} satisfies Board;",
            json.trim_end()
        )?;
    }
    Ok(text)
}
