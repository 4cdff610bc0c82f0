//! Other programs' routes stay as they are, and are reported where they matter.

use probe_core::Level;
use probe_user::announce::Error;

use crate::namespace::*;

#[test]
fn a_foreign_route_in_our_place_is_spared_and_ours_returns_after_it() {
    in_namespace(async || {
        let (announcer, mut observations) = start_announced().await;
        for (prefix, net, family) in [(V4, NET4, "-4"), (V6, NET6, "-6")] {
            ip(&format!(
                "{family} route replace blackhole {net} table 4242 proto static metric 32"
            ));
            expect(&mut observations, prefix, Level::Withdrawn).await;
            until("the conflict reported", || conflicts(&announcer).len() == 1).await;
            let conflict = conflicts(&announcer).remove(0);
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
            until("the conflict over", || conflicts(&announcer).is_empty()).await;
            assert_eq!(table(), [OURS4, OURS6]);
        }
    });
}

#[test]
fn a_change_of_level_never_overwrites_a_route_that_came_just_before() {
    in_namespace(async || {
        let (announcer, mut observations) = start_announced().await;
        for round in 0..50 {
            for (prefix, net, family) in [(V4, NET4, "-4"), (V6, NET6, "-6")] {
                let foreign = format!("{net} table 4242 proto static metric 32");
                ip(&format!("{family} route replace blackhole {foreign}"));
                let level = if round % 2 == 0 {
                    Level::Degraded
                } else {
                    Level::Full
                };
                let error = announcer.set(prefix, level).await.unwrap_err();
                assert!(matches!(error, Error::Foreign { .. }), "{error}");
                ip(&format!("{family} route del {foreign}"));
                expect(&mut observations, prefix, Level::Withdrawn).await;
                announcer.set(prefix, level).await.unwrap();
                expect(&mut observations, prefix, level).await;
            }
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
            conflicts(&announcer),
            [""; 0],
            "a higher metric hides nothing"
        );

        ip(&format!(
            "route add blackhole {NET4} table 4242 proto static"
        ));
        ip(&format!(
            "-6 route add blackhole {NET6} table 4242 proto static metric 8"
        ));
        until("both reported", || conflicts(&announcer).len() == 2).await;
        for conflict in conflicts(&announcer) {
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
        until("no conflict", || conflicts(&announcer).is_empty()).await;
    });
}
