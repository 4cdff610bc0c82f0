//! A night without clients and a crowd of ten times as many. Neither says anything
//! about the server.

use std::time::Duration;

use anyhow::{Result, ensure};
use lapwing_tests::lab::load::Plan;

use crate::stage::{RATE, answered_percent, plan, play, settings, watch_web};

/// Longer than it takes to call a service quiet.
const NIGHT: Duration = Duration::from_secs(11);

#[test]
fn a_night_and_then_a_crowd_change_nothing() -> Result<()> {
    play(|lab| {
        let (load, mut watched) = watch_web(lab, &settings())?;
        drop(load);
        for part in [2, 10] {
            let fading = lab.load(Plan {
                per_family: RATE / part,
                ..plan()
            })?;
            watched.stays_full(lab, Duration::from_secs(1))?;
            drop(fading);
        }
        watched.stays_full(lab, NIGHT)?;
        let crowd = lab.load(Plan {
            per_family: 10 * RATE,
            ..plan()
        })?;
        let percent = answered_percent(&crowd, Duration::from_secs(5))?;
        println!("{percent} % of the crowd served");
        ensure!(percent >= 50, "{percent} % of the crowd served");
        watched.stays_full(lab, Duration::from_secs(1))?;
        drop(crowd);
        let load = lab.load(plan())?;
        watched.stays_full(lab, Duration::from_secs(2))?;
        drop(load);
        Ok(())
    })
}
