//! `cargo xtask grafana`: the dashboards, from their generator.
//!
//! In: `grafana/generator` and the packages that `grafana/requirements.txt` pins by hash, in
//! a virtual environment below the build directory. Out: `grafana/dashboards`; with
//! `--check`, whether the committed files are what the generator makes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::needs::Group;
use crate::setup;
use crate::toolchain::Toolchain;
use crate::workspace::Workspace;

/// Makes the Grafana dashboards from `grafana/generator`, in a virtual environment of its
/// own.
#[derive(clap::Args)]
pub struct Args {
    /// Change nothing; fail if a committed dashboard is not what the generator makes
    #[arg(long)]
    check: bool,
}

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    let (toolchain, _) = Toolchain::choose();
    setup::ensure(workspace, &toolchain, &[Group::Dashboards])?;
    if args.check {
        check(workspace)
    } else {
        generate(workspace, &committed(workspace))
    }
}

/// Fails if a committed dashboard is not what the generator makes.
pub fn check(workspace: &Workspace) -> Result<()> {
    let made = workspace.target().join("grafana/dashboards");
    if made.exists() {
        fs::remove_dir_all(&made).with_context(|| format!("cannot empty {}", made.display()))?;
    }
    generate(workspace, &made)?;
    let mut differ = Vec::new();
    let (made, committed) = (read(&made)?, read(&committed(workspace))?);
    for (name, _) in made.iter().chain(&committed) {
        let find = |files: &[(PathBuf, String)]| {
            let found = files.iter().find(|(other, _)| other == name);
            found.map(|(_, text)| text.clone())
        };
        if find(&made) != find(&committed) && !differ.contains(name) {
            differ.push(name.clone());
        }
    }
    if differ.is_empty() {
        println!("{} dashboards are what the generator makes", made.len());
        return Ok(());
    }
    let names: Vec<String> = differ
        .iter()
        .map(|name| name.display().to_string())
        .collect();
    bail!(
        "not what grafana/generator makes: {}\n  remedy:  `cargo xtask grafana` makes them again",
        names.join(", ")
    )
}

fn committed(workspace: &Workspace) -> PathBuf {
    workspace.root().join("grafana/dashboards")
}

/// The files of a directory with their texts, by name.
fn read(directory: &Path) -> Result<Vec<(PathBuf, String)>> {
    let failed = || format!("cannot read {}", directory.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let text = fs::read_to_string(entry.path()).with_context(failed)?;
        files.push((entry.file_name().into(), text));
    }
    files.sort();
    Ok(files)
}

fn generate(workspace: &Workspace, into: &Path) -> Result<()> {
    let python = environment(workspace)?;
    let generator = workspace.root().join("grafana/generator/main.py");
    command::run(
        command::clean(python)
            .arg(generator)
            .arg(into)
            // Nothing lands beside the sources.
            .env("PYTHONDONTWRITEBYTECODE", "1"),
        "making the dashboards",
        "",
    )
}

/// The interpreter of the virtual environment; made anew when the pinned packages change.
fn environment(workspace: &Workspace) -> Result<PathBuf> {
    let requirements = workspace.root().join("grafana/requirements.txt");
    let pinned = fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let directory = workspace.target().join("grafana/python");
    let python = directory.join("bin/python");
    let stamp = directory.join("requirements.txt");
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|there| there == pinned) {
        return Ok(python);
    }
    command::run(
        command::clean("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&directory),
        "making a virtual environment",
        "install python3-venv",
    )?;
    command::run(
        command::clean(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(["--require-hashes", "-r"])
            .arg(&requirements),
        "installing what the generator needs",
        "PyPI, or a mirror that pip is configured for, has to be reachable",
    )?;
    command::write_file(&stamp, pinned.as_bytes())?;
    Ok(python)
}
