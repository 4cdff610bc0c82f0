//! `cargo xtask soak`: ends and starts the daemon again and again.
//!
//! ```text
//! soak crash POINTS SEED
//! soak restart CYCLES
//! soak race ROUNDS
//! ```

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use lapwing_tests::{
    lab::topology::Site,
    outcome,
    soak::{crash, race, restart},
};

fn main() -> ExitCode {
    outcome::of("soak", soak)
}

fn soak(arguments: &[String]) -> Result<()> {
    match arguments {
        [what, points, seed] if what == "crash" => {
            let points = points.parse().context("POINTS is a number")?;
            let seed = seed.parse().context("SEED is a number")?;
            let mut number = 0;
            let points = crash::soak(points, seed, |point| {
                number += 1;
                println!("{number:>4}  {point}");
            })?;
            print!("{}", crash::summary(&points));
        }
        [what, cycles] if what == "restart" => {
            let cycles = cycles.parse().context("CYCLES is a number")?;
            let result = restart::soak(cycles, |done| println!("{done:>5} cycles"))?;
            println!("{result}");
        }
        [what, rounds] if what == "race" => {
            let rounds: usize = rounds.parse().context("ROUNDS is a number")?;
            for (goes_first, rounds) in [(None, rounds.div_ceil(2)), (Some(Site::Fra1), rounds / 2)]
            {
                let tell = |done| println!("{done:>5} races");
                println!("{}", race::soak(rounds, goes_first, tell)?);
            }
        }
        _ => bail!("soak crash POINTS SEED, soak restart CYCLES, or soak race ROUNDS"),
    }
    Ok(())
}
