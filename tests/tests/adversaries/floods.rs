//! SYN floods from sources that do not exist. To move one to the next site is no
//! remedy, so the site keeps its route: because nothing fails where SYN cookies
//! answer, and because it is overload where they are off and the backlog is full.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    flood::{Stream, syn},
    topology::{Family, Lab},
    wait_until,
};

use crate::stage::{PATIENT, answered_percent, play, settings, watch_web};

/// Floods the web server's addresses.
fn flood(lab: &Lab, per_second: u32) -> Result<[Stream; 2]> {
    let [v4, v6] = Family::ALL.map(|family| {
        let service = SocketAddr::new(family.service(), 80);
        Stream::start(&lab.clients, service.ip(), per_second, move |random| {
            syn(service, random)
        })
    });
    Ok([v4?, v6?])
}

#[test]
fn spoofed_syns_that_cookies_answer_change_nothing() -> Result<()> {
    play(|lab| {
        let (load, mut watched) = watch_web(lab, &settings())?;
        let flood = flood(lab, 20_000)?;
        let percent = answered_percent(&load, Duration::from_secs(4))?;
        watched.stays_full(lab, Duration::ZERO)?;
        for stream in flood {
            let sent = stream.finish()?;
            println!("{sent} spoofed SYNs sent; {percent} % of the clients served");
            ensure!(sent > 10_000, "no flood: {sent}");
        }
        ensure!(percent >= 90, "{percent} % of the clients served");
        watched.stays_full(lab, Duration::from_secs(2))
    })
}

#[test]
fn exhausted_backlog_is_absorbed_while_a_part_is_served() -> Result<()> {
    play(|lab| {
        let knobs = [
            ("net.core.somaxconn", "256", "4096"),
            ("net.ipv4.tcp_syncookies", "0", "1"),
            ("net.ipv4.tcp_synack_retries", "0", "5"),
        ];
        lab.fra1.nginx.kill()?;
        lab.fra1
            .node
            .sysctl(&knobs.map(|(name, low, _)| (name, low)))?;
        lab.fra1.nginx.start_again(&lab.fra1.node)?;
        let (load, mut watched) = watch_web(lab, &settings())?;
        let flood = flood(lab, 600)?;
        // Long enough for all that would degrade.
        let percent = answered_percent(&load, Duration::from_secs(8))?;
        println!("{percent} % of the clients served");
        wait_until("overload holds", PATIENT, || {
            watched.was_held("overload", "connect")
        })?;
        watched.stays_full(lab, Duration::ZERO)?;
        ensure!(percent >= 20, "{percent} % of the clients served");
        drop(flood);
        drop(load);
        drop(watched);
        lab.fra1.nginx.kill()?;
        lab.fra1
            .node
            .sysctl(&knobs.map(|(name, _, usual)| (name, usual)))?;
        lab.fra1.nginx.start_again(&lab.fra1.node).map(drop)
    })
}
