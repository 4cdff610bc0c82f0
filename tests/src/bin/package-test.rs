//! `cargo xtask package-test`: the Debian package in a container with systemd.
//!
//! ```text
//! package-test PACKAGE ROOT QUICK_START
//! ```

use std::{path::Path, process::ExitCode, time::Instant};

use anyhow::{Result, bail};
use lapwing_tests::{outcome, package};

fn main() -> ExitCode {
    outcome::of("package test", test)
}

fn test(arguments: &[String]) -> Result<()> {
    let [package, root, quick_start] = arguments else {
        bail!("package-test PACKAGE ROOT QUICK_START");
    };
    let begin = Instant::now();
    package::play(
        Path::new(package),
        Path::new(root),
        Path::new(quick_start),
        |what| println!("{:>5.0?} {what}", begin.elapsed()),
    )?;
    println!("{:>5.0?} all is as it should be", begin.elapsed());
    Ok(())
}
