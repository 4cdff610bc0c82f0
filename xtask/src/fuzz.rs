//! `cargo xtask fuzz`: the parsers and the measurement against inputs that libFuzzer
//! makes.
//!
//! ```text
//! fuzz/corpus/TARGET (committed) ─┐
//! target/fuzz/TARGET/corpus ──────┴─▶ libFuzzer ─┬─▶ what is new: target/fuzz/TARGET/corpus
//!                                                └─▶ what fails: target/fuzz/TARGET/findings
//! ```
//! The toolchain that builds everything else builds this, too: the instrumentation is
//! a pass of LLVM that a released compiler has, and libFuzzer comes as a crate with
//! its C++ source. Of sanitizers there is none; bounds and overflows are checked by
//! the code itself.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::command;
use crate::needs::Group;
use crate::setup;
use crate::toolchain::Toolchain;
use crate::workspace::Workspace;

/// Fuzzes the parsers and the measurement, one target after the other, from the
/// committed corpus on. Needs no root.
#[derive(clap::Args)]
pub struct Args {
    /// Only this target
    #[arg(value_enum)]
    target: Option<Target>,
    /// For so long per target
    #[arg(long, value_name = "N", default_value_t = STEP_SECONDS)]
    seconds: u32,
    /// Then make the committed corpus what is needed to reach all that was reached,
    /// and no more
    #[arg(long)]
    minimise: bool,
}

/// How long each target runs in `cargo xtask test`.
pub const STEP_SECONDS: u32 = 30;

/// What can be fuzzed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// The parser of every layer, on any frame
    Parse,
    /// The whole measurement, on any traffic
    Measure,
}

impl Target {
    const ALL: [Self; 2] = [Self::Parse, Self::Measure];

    fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Measure => "measure",
        }
    }

    /// Longest input: some frames that pass a link, or a short story.
    fn longest(self) -> u32 {
        match self {
            Self::Parse => 512,
            Self::Measure => 1024,
        }
    }
}

/// What libFuzzer needs to see of the code: every edge, as a counter and in a table,
/// and what is compared with what.
const INSTRUMENTATION: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Line numbers in what a finding prints.
    "-Cforce-frame-pointers=yes",
];

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    let (toolchain, _) = Toolchain::choose();
    setup::ensure(workspace, &toolchain, &[Group::Fuzz])?;
    let targets = args
        .target
        .map_or(Target::ALL.to_vec(), |target| vec![target]);
    run(workspace, &targets, args.seconds)?;
    if args.minimise {
        for target in targets {
            minimise(workspace, target)?;
        }
    }
    Ok(())
}

/// Builds all targets and runs each for so long.
pub fn all(workspace: &Workspace, seconds: u32) -> Result<()> {
    run(workspace, &Target::ALL, seconds)
}

fn run(workspace: &Workspace, targets: &[Target], seconds: u32) -> Result<()> {
    let triple = host_triple(workspace)?;
    command::run(
        &mut build(workspace, &triple),
        "building the fuzz targets",
        "the compiler's first error above tells; libFuzzer needs a C++ compiler (`apt-get \
         install g++`)",
    )?;
    for target in targets {
        let place = Place::of(workspace, *target, &triple);
        println!("── {}, {seconds} s", target.name());
        place.prepare()?;
        command::run(
            &mut place.fuzz(seconds),
            &format!("fuzzing {}", target.name()),
            &format!(
                "the input is below {}; the same program with that file as its argument shows \
                 it again. Mend it, then put the file into {}",
                place.findings.display(),
                place.committed.display()
            ),
        )?;
    }
    Ok(())
}

/// The command that builds all targets, instrumented.
fn build(workspace: &Workspace, triple: &str) -> Command {
    let mut cargo = command::host_cargo(workspace);
    cargo
        .args(["build", "--package", "lapwing-fuzz", "--bins"])
        .args(["--features", "libfuzzer", "--profile", "fuzz"])
        // With a target, flags are for it and not for build scripts.
        .args(["--target", triple])
        .arg("--target-dir")
        .arg(directory(workspace).join("build"))
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTATION.join("\x1f"));
    cargo
}

/// Everything here is below the build directory.
fn directory(workspace: &Workspace) -> PathBuf {
    workspace.target().join("fuzz")
}

fn host_triple(workspace: &Workspace) -> Result<String> {
    let mut rustc = command::clean("rustc");
    rustc.current_dir(workspace.root()).arg("-vV");
    command::ask(&mut rustc)
        .as_deref()
        .and_then(triple_in)
        .context("`rustc -vV` does not say for which machine it compiles")
}

fn triple_in(text: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(|triple| triple.trim().to_owned())
}

/// Where the things of a target are.
struct Place {
    target: Target,
    program: PathBuf,
    committed: PathBuf,
    found: PathBuf,
    findings: PathBuf,
}

impl Place {
    fn of(workspace: &Workspace, target: Target, triple: &str) -> Self {
        let own = directory(workspace).join(target.name());
        Self {
            target,
            program: directory(workspace)
                .join("build")
                .join(triple)
                .join("fuzz")
                .join(format!("fuzz-{}", target.name())),
            committed: workspace.root().join("fuzz/corpus").join(target.name()),
            found: own.join("corpus"),
            findings: own.join("findings"),
        }
    }

    fn prepare(&self) -> Result<()> {
        for directory in [&self.committed, &self.found, &self.findings] {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        Ok(())
    }

    /// The fuzzer, for so many seconds. New inputs go into the first directory.
    fn fuzz(&self, seconds: u32) -> Command {
        let mut fuzzer = self.program();
        fuzzer
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={}", self.target.longest()))
            .args(["-timeout=10", "-print_final_stats=1", "-verbosity=0"])
            .arg(format!("-artifact_prefix={}/", self.findings.display()))
            .arg(&self.found)
            .arg(&self.committed);
        fuzzer
    }

    /// What of the second and third directory is needed goes into the first.
    fn merge(&self, into: &PathBuf) -> Command {
        let mut fuzzer = self.program();
        fuzzer
            .args(["-merge=1", "-set_cover_merge=1", "-verbosity=0"])
            .arg(into)
            .arg(&self.committed)
            .arg(&self.found);
        fuzzer
    }

    fn program(&self) -> Command {
        command::clean(&self.program)
    }
}

/// Replaces the committed corpus by the least that reaches as much.
fn minimise(workspace: &Workspace, target: Target) -> Result<()> {
    let place = Place::of(workspace, target, &host_triple(workspace)?);
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let least = place.found.with_file_name(format!("least-{stamp}"));
    fs::create_dir_all(&least).with_context(|| format!("cannot create {}", least.display()))?;
    command::run(
        &mut place.merge(&least),
        &format!("minimising the corpus of {}", target.name()),
        "run the target again; inputs that fail cannot be merged",
    )?;
    let files: Vec<PathBuf> = fs::read_dir(&least)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    if files.is_empty() {
        bail!("nothing is left of the corpus of {}", target.name());
    }
    fs::remove_dir_all(&place.committed)?;
    fs::create_dir_all(&place.committed)?;
    let mut bytes = 0;
    for file in &files {
        let name = file.file_name().context("a file has a name")?;
        bytes += fs::copy(file, place.committed.join(name))?;
    }
    fs::remove_dir_all(&least)?;
    println!(
        "{}: {} inputs, {bytes} bytes",
        place.committed.display(),
        files.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_is_what_the_compiler_says() {
        let text = "rustc 1.95.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n";
        assert_eq!(triple_in(text).as_deref(), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(triple_in("rustc 1.95.0\n"), None);
    }

    #[test]
    fn fuzzer_writes_only_below_the_build_directory() {
        let workspace = Workspace::locate();
        let place = Place::of(&workspace, Target::Parse, "machine");
        let shown = command::shown(&place.fuzz(7));
        let directories: Vec<&str> = shown.split(' ').rev().take(2).collect();
        // libFuzzer adds to the first directory it is given.
        assert!(directories[1].starts_with(&workspace.target().display().to_string()));
        assert!(directories[0].ends_with("fuzz/corpus/parse"));
        assert!(shown.contains("-max_total_time=7"), "{shown}");
    }

    #[test]
    fn every_target_has_a_program_and_a_corpus() {
        let root = Workspace::locate().root().to_path_buf();
        for target in Target::ALL {
            let program = root.join(format!("fuzz/src/bin/{}.rs", target.name()));
            assert!(program.is_file(), "{}", program.display());
            let corpus = root.join("fuzz/corpus").join(target.name());
            assert!(corpus.is_dir(), "{}", corpus.display());
        }
    }
}
