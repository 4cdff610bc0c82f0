//! What the lab's programs do with their arguments, and tell in the end.

use std::process::ExitCode;

use anyhow::Result;

/// Runs `work` with the program's arguments. An error is told as that of `what`.
pub fn of(what: &str, work: impl FnOnce(&[String]) -> Result<()>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match work(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the {what} failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
