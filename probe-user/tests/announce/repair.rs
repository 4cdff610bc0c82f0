//! What others take away or change comes back.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use probe_core::Level;
use probe_user::announce::conflict::ConflictKind;

use crate::namespace::*;

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
fn a_level_changed_by_somebody_else_is_changed_back_in_place() {
    in_namespace(async || {
        let (announcer, mut observations) = start_announced().await;
        announcer.set(V6, Level::Degraded).await.unwrap();
        expect(&mut observations, V6, Level::Degraded).await;
        for (prefix, change, wrong, right) in [
            (
                V4,
                format!("-4 route replace blackhole {NET4} table 4242 proto 202 metric 32"),
                Level::Degraded,
                Level::Full,
            ),
            (
                V6,
                format!("-6 route replace blackhole {NET6} table 4242 proto 201 metric 32"),
                Level::Full,
                Level::Degraded,
            ),
            // BIRD would take the lower metric.
            (
                V4,
                format!("-4 route add blackhole {NET4} table 4242 proto 202 metric 8"),
                Level::Degraded,
                Level::Full,
            ),
        ] {
            ip(&change);
            expect(&mut observations, prefix, wrong).await;
            expect(&mut observations, prefix, right).await;
            assert_eq!(table(), [OURS4, DEGRADED6], "{change}");
        }
        expect_silence(&mut observations).await;
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

#[test]
fn a_fight_pauses_and_is_reported_once() {
    in_namespace(async || {
        let (announcer, mut observations) = start_announced().await;
        let mut changes = announcer.conflicts();
        changes.mark_unchanged();
        let start = Instant::now();
        let mut repairs = 0;
        while start.elapsed() < Duration::from_millis(2500) {
            ip(&format!("route del {NET4} table 4242"));
            expect(&mut observations, V4, Level::Withdrawn).await;
            let left = Duration::from_millis(2500).saturating_sub(start.elapsed());
            match tokio::time::timeout(left, observations.recv()).await {
                Ok(observation) => {
                    assert_eq!(
                        observation.expect("the announcer lives").observed,
                        Level::Full
                    );
                    repairs += 1;
                }
                Err(_) => break,
            }
        }
        assert_eq!(
            repairs, 3,
            "two at once, one after a second, the next after six"
        );
        assert!(changes.has_changed().unwrap());
        let standing = changes.borrow_and_update().to_vec();
        assert_eq!(standing.len(), 1);
        assert_eq!(standing[0].kind, ConflictKind::Contended);
        for word in [NET4, "again and again", "ip -ts monitor route"] {
            assert!(
                standing[0].sentence.contains(word),
                "{}",
                standing[0].sentence
            );
        }
        // A fresh wish does not wait, and the other prefix is not touched by it.
        announcer.set(V4, Level::Degraded).await.unwrap();
        expect(&mut observations, V4, Level::Degraded).await;
        ip(&format!("-6 route del {NET6} table 4242"));
        expect(&mut observations, V6, Level::Withdrawn).await;
        expect(&mut observations, V6, Level::Full).await;
        assert_eq!(table(), [DEGRADED4, OURS6]);
    });
}

#[test]
fn a_dead_prefix_that_somebody_announces_goes_again_within_a_second() {
    in_namespace(async || {
        let (announcer, mut observations) = start_announced().await;
        announcer.set(V4, Level::Withdrawn).await.unwrap();
        expect(&mut observations, V4, Level::Withdrawn).await;
        for _ in 0..5 {
            ip(&format!("route add {OURS4} table 4242"));
            let there = expect(&mut observations, V4, Level::Full).await;
            let gone = expect(&mut observations, V4, Level::Withdrawn).await;
            assert!(gone.since(there) < Duration::from_millis(1500));
        }
    });
}
