//! Route control against a real kernel and a real quarrelling neighbour (`ip`), in
//! anonymous network namespaces: nothing of the host changes, nothing is left.
//!
//! Each test runs in a thread that has left the host's network namespace for a
//! fresh one; the announcer's thread and the `ip` processes inherit it.
#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers may panic like its tests"
)]

use std::{
    future::Future,
    io::Write,
    net::IpAddr,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};
use probe_core::{Level, Timestamp, config::PrefixId};
use probe_user::announce::{Announcer, Error, Observation, Options};
use tokio::sync::mpsc::Receiver;

const V4: PrefixId = PrefixId(0);
const V6: PrefixId = PrefixId(1);
const NET4: &str = "192.0.2.0/24";
const NET6: &str = "2001:db8::/32";
const OURS4: &str = "blackhole 192.0.2.0/24 proto 201 metric 32";
const OURS6: &str = "blackhole 2001:db8::/32 dev lo proto 201 metric 32 pref medium";

/// Runs a test in a network namespace of its own.
fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: network namespaces need root");
        return;
    }
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        ip("link set lo up");
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(test());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `ip` in this thread's namespace.
fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .expect("ip (iproute2) runs");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The routes of our table, both families, sorted.
fn table() -> Vec<String> {
    let mut routes: Vec<String> = ["-4", "-6"]
        .iter()
        .flat_map(|family| {
            // A table that never had a route is an error to `ip`.
            let output = Command::new("ip")
                .args([family, "route", "show", "table", "4242"])
                .output()
                .expect("ip (iproute2) runs");
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(|line| line.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    routes.sort();
    routes
}

async fn start() -> (Announcer, Receiver<Observation>) {
    Announcer::start(Options {
        table: 4242,
        protocol_full: 201,
        protocol_degraded: 202,
        metric: 32,
        prefixes: vec![NET4.parse().unwrap(), NET6.parse().unwrap()],
    })
    .await
    .expect("route control starts")
}

/// Starts, passes over the first observations, and announces both prefixes.
async fn start_announced() -> (Announcer, Receiver<Observation>) {
    let (announcer, mut observations) = start().await;
    for prefix in [V4, V6] {
        expect(&mut observations, prefix, Level::Withdrawn).await;
    }
    for prefix in [V4, V6] {
        announcer.set(prefix, Level::Full).await.unwrap();
        expect(&mut observations, prefix, Level::Full).await;
    }
    (announcer, observations)
}

/// The next observation must be this one.
async fn expect(
    observations: &mut Receiver<Observation>,
    prefix: PrefixId,
    observed: Level,
) -> Timestamp {
    let observation = tokio::time::timeout(Duration::from_secs(3), observations.recv())
        .await
        .unwrap_or_else(|_| panic!("no observation; expected {prefix:?} {observed}"))
        .expect("the announcer lives");
    assert_eq!(
        (observation.prefix, observation.observed),
        (prefix, observed)
    );
    observation.at
}

async fn expect_silence(observations: &mut Receiver<Observation>) {
    let next = tokio::time::timeout(Duration::from_millis(100), observations.recv()).await;
    assert!(next.is_err(), "unexpected {next:?}");
}

/// Waits until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(3), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn levels_are_set_in_both_families() {
    in_namespace(async || {
        let (announcer, mut observations) = start().await;
        for prefix in [V4, V6] {
            expect(&mut observations, prefix, Level::Withdrawn).await;
        }
        announcer.set(V4, Level::Full).await.unwrap();
        assert_eq!(table(), [OURS4]);
        announcer.set(V6, Level::Full).await.unwrap();
        announcer.set(V6, Level::Full).await.unwrap();
        assert_eq!(table(), [OURS4, OURS6]);
        announcer.set(V4, Level::Withdrawn).await.unwrap();
        assert_eq!(table(), [OURS6]);
        announcer.set(V6, Level::Withdrawn).await.unwrap();
        announcer.set(V6, Level::Withdrawn).await.unwrap();
        assert_eq!(table(), [""; 0]);

        let mut last = Timestamp::default();
        for (prefix, level) in [
            (V4, Level::Full),
            (V6, Level::Full),
            (V4, Level::Withdrawn),
            (V6, Level::Withdrawn),
        ] {
            let at = expect(&mut observations, prefix, level).await;
            assert!(at > last);
            last = at;
        }
        expect_silence(&mut observations).await;
        assert_eq!(announcer.conflicts(), [""; 0]);
        let error = announcer.set(PrefixId(2), Level::Full).await.unwrap_err();
        assert!(matches!(error, Error::UnknownPrefix(PrefixId(2))));
    });
}

#[test]
fn a_restart_adopts_what_stands_and_changes_nothing() {
    in_namespace(async || {
        let (announcer, observations) = start_announced().await;
        drop((announcer, observations));
        let monitor = Command::new("ip")
            .args(["monitor", "route"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip monitor");
        let mut monitor = EndOnDrop(monitor);
        tokio::time::sleep(Duration::from_millis(100)).await;

        assert_eq!(table(), [OURS4, OURS6], "the routes outlive the announcer");
        let (announcer, mut observations) = start().await;
        for prefix in [V4, V6] {
            expect(&mut observations, prefix, Level::Full).await;
            announcer.set(prefix, Level::Full).await.unwrap();
        }
        expect_silence(&mut observations).await;

        monitor.0.kill().expect("ip monitor ends");
        let mut seen = String::new();
        std::io::Read::read_to_string(monitor.0.stdout.as_mut().unwrap(), &mut seen).unwrap();
        assert_eq!(seen, "");
    });
}

/// Ends a child process with the test, however that ends.
struct EndOnDrop(std::process::Child);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nothing_is_enforced_before_the_first_wish() {
    in_namespace(async || {
        ip(&format!("route add {OURS4} table 4242"));
        let (announcer, mut observations) = start().await;
        expect(&mut observations, V4, Level::Full).await;
        expect(&mut observations, V6, Level::Withdrawn).await;
        ip(&format!("route del {NET4} table 4242"));
        expect(&mut observations, V4, Level::Withdrawn).await;
        ip(&format!(
            "-6 route add blackhole {NET6} table 4242 proto 201 metric 32"
        ));
        expect(&mut observations, V6, Level::Full).await;
        expect_silence(&mut observations).await;
        assert_eq!(table(), [OURS6]);
        announcer.set(V6, Level::Withdrawn).await.unwrap();
        assert_eq!(table(), [""; 0]);
    });
}

#[test]
fn a_deleted_route_comes_back_and_is_reported() {
    in_namespace(async || {
        let (_announcer, mut observations) = start_announced().await;
        for (prefix, delete) in [
            (V4, format!("-4 route del {NET4} table 4242")),
            (V6, format!("-6 route del {NET6} table 4242")),
        ] {
            ip(&delete);
            let gone = expect(&mut observations, prefix, Level::Withdrawn).await;
            let back = expect(&mut observations, prefix, Level::Full).await;
            assert!(back.since(gone) < Duration::from_millis(100));
        }
        assert_eq!(table(), [OURS4, OURS6]);
        expect_silence(&mut observations).await;
    });
}

#[test]
fn a_withdrawn_route_that_somebody_adds_goes_again() {
    in_namespace(async || {
        let (announcer, mut observations) = start_announced().await;
        for prefix in [V4, V6] {
            announcer.set(prefix, Level::Withdrawn).await.unwrap();
            expect(&mut observations, prefix, Level::Withdrawn).await;
        }
        // Of our protocol at any metric: BIRD would learn it.
        for (prefix, add) in [
            (V4, format!("route add {OURS4} table 4242")),
            (
                V4,
                format!("route add blackhole {NET4} table 4242 proto 201"),
            ),
            (
                V6,
                format!("-6 route add unreachable {NET6} table 4242 proto 201"),
            ),
        ] {
            ip(&add);
            expect(&mut observations, prefix, Level::Full).await;
            expect(&mut observations, prefix, Level::Withdrawn).await;
            assert_eq!(table(), [""; 0], "{add}");
        }
    });
}

#[test]
fn a_flushed_table_fills_again() {
    in_namespace(async || {
        let (_announcer, mut observations) = start_announced().await;
        for (family, prefix) in [("-4", V4), ("-6", V6)] {
            // `ip` flushes again and again until it finds the table empty.
            let _ = Command::new("ip")
                .args([family, "route", "flush", "table", "4242"])
                .output()
                .expect("ip (iproute2) runs");
            expect(&mut observations, prefix, Level::Withdrawn).await;
            until("the routes back", || table() == [OURS4, OURS6]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut last = Level::Withdrawn;
            while let Ok(observation) = observations.try_recv() {
                assert_eq!(observation.prefix, prefix);
                assert_ne!(observation.observed, last);
                last = observation.observed;
            }
            assert_eq!(last, Level::Full);
        }
        assert_eq!(table(), [OURS4, OURS6]);
    });
}

#[test]
fn a_route_changed_to_another_kind_is_restored_in_place() {
    in_namespace(async || {
        let (_announcer, mut observations) = start_announced().await;
        ip(&format!(
            "route replace unreachable {NET4} table 4242 proto 201 metric 32"
        ));
        until("the IPv4 route restored", || table() == [OURS4, OURS6]).await;
        ip(&format!(
            "route replace {NET4} dev lo table 4242 proto 201 metric 32"
        ));
        until("the IPv4 route restored", || table() == [OURS4, OURS6]).await;
        ip(&format!(
            "-6 route replace unreachable {NET6} table 4242 proto 201 metric 32"
        ));
        until("the IPv6 route restored", || table() == [OURS4, OURS6]).await;
        ip(&format!(
            "-6 route replace {NET6} dev lo table 4242 proto 201 metric 32"
        ));
        until("the IPv6 route restored", || table() == [OURS4, OURS6]).await;
        // BIRD learns these kinds too: for it the prefix was announced throughout.
        expect_silence(&mut observations).await;
    });
}

#[test]
fn a_foreign_route_in_our_place_is_spared_and_ours_returns_after_it() {
    in_namespace(async || {
        let (announcer, mut observations) = start_announced().await;
        for (prefix, net, family) in [(V4, NET4, "-4"), (V6, NET6, "-6")] {
            ip(&format!(
                "{family} route replace blackhole {net} table 4242 proto static metric 32"
            ));
            expect(&mut observations, prefix, Level::Withdrawn).await;
            until("the conflict reported", || announcer.conflicts().len() == 1).await;
            let conflict = announcer.conflicts().remove(0);
            for word in [net, "4242", "protocol 4", "ip route del"] {
                assert!(conflict.contains(word), "{conflict}");
            }
            let error = announcer.set(prefix, Level::Full).await.unwrap_err();
            assert!(matches!(error, Error::Foreign { .. }), "{error}");
            announcer.set(prefix, Level::Withdrawn).await.unwrap();
            let error = announcer.set(prefix, Level::Full).await.unwrap_err();
            assert!(matches!(error, Error::Foreign { .. }), "{error}");
            assert!(
                table().iter().any(|route| route.contains("proto static")),
                "the foreign route stays: {:?}",
                table()
            );
            expect_silence(&mut observations).await;

            ip(&format!(
                "{family} route del {net} table 4242 proto static metric 32"
            ));
            expect(&mut observations, prefix, Level::Full).await;
            until("the conflict over", || announcer.conflicts().is_empty()).await;
            assert_eq!(table(), [OURS4, OURS6]);
        }
    });
}

#[test]
fn foreign_routes_are_left_alone_and_reported_if_they_hide_ours() {
    in_namespace(async || {
        let foreign = [
            "blackhole 192.0.2.0/24 proto static metric 100",
            "blackhole 198.51.100.0/24 proto 201 metric 32",
        ];
        for route in foreign {
            ip(&format!("route add {route} table 4242"));
        }
        let (announcer, mut observations) = start().await;
        expect(&mut observations, V4, Level::Withdrawn).await;
        announcer.set(V4, Level::Full).await.unwrap();
        assert_eq!(
            announcer.conflicts(),
            [""; 0],
            "a higher metric hides nothing"
        );

        ip(&format!(
            "route add blackhole {NET4} table 4242 proto static"
        ));
        ip(&format!(
            "-6 route add blackhole {NET6} table 4242 proto static metric 8"
        ));
        until("both reported", || announcer.conflicts().len() == 2).await;
        for conflict in announcer.conflicts() {
            assert!(conflict.contains("hides"), "{conflict}");
        }
        announcer.set(V6, Level::Full).await.unwrap();
        for prefix in [V4, V6] {
            announcer.set(prefix, Level::Withdrawn).await.unwrap();
        }
        assert_eq!(
            table(),
            [
                "blackhole 192.0.2.0/24 proto static",
                foreign[0],
                foreign[1],
                "blackhole 2001:db8::/32 dev lo proto static metric 8 pref medium",
            ]
        );
        ip("-4 route flush table 4242");
        ip("-6 route flush table 4242");
        until("no conflict", || announcer.conflicts().is_empty()).await;
    });
}

#[test]
fn the_ipv6_route_survives_the_loopback_going_down() {
    in_namespace(async || {
        let (_announcer, mut observations) = start_announced().await;
        ip("link set lo down");
        expect(&mut observations, V6, Level::Withdrawn).await;
        expect(&mut observations, V6, Level::Full).await;
        assert_eq!(table(), [OURS4, OURS6]);
        ip("link set lo up");
        expect_silence(&mut observations).await;
        assert_eq!(table(), [OURS4, OURS6]);
    });
}

/// Set in the process of [`a_refusal_of_the_kernel_is_told_with_its_remedy`] that
/// lacks the capability.
const WITHOUT_NET_ADMIN: &str = "LAPWING_TEST_WITHOUT_NET_ADMIN";

#[test]
fn a_refusal_of_the_kernel_is_told_with_its_remedy() {
    if std::env::var_os(WITHOUT_NET_ADMIN).is_some() {
        return without_net_admin();
    }
    in_namespace(async || {
        ip(&format!("route add {OURS4} table 4242"));
        let output = Command::new("setpriv")
            .args(["--bounding-set", "-net_admin"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "a_refusal_of_the_kernel_is_told_with_its_remedy"])
            .env(WITHOUT_NET_ADMIN, "1")
            .output()
            .expect("setpriv (util-linux) runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        assert_eq!(table(), [OURS4]);
    });
}

fn without_net_admin() {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async {
            let (announcer, mut observations) = start().await;
            expect(&mut observations, V4, Level::Full).await;
            expect(&mut observations, V6, Level::Withdrawn).await;
            for (prefix, level) in [(V4, Level::Withdrawn), (V6, Level::Full)] {
                let error = announcer.set(prefix, level).await.unwrap_err();
                assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
                assert!(announcer.conflicts().contains(&error.to_string()));
            }
            announcer.set(V4, Level::Full).await.unwrap();
            until("one conflict over", || announcer.conflicts().len() == 1).await;
            expect_silence(&mut observations).await;
        });
}

#[test]
fn a_fight_is_limited_reported_and_won_in_the_end() {
    in_namespace(async || {
        let (announcer, mut observations) = start_announced().await;
        let start = Instant::now();
        let mut repairs = 0;
        let mut reported = false;
        while start.elapsed() < Duration::from_millis(1500) {
            ip(&format!("route del {NET4} table 4242"));
            expect(&mut observations, V4, Level::Withdrawn).await;
            until("the route back", || {
                reported |= announcer
                    .conflicts()
                    .iter()
                    .any(|conflict| conflict.contains("as fast as"));
                table().len() == 2
            })
            .await;
            expect(&mut observations, V4, Level::Full).await;
            repairs += 1;
        }
        assert!(reported);
        assert!(
            (11..=30).contains(&repairs),
            "{repairs} repairs in 1.5 s and up to one more"
        );
        until("the fight is over", || announcer.conflicts().is_empty()).await;
        assert_eq!(table(), [OURS4, OURS6]);
    });
}

#[test]
fn a_burst_of_other_routes_does_not_hide_a_deletion() {
    in_namespace(async || {
        let (_announcer, mut observations) = start_announced().await;
        let mut batch: Vec<String> = (0..10_000u32)
            .map(|index| {
                let address = IpAddr::from((0x0a00_0000 + index).to_be_bytes());
                format!("route add blackhole {address} table 4242 proto static")
            })
            .collect();
        batch.insert(5_000, format!("route del {NET4} table 4242"));
        let batch = batch.join("\n");
        let mut child = Command::new("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("ip -batch");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(batch.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success());
        expect(&mut observations, V4, Level::Withdrawn).await;
        expect(&mut observations, V4, Level::Full).await;
        assert!(table().contains(&OURS4.to_owned()));
        assert_eq!(table().len(), 10_002);
    });
}

#[test]
fn a_level_reaches_the_kernel_quickly() {
    in_namespace(async || {
        let (announcer, mut observations) = start_announced().await;
        let mut took = Vec::new();
        for round in 0..200 {
            let level = if round % 2 == 0 {
                Level::Withdrawn
            } else {
                Level::Full
            };
            for prefix in [V4, V6] {
                let start = Instant::now();
                announcer.set(prefix, level).await.unwrap();
                took.push(start.elapsed());
                expect(&mut observations, prefix, level).await;
            }
        }
        took.sort();
        let (median, last) = (took[took.len() / 2], took[took.len() - 1]);
        println!("set: median {median:?}, longest {last:?}");
        assert!(median < Duration::from_millis(2), "{median:?}");
    });
}

#[test]
fn a_thousand_prefixes_are_kept() {
    in_namespace(async || {
        let prefixes: Vec<IpNet> = (0..1000u32)
            .map(|index| {
                let address = IpAddr::from((0xc612_0000 + index * 16).to_be_bytes());
                IpNet::new(address, 28).unwrap()
            })
            .collect();
        let (announcer, mut observations) = Announcer::start(Options {
            table: 4242,
            protocol_full: 201,
            protocol_degraded: 202,
            metric: 32,
            prefixes,
        })
        .await
        .unwrap();
        for id in 0..1000 {
            expect(&mut observations, PrefixId(id), Level::Withdrawn).await;
            announcer.set(PrefixId(id), Level::Full).await.unwrap();
        }
        assert_eq!(table().len(), 1000);
        ip("route flush table 4242");
        until("all are back", || table().len() == 1000).await;
    });
}
