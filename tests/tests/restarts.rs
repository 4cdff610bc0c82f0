//! Twenty restarts under traffic; a thousand by `cargo xtask soak restart`. What is
//! judged stands in `tests/src/soak/restart.rs`.

use anyhow::Result;
use lapwing_tests::soak::restart;

#[test]
fn restarts_under_traffic_lose_nothing_and_leave_nothing() -> Result<()> {
    println!("{}", restart::soak(20, |_| ())?);
    Ok(())
}
