//! Thousands of prefixes, and thousands of other programs' changes.

use std::{
    fs,
    net::IpAddr,
    process::Command,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use ipnet::IpNet;
use probe_core::{Level, config::PrefixId};
use probe_user::announce::{Announcer, Observation};
use tokio::sync::mpsc::Receiver;

use crate::namespace::*;

const MANY: u32 = 10_000;
/// What the machine of a test may cost at most; a quiet one needs a tenth of it.
const LOOSE: Duration = Duration::from_secs(5);

/// As many prefixes of each family.
fn prefixes(count: u32) -> Vec<IpNet> {
    (0..count)
        .map(|index| {
            let (address, length): (IpAddr, u8) = if index % 2 == 0 {
                ((0x0a00_0000 + (index << 4)).to_be_bytes().into(), 28)
            } else {
                let network = 0x2001_0db8_0000_0000_0000_u128 + u128::from(index);
                ((network << 48).to_be_bytes().into(), 80)
            };
            IpNet::new(address, length).unwrap()
        })
        .collect()
}

async fn start_many() -> (Announcer, Receiver<Observation>) {
    let (announcer, mut observations) = Announcer::start(options(prefixes(MANY))).await.unwrap();
    for id in 0..MANY {
        expect(&mut observations, PrefixId(id), Level::Withdrawn).await;
    }
    (announcer, observations)
}

/// Wishes of all prefixes at once, and how long they took.
async fn set_all(announcer: &Announcer, level: Level) -> Duration {
    let start = Instant::now();
    let results = join_all((0..MANY).map(|id| announcer.set(PrefixId(id), level))).await;
    let took = start.elapsed();
    for result in results {
        result.unwrap();
    }
    println!("{MANY} prefixes {level} in the kernel after {took:?}");
    took
}

/// Each prefix must come to this level.
async fn expect_all(observations: &mut Receiver<Observation>, level: Level) {
    let mut levels = vec![None; MANY as usize];
    while levels.iter().any(|seen| *seen != Some(level)) {
        let observation = tokio::time::timeout(LOOSE, observations.recv())
            .await
            .expect("an observation")
            .expect("the announcer lives");
        levels[observation.prefix.0 as usize] = Some(observation.observed);
    }
}

#[test]
fn ten_thousand_prefixes_change_their_level_at_one_command() {
    in_namespace(async || {
        let (announcer, mut observations) = start_many().await;
        for (level, protocol) in [
            (Level::Full, "proto 201"),
            (Level::Degraded, "proto 202"),
            (Level::Full, "proto 201"),
            (Level::Withdrawn, ""),
        ] {
            assert!(set_all(&announcer, level).await < LOOSE);
            expect_all(&mut observations, level).await;
            let routes = table();
            match level {
                Level::Full | Level::Degraded => assert_eq!(routes.len(), MANY as usize),
                Level::Withdrawn => assert_eq!(routes, [""; 0]),
            }
            assert!(routes.iter().all(|route| route.contains(protocol)));
        }
        expect_silence(&mut observations).await;
        assert_eq!(conflicts(&announcer), [""; 0]);
    });
}

#[test]
fn one_wish_does_not_wait_for_ten_thousand_repairs() {
    in_namespace(async || {
        let (announcer, mut observations) = start_many().await;
        set_all(&announcer, Level::Full).await;
        expect_all(&mut observations, Level::Full).await;
        ip("link set lo down"); // takes every IPv6 route
        let mut longest = Duration::ZERO;
        let start = Instant::now();
        for round in 0.. {
            let level = if round % 2 == 0 {
                Level::Withdrawn
            } else {
                Level::Full
            };
            let asked = Instant::now();
            announcer.set(PrefixId(0), level).await.unwrap();
            longest = longest.max(asked.elapsed());
            if level == Level::Full && table().len() == MANY as usize {
                break;
            }
            assert!(start.elapsed() < 2 * LOOSE, "{} routes", table().len());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!(
            "repaired within {:?}; a wish meanwhile took {longest:?}",
            start.elapsed()
        );
        assert!(longest < Duration::from_secs(1), "{longest:?}");
    });
}

#[test]
fn a_flushed_table_of_ten_thousand_fills_again() {
    in_namespace(async || {
        let (announcer, mut observations) = start_many().await;
        set_all(&announcer, Level::Full).await;
        expect_all(&mut observations, Level::Full).await;
        let start = Instant::now();
        for family in ["-4", "-6"] {
            // `ip` flushes again and again until it finds the table empty.
            let _ = Command::new("ip")
                .args([family, "route", "flush", "table", "4242"])
                .output()
                .expect("ip (iproute2) runs");
        }
        while table().len() < MANY as usize {
            assert!(start.elapsed() < 4 * LOOSE, "{} routes", table().len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("flushed and filled again within {:?}", start.elapsed());
        let mut last = vec![Level::Full; MANY as usize];
        while let Ok(observation) = observations.try_recv() {
            last[observation.prefix.0 as usize] = observation.observed;
        }
        assert!(last.iter().all(|level| *level == Level::Full));
    });
}

/// Ten thousand routes that are none of ours, with one deletion of ours among them.
fn burst() -> Vec<String> {
    let mut lines: Vec<String> = (0..10_000u32)
        .map(|index| {
            let address = IpAddr::from((0x0a00_0000 + index).to_be_bytes());
            format!("route add blackhole {address} table 4242 proto static")
        })
        .collect();
    lines.insert(5_000, format!("route del {NET4} table 4242"));
    lines
}

#[test]
fn a_burst_of_other_routes_does_not_hide_a_deletion() {
    in_namespace(async || {
        let (_announcer, mut observations) = start_announced().await;
        ip_batch(&burst());
        expect(&mut observations, V4, Level::Withdrawn).await;
        expect(&mut observations, V4, Level::Full).await;
        assert!(table().contains(&OURS4.to_owned()));
        assert_eq!(table().len(), 10_002);
    });
}

#[test]
fn a_deletion_whose_event_was_lost_is_found_by_reading() {
    in_namespace(async || {
        let mut options = options(vec![NET4.parse().unwrap(), NET6.parse().unwrap()]);
        options.event_buffer_bytes = 1;
        let (announcer, mut observations) = Announcer::start(options).await.unwrap();
        for level in [Level::Withdrawn, Level::Full] {
            for prefix in [V4, V6] {
                announcer.set(prefix, level).await.unwrap();
                expect(&mut observations, prefix, level).await;
            }
        }
        for net in [NET4, NET6] {
            let mut lines = burst();
            lines[5_000] = format!("route del {net} table 4242");
            ip_batch(&lines);
            until("the route back", || {
                let routes = table();
                routes.contains(&OURS4.to_owned()) && routes.contains(&OURS6.to_owned())
            })
            .await;
            let delete = |line: &String| line.replace("route add", "route del");
            lines.remove(5_000);
            ip_batch(&lines.iter().map(delete).collect::<Vec<_>>());
        }
        let sockets = fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
        let lost: u32 = sockets
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().nth(8)?.parse::<u32>().ok())
            .sum();
        println!("{lost} events were lost");
        assert!(lost > 0, "{sockets}");
    });
}
