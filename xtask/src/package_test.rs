//! `cargo xtask package-test`: is the package what its documents say?
//!
//! ```text
//! dist ─▶ lintian ─▶ a Debian in a directory ─▶ the program package-test, in the lab
//! ```
//! The Debian is made once, by debootstrap, and only read from then on; it is made again
//! when what it has to contain changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::build;
use crate::command;
use crate::dist;
use crate::kernels::mirror::Mirrors;
use crate::lab;
use crate::needs::Group;
use crate::privilege;
use crate::setup;
use crate::toolchain::Toolchain;
use crate::workspace::{Profile, Workspace};

/// Makes the package, has lintian look at it, and plays its life in a container with
/// systemd at an edge of the lab: the quick start as it is written, an upgrade under
/// traffic, a hung daemon, starts that fail, a dead service, a shutdown and a purge.
#[derive(clap::Args)]
pub struct Args {
    /// Pack this binary instead of building one
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
}

/// What the container has beside Debian's essential packages: what the package depends on,
/// since there is no network, and what an anycast host has.
const CONTENT: [&str; 9] = [
    "adduser",
    "bird2",
    "curl",
    "dbus",
    "iproute2",
    "nginx-light",
    "procps",
    "systemd",
    "systemd-sysv",
];
pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    privilege::require_root(
        "cargo xtask package-test",
        "it boots a container in network namespaces and loads eBPF programs into them",
    )?;
    let (toolchain, _) = Toolchain::choose();
    let groups = [Group::Build, Group::Lab, Group::Package];
    setup::ensure(workspace, &toolchain, &groups)?;
    let binary = match &args.bin {
        Some(binary) => binary.clone(),
        None => build::all(workspace, Profile::Release)?.binary,
    };
    check(workspace, &binary)
}

/// The same, of a binary that is there, once everything that it needs is there, too.
pub fn check(workspace: &Workspace, binary: &Path) -> Result<()> {
    let package = dist::pack(workspace, binary)?.package;
    println!("── lintian");
    command::run(
        command::clean("lintian")
            .args(["--allow-root", "--tag-display-limit=0", "--fail-on=error"])
            .arg(&package),
        "checking the package by Debian's rules",
        "`lintian-explain-tags TAG` tells what is wanted",
    )?;
    let root = debian(workspace)?;
    println!("── package-test");
    // As the end-to-end tests are built: that may be done already.
    let object = workspace.object();
    let mut test = lab::program(workspace, Profile::Debug, "package-test", &object)?;
    test.arg(&package)
        .arg(&root)
        .arg(workspace.root().join("docs/quick-start.md"));
    command::run(
        &mut test,
        "the package test",
        "run `cargo xtask package-test` again; what failed stands above",
    )
}

/// The root of a Debian like this machine's own, made if it is not there.
fn debian(workspace: &Workspace) -> Result<PathBuf> {
    let directory = workspace.target().join("package-test");
    let (root, made) = (directory.join("root"), directory.join("root.made-of"));
    let mirrors = Mirrors::of_this_machine()?;
    let (release, mirror) = mirrors.own_release();
    let recipe = format!("{release}: {}\n", CONTENT.join(" "));
    if fs::read_to_string(&made).is_ok_and(|recipe_then| recipe_then == recipe) {
        return Ok(root);
    }
    println!("── a Debian in {} (a minute, once)", root.display());
    remove(&root)?;
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    command::run(
        command::clean("debootstrap")
            .args([
                "--variant=minbase",
                &format!("--include={}", CONTENT.join(",")),
            ])
            .arg(release)
            .arg(&root)
            .arg(mirror)
            // Six hundred lines; what goes wrong is told on the other stream.
            .stdout(Stdio::null()),
        "making a Debian for the package",
        "debootstrap/debootstrap.log below that directory tells; it needs this machine's mirror",
    )?;
    // Written when it is whole.
    command::write_file(&made, recipe.as_bytes())?;
    Ok(root)
}

fn remove(root: &Path) -> Result<()> {
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))?;
    }
    Ok(())
}
