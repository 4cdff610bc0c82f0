//! Levels are set, adopted and told.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use probe_core::{Level, Timestamp, config::PrefixId};
use probe_user::announce::Error;

use crate::namespace::*;

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
        assert_eq!(conflicts(&announcer), [""; 0]);
        let error = announcer.set(PrefixId(2), Level::Full).await.unwrap_err();
        assert!(matches!(error, Error::UnknownPrefix(PrefixId(2))));
    });
}

#[test]
fn a_change_between_full_and_degraded_is_one_replacement() {
    in_namespace(async || {
        let (announcer, mut observations) = start_announced().await;
        let monitor = Monitor::start().await;
        for level in [Level::Degraded, Level::Full, Level::Degraded] {
            for prefix in [V4, V6] {
                announcer.set(prefix, level).await.unwrap();
                announcer.set(prefix, level).await.unwrap();
                expect(&mut observations, prefix, level).await;
            }
        }
        expect_silence(&mut observations).await;
        assert_eq!(table(), [DEGRADED4, DEGRADED6]);
        // A deletion would be printed as "Deleted ...".
        let seen: Vec<String> = monitor
            .seen()
            .await
            .iter()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let proto = words.iter().position(|word| *word == "proto").unwrap();
                format!("{} {} {}", words[0], words[1], words[proto + 1])
            })
            .collect();
        let expected: Vec<String> = [202, 201, 202]
            .iter()
            .flat_map(|proto| [NET4, NET6].map(|net| format!("blackhole {net} {proto}")))
            .collect();
        assert_eq!(seen, expected);

        for prefix in [V4, V6] {
            announcer.set(prefix, Level::Withdrawn).await.unwrap();
            expect(&mut observations, prefix, Level::Withdrawn).await;
        }
        assert_eq!(table(), [""; 0]);
        announcer.set(V4, Level::Degraded).await.unwrap();
        assert_eq!(table(), [DEGRADED4], "degraded is a first level, too");
    });
}

#[test]
fn a_restart_adopts_what_stands_and_changes_nothing() {
    in_namespace(async || {
        let (announcer, mut observations) = start_announced().await;
        announcer.set(V6, Level::Degraded).await.unwrap();
        expect(&mut observations, V6, Level::Degraded).await;
        drop((announcer, observations));
        let monitor = Monitor::start().await;

        assert_eq!(
            table(),
            [OURS4, DEGRADED6],
            "the routes outlive the announcer"
        );
        let (announcer, mut observations) = start().await;
        for (prefix, level) in [(V4, Level::Full), (V6, Level::Degraded)] {
            expect(&mut observations, prefix, level).await;
            announcer.set(prefix, level).await.unwrap();
        }
        expect_silence(&mut observations).await;
        assert_eq!(monitor.seen().await, [""; 0]);
    });
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
fn a_kept_level_is_repaired_until_a_wish_says_otherwise() {
    in_namespace(async || {
        ip(&format!("route add {DEGRADED4} table 4242"));
        let (announcer, mut observations) = start().await;
        expect(&mut observations, V4, Level::Degraded).await;
        expect(&mut observations, V6, Level::Withdrawn).await;
        announcer.keep(V4, Level::Degraded);
        // It went between the observation and the wish to keep it.
        announcer.keep(V6, Level::Full);
        expect(&mut observations, V6, Level::Full).await;
        ip(&format!("route del {NET4} table 4242"));
        expect(&mut observations, V4, Level::Withdrawn).await;
        expect(&mut observations, V4, Level::Degraded).await;
        announcer.set(V6, Level::Withdrawn).await.unwrap();
        expect(&mut observations, V6, Level::Withdrawn).await;
        announcer.keep(V6, Level::Full);
        expect_silence(&mut observations).await;
        assert_eq!(table(), [DEGRADED4]);
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
            .args([
                "--exact",
                "levels::a_refusal_of_the_kernel_is_told_with_its_remedy",
            ])
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
                assert!(conflicts(&announcer).contains(&error.to_string()));
            }
            announcer.set(V4, Level::Full).await.unwrap();
            until("one conflict over", || conflicts(&announcer).len() == 1).await;
            expect_silence(&mut observations).await;
        });
}
