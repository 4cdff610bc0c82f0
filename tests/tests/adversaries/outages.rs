//! The whole server fails, in ways that a check from the host itself sees late, or
//! not at all.

use std::time::Duration;

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    faults::nft,
    lapwing::{Settings, web, web_with},
    topology::{Family, Lab, Site},
};

use crate::{
    slow::Slow,
    stage::{PATIENT, Watched, play, settings, watch_web},
};

/// Over IPv4 the probe only connects, which the kernel of a hanging server goes on to
/// answer; over IPv6 it asks for a page.
fn one_probe_is_blind(family: Family) -> String {
    match family {
        Family::V4 => web_with(family, r#"{ interval = "500ms", timeout = "500ms" }"#),
        Family::V6 => web(family),
    }
}

#[test]
fn a_hang_behind_a_live_backlog_is_withdrawn_and_returns_after_the_hold() -> Result<()> {
    play(|lab| {
        let settings = Settings {
            services: one_probe_is_blind,
            ..settings()
        };
        let (_load, mut watched) = watch_web(lab, &settings)?;
        lab.fra1.nginx.freeze()?;
        let [v4, v6] = watched.decisions("withdrawn", Duration::from_secs(20))?;
        println!(
            "hang: {}\nhang: {}",
            v4.text("sentence"),
            v6.text("sentence")
        );
        ensure!(
            v4.0["reason"]["kind"] == "request" && v4.0["reason"]["second_leg"]["rate"].is_object(),
            "{v4:?}"
        );
        returns(lab, &mut watched)
    })
}

/// Ends the hang; both prefixes come back.
fn returns(lab: &Lab, watched: &mut Watched) -> Result<()> {
    lab.fra1.nginx.thaw()?;
    let [v4, v6] = watched.decisions("full", Duration::from_secs(20))?;
    println!(
        "back: {}\nback: {}",
        v4.text("sentence"),
        v6.text("sentence")
    );
    ensure!(
        v4.text("cause") == "retry",
        "a blind probe ends nothing: {v4:?}"
    );
    ensure!(v6.text("cause") == "recovered", "{v6:?}");
    lab.wait_announced(Site::Fra1)?;
    watched.nothing_more()
}

/// The packet filter of the host itself, which its own probes meet, too.
#[test]
fn packets_that_the_host_drops_in_either_direction_are_withdrawn() -> Result<()> {
    play(|lab| {
        let (_load, mut watched) = watch_web(lab, &settings())?;
        for (hook, port) in [("input", "dport"), ("output", "sport")] {
            nft(
                &lab.fra1.node,
                &format!(
                    "table inet wall {{ chain wall {{ type filter hook {hook} priority 0; \
                     tcp {port} 80 drop; }}; }}\n"
                ),
            )?;
            for decision in watched.decisions("withdrawn", Duration::from_secs(20))? {
                println!("{hook}: {}", decision.text("sentence"));
            }
            nft(&lab.fra1.node, "delete table inet wall\n")?;
            watched.decisions("full", Duration::from_secs(20))?;
            watched.nothing_more()?;
            watched.daemon.wait_armed(&lab.fra1.node, PATIENT)?;
        }
        Ok(())
    })
}

#[test]
fn answers_beyond_the_deadline_are_withdrawn() -> Result<()> {
    play(|lab| {
        lab.fra1.nginx.kill()?;
        let server = Slow::start(&lab.fra1.node)?;
        let settings = Settings {
            services: one_probe_is_blind,
            ..settings()
        };
        let (_load, mut watched) = watch_web(lab, &settings)?;
        server.set_delay(Duration::from_millis(1500));
        let [v4, v6] = watched.decisions("withdrawn", Duration::from_secs(20))?;
        println!(
            "slow: {}\nslow: {}",
            v4.text("sentence"),
            v6.text("sentence")
        );
        ensure!(v4.0["reason"]["kind"] == "request", "{v4:?}");
        server.set_delay(Duration::ZERO);
        watched.decisions("full", Duration::from_secs(20))?;
        drop(server);
        lab.fra1.nginx.start_again(&lab.fra1.node).map(drop)
    })
}
