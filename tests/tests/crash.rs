//! The daemon is killed at ten random points of withdraws and returns; many more by
//! `cargo xtask soak crash`. What is judged stands in `tests/src/soak/crash.rs`.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use lapwing_tests::{
    lab::{
        bgp::Change,
        lapwing::{Lapwing, Settings},
        load::Plan,
        topology::{Family, Lab, Site},
    },
    soak::crash,
};

const PATIENT: Duration = Duration::from_secs(30);

#[test]
fn daemon_killed_at_any_point_comes_back_to_the_right_route() -> Result<()> {
    let points = crash::soak(10, 1, |point| println!("{point}"))?;
    print!("{}", crash::summary(&points));
    Ok(())
}

#[test]
fn daemon_killed_after_a_withdraw_comes_back_with_its_hold() -> Result<()> {
    let hold = Duration::from_secs(10);
    let settings = Settings {
        hold,
        hold_max: hold,
        ..Settings::fast()
    };
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let _load = lab.load(Plan::steady(400))?;
    let daemon = lab.fra1.lapwing(&settings)?;
    lab.wait_announced(Site::Fra1)?;
    daemon.wait_armed(&lab.fra1.node, PATIENT)?;
    let heard = lab.capture(Site::Fra1)?;
    lab.fra1.nginx.kill()?;
    heard.wait_for_all(&Family::withdraws(), PATIENT)?;
    // What it remembers is written within a second.
    thread::sleep(Duration::from_millis(1500));
    daemon.kill()?;
    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    let healed = Instant::now();
    let _daemon = Lapwing::start_again(&lab.fra1.node, &settings)?;
    let announced = Family::ALL.map(|family| Change::Announce(family.network()));
    heard.wait_for_all(&announced, PATIENT)?;
    let waited = healed.elapsed();
    println!("announced {waited:?} after the server was back");
    ensure!(
        waited > hold / 2,
        "the hold of {hold:?} was forgotten: {waited:?}"
    );
    Ok(())
}
