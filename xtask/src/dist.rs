//! `cargo xtask dist`: what is given to others. In: a build, `packaging/`, `bird-config/`,
//! `docs/`. Out, below `dist/` of the build directory: a Debian package and an archive with
//! the same files.
//!
//! Both are reproducible: owners, modes, order and times do not depend on who packs, and
//! when (`SOURCE_DATE_EPOCH`, or the time of the last commit).

mod files;
mod generated;

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::build;
use crate::command;
use crate::workspace::{Profile, Workspace};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const PROGRAM: u32 = 0o755;
const DATA: u32 = 0o644;

/// Builds, and packs a .deb and a .tar.gz into `dist/` of the build directory.
#[derive(clap::Args)]
pub struct Args {
    /// Pack this binary instead of building one
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
}

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    let binary = match &args.bin {
        Some(binary) => binary.clone(),
        None => build::all(workspace, Profile::Release)?.binary,
    };
    let Packed { package, archive } = pack(workspace, &binary)?;
    println!("package: {}", package.display());
    println!("archive: {}", archive.display());
    Ok(())
}

/// What is given to others.
pub struct Packed {
    pub package: PathBuf,
    pub archive: PathBuf,
}

/// Packs this binary and all that belongs to it.
pub fn pack(workspace: &Workspace, binary: &Path) -> Result<Packed> {
    let directory = workspace.target().join("dist");
    let name = format!("lapwing_{VERSION}_{}", architecture()?);
    let root = directory.join(&name);
    if root.exists() {
        fs::remove_dir_all(&root).context("cannot remove the last package's files")?;
    }
    let epoch = epoch(workspace);
    stage(workspace, binary, &root, &epoch)?;
    let archive = archive(&root, &directory.join(format!("{name}.tar.gz")), &epoch)?;
    let package = package(
        workspace,
        &root,
        &directory.join(format!("{name}.deb")),
        &epoch,
    )?;
    fs::remove_dir_all(&root).context("cannot remove the package's files")?;
    Ok(Packed { package, archive })
}

/// The files where they are to be on a host.
fn stage(workspace: &Workspace, binary: &Path, root: &Path, epoch: &str) -> Result<()> {
    let program = root.join("usr/bin/lapwing");
    copy(binary, &program, PROGRAM)?;
    command::run(
        command::clean("strip").arg("--strip-all").arg(&program),
        "stripping the binary",
        "install binutils",
    )?;
    generated::all(binary, root)?;
    generated::changelog(&control(workspace)?, VERSION, epoch, root)?;
    for file in files::all(workspace.root())? {
        copy(
            &workspace.root().join(&file.from),
            &root.join(&file.to),
            DATA,
        )?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    command::write_file(to, &content)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", to.display()))
}

fn archive(root: &Path, to: &Path, epoch: &str) -> Result<PathBuf> {
    let mut tar = command::clean("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mode=go-w", &format!("--mtime=@{epoch}")])
        .args(["--use-compress-program", "gzip -n9", "-C"])
        .arg(root)
        .arg("-cf")
        .arg(to)
        .arg(".");
    command::run(&mut tar, "packing the archive", "")?;
    Ok(to.to_owned())
}

fn package(workspace: &Workspace, root: &Path, to: &Path, epoch: &str) -> Result<PathBuf> {
    let source = workspace.root().join("packaging/debian");
    let debian = root.join("DEBIAN");
    for script in ["postinst", "prerm", "postrm"] {
        copy(&source.join(script), &debian.join(script), PROGRAM)?;
    }
    let control = control(workspace)?
        .replace("@VERSION@", VERSION)
        .replace("@ARCHITECTURE@", &architecture()?);
    command::write_file(&debian.join("control"), control.as_bytes())?;
    let conffiles = files::CONFIGURATION.map(|file| format!("/{file}\n"));
    command::write_file(&debian.join("conffiles"), conffiles.concat().as_bytes())?;
    command::run(
        command::clean("dpkg-deb")
            .env("SOURCE_DATE_EPOCH", epoch)
            .args(["--root-owner-group", "-Zxz", "--build"])
            .arg(root)
            .arg(to),
        "building the package",
        "needs Debian's dpkg",
    )?;
    Ok(to.to_owned())
}

fn control(workspace: &Workspace) -> Result<String> {
    fs::read_to_string(workspace.root().join("packaging/debian/control"))
        .context("cannot read packaging/debian/control")
}

fn architecture() -> Result<String> {
    let answer = command::ask(Command::new("dpkg").arg("--print-architecture"));
    Ok(answer
        .context("dpkg does not tell this machine's architecture: packages are made on Debian")?
        .trim()
        .to_owned())
}

fn epoch(workspace: &Workspace) -> String {
    let commit = || {
        let mut git = command::clean("git");
        git.arg("-C").arg(workspace.root());
        command::ask(git.args(["log", "-1", "--format=%ct"]))
    };
    env::var("SOURCE_DATE_EPOCH")
        .ok()
        .or_else(commit)
        .map_or_else(|| "0".to_owned(), |epoch| epoch.trim().to_owned())
}
