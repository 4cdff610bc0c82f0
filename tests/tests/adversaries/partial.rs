//! A part of the server fails: one of its workers is gone, or half of them.
//!
//! A packet filter on the host turns down that part of the SYNs, whoever sends them,
//! so that probes meet it as clients do.

use std::time::Duration;

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    faults::nft,
    lapwing::Settings,
    topology::{Edge, Family},
};

use crate::stage::{class, play, settings, watch_web};

/// Refuses the SYNs to the web server that `chosen` matches.
fn refuse(edge: &Edge, chosen: &str) -> Result<()> {
    nft(
        &edge.node,
        &format!(
            "table inet part {{ chain part {{ type filter hook input priority 0; \
             tcp dport 80 tcp flags & (syn | ack) == syn {chosen} reject with tcp reset; }}; }}\n"
        ),
    )
}

fn heal(edge: &Edge) -> Result<()> {
    nft(&edge.node, "delete table inet part\n")
}

#[test]
fn a_tenth_that_fails_degrades_and_returns_after_healing_and_hold() -> Result<()> {
    play(|lab| {
        let (load, mut watched) = watch_web(lab, &settings())?;
        refuse(&lab.fra1, "numgen inc mod 10 == 0")?;
        for decision in watched.decisions("degraded", Duration::from_secs(20))? {
            println!("degraded: {}", decision.text("sentence"));
            ensure!(class(&decision) == "grey", "{decision:?}");
        }
        std::thread::sleep(Duration::from_secs(3));
        watched.nothing_more()?;
        heal(&lab.fra1)?;
        watched.decisions("full", Duration::from_secs(30))?;
        watched.nothing_more()?;
        drop(load);
        Ok(())
    })
}

/// With patience the same: what is refused goes on.
#[test]
fn half_that_fails_is_withdrawn_in_both_profiles() -> Result<()> {
    for profile in [Settings::fast(), Settings::new()] {
        let settings = Settings {
            // Half of the probes pass, too: no short hold is to end it.
            hold: Duration::from_secs(30),
            hold_max: Duration::from_secs(30),
            arm_after: settings().arm_after,
            ..profile
        };
        play(|lab| {
            let (_load, mut watched) = watch_web(lab, &settings)?;
            refuse(&lab.fra1, "numgen random mod 2 == 0")?;
            for family in Family::ALL {
                let decision = watched.decision(family, "withdrawn", Duration::from_secs(20))?;
                println!("{}: {}", settings.profile, decision.text("sentence"));
            }
            heal(&lab.fra1)
        })?;
    }
    Ok(())
}
