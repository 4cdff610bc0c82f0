//! `cargo xtask demo`: raises the lab, breaks one site twice, shows what happens.
//!
//! Exit codes: 0 everything happened; 1 something did not, or the lab failed.

use std::process::ExitCode;

fn main() -> ExitCode {
    match lapwing_tests::demo::run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
