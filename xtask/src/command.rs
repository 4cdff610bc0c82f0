//! Running other programs, so that a failure always says what was tried, what
//! happened and what to do about it.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fmt::Write as _};

use anyhow::{Context, Result, anyhow, bail};

use crate::workspace::Workspace;

/// What the outer `cargo xtask` adds to the environment, and what a user's
/// shell may set for other projects. None of it may steer the builds that
/// xtask starts: a toolchain override would replace Debian's compiler, host
/// flags would reach the eBPF object.
const STEERING: [&str; 15] = [
    "CARGO_BUILD_TARGET",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION",
    // The outer cargo's own libraries; Debian's compiler has others.
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOC",
    "RUST_RECURSION_COUNT",
    "RUST_TARGET_PATH",
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTFLAGS",
];

/// A command without the variables that would steer a build.
pub fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for variable in STEERING {
        command.env_remove(variable);
    }
    command
}

/// The workspace's own cargo (the toolchain `rust-toolchain.toml` pins), in
/// the workspace's root, building into the workspace's build directory.
pub fn host_cargo(workspace: &Workspace) -> Command {
    // Set by the cargo that runs xtask: its own absolute path.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = clean(cargo);
    command
        .current_dir(workspace.root())
        .env("CARGO_TARGET_DIR", workspace.target());
    command
}

/// Runs to the end with the terminal's input and output.
pub fn run(command: &mut Command, what: &str, remedy: &str) -> Result<()> {
    let status = command
        .status()
        .map_err(|error| anyhow!(failure(what, command, &error.to_string(), remedy)))?;
    if status.success() {
        Ok(())
    } else {
        bail!(failure(what, command, &status.to_string(), remedy))
    }
}

/// Replaces this process, so that signals, the terminal and the exit code are
/// the program's own. Returns only if that failed.
pub fn replace(command: &mut Command, what: &str, remedy: &str) -> anyhow::Error {
    let error = command.exec();
    anyhow!(failure(what, command, &error.to_string(), remedy))
}

/// Standard output of a program that is asked a question; `None` if it is not
/// there or says no.
pub fn ask(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where a program is, in `PATH` or where Debian keeps administrators' tools
/// (which a plain user's `PATH` leaves out).
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| is_executable(candidate))
}

/// Is it a file that somebody may execute?
pub fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The command as one would type it.
pub fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quoted(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The command as one would type it in another shell: with the variables it
/// sets.
pub fn shown_with_variables(command: &Command) -> String {
    let variables: String = command
        .get_envs()
        .filter_map(|(name, value)| {
            let value = quoted(&value?.to_string_lossy());
            Some(format!("{}={value} ", name.to_string_lossy()))
        })
        .collect();
    let shown = shown(command);
    if variables.is_empty() {
        shown
    } else {
        format!("env {variables}{shown}")
    }
}

fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "-_./=:+,@%".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn failure(what: &str, command: &Command, how: &str, remedy: &str) -> String {
    let mut text = format!("{what} failed ({how})\n  command: {}", shown(command));
    if !remedy.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  remedy:  {remedy}");
    }
    text
}

/// Writes a file and the directories above it.
pub fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
    }
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_one_would_type_them() {
        let mut command = Command::new("apt-get");
        command.args(["install", "-y", "it's", "--cfg=a=\"b\"", ""]);
        assert_eq!(
            shown(&command),
            r#"apt-get install -y 'it'\''s' '--cfg=a="b"' ''"#
        );
        assert_eq!(shown_with_variables(&command), shown(&command));
        command.env("KEY", "two words").env_remove("OTHER");
        assert!(shown_with_variables(&command).starts_with("env KEY='two words' apt-get install"));
    }

    #[test]
    fn failures_name_the_step_the_command_and_the_remedy() {
        let error = run(&mut Command::new("false"), "the step", "do this")
            .expect_err("false fails")
            .to_string();
        assert!(error.starts_with("the step failed (exit status: 1)"));
        assert!(error.contains("command: false"));
        assert!(error.contains("remedy:  do this"));
        let missing = run(&mut Command::new("/nonexistent/x"), "the step", "")
            .expect_err("no such program")
            .to_string();
        assert!(missing.contains("/nonexistent/x"), "{missing}");
        assert!(!missing.contains("remedy"), "{missing}");
    }

    #[test]
    fn outer_build_does_not_steer_inner_ones() {
        let command = clean("cargo");
        let removed: Vec<_> = command
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name.to_owned())
            .collect();
        for variable in ["LD_LIBRARY_PATH", "RUSTC", "RUSTC_WORKSPACE_WRAPPER"] {
            assert!(removed.iter().any(|name| name == variable), "{variable}");
        }
    }

    #[test]
    fn questions_to_absent_programs_have_no_answer() {
        assert_eq!(ask(&mut Command::new("/nonexistent/x")), None);
        assert_eq!(ask(&mut Command::new("false")), None);
        assert_eq!(
            ask(Command::new("echo").arg("yes")).as_deref(),
            Some("yes\n")
        );
    }
}
