//! Other prefixes while route control runs.

use probe_core::{Level, config::PrefixId};

use crate::namespace::*;

const OTHER: &str = "198.51.100.0/24";
const OTHER_ROUTE: &str = "blackhole 198.51.100.0/24 proto 201 metric 32";

#[test]
fn a_prefix_that_comes_is_told_and_one_that_goes_stays_as_it_stands() {
    in_namespace(async || {
        let (announcer, mut observations) = start_announced().await;
        ip(&format!("route add {OTHER_ROUTE} table 4242"));
        let (net4, net6, other) = (
            NET4.parse().unwrap(),
            NET6.parse().unwrap(),
            OTHER.parse().unwrap(),
        );

        // Another one, and another order: numbers are for good.
        let numbers = announcer.own(&[other, net6]);
        assert_eq!(numbers, [PrefixId(2), V6]);
        expect(&mut observations, PrefixId(2), Level::Full).await;
        expect_silence(&mut observations).await;
        assert!(table().contains(&OURS4.to_owned()), "{:?}", table());
        announcer.set(PrefixId(2), Level::Withdrawn).await.unwrap();
        expect(&mut observations, PrefixId(2), Level::Withdrawn).await;
        assert_eq!(table(), [OURS4, OURS6]);

        // What is no longer owned is not repaired, and nothing is told of it.
        ip(&format!("route del {NET4} table 4242"));
        expect_silence(&mut observations).await;
        assert_eq!(table(), [OURS6]);

        // What comes back begins with an observation, and is nobody's at first.
        assert_eq!(announcer.own(&[net4, net6]), [V4, V6]);
        expect(&mut observations, V4, Level::Withdrawn).await;
        expect_silence(&mut observations).await;
        assert_eq!(table(), [OURS6]);
        announcer.set(V4, Level::Full).await.unwrap();
        assert_eq!(table(), [OURS4, OURS6]);
    });
}

#[test]
fn what_is_let_go_is_watched_and_not_repaired_until_the_next_wish() {
    in_namespace(async || {
        let (announcer, mut observations) = start_announced().await;
        announcer.let_go(V4);
        expect_silence(&mut observations).await;
        ip(&format!("route del {NET4} table 4242"));
        expect(&mut observations, V4, Level::Withdrawn).await;
        expect_silence(&mut observations).await;
        assert_eq!(table(), [OURS6]);
        announcer.keep(V4, Level::Full);
        expect(&mut observations, V4, Level::Full).await;
        assert_eq!(table(), [OURS4, OURS6]);
    });
}
