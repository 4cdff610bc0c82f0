//! The daemon is killed at ten random points of withdraws and returns; many more by
//! `cargo xtask soak crash`. What is judged stands in `tests/src/soak/crash.rs`.

use anyhow::Result;
use lapwing_tests::soak::crash;

#[test]
fn daemon_killed_at_any_point_comes_back_to_the_right_route() -> Result<()> {
    let points = crash::soak(10, 1, |point| println!("{point}"))?;
    print!("{}", crash::summary(&points));
    Ok(())
}
