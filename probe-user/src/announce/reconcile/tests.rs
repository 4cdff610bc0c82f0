//! One prefix, case by case.

use super::{super::route::Kind, *};

pub(super) const OWN: Own = Own {
    full: 201,
    degraded: 202,
    metric: 32,
};
const FULL: Route = route(32, 201, Kind::Blackhole);
const DEGRADED: Route = route(32, 202, Kind::Blackhole);

const fn route(metric: u32, protocol: u8, kind: Kind) -> Route {
    Route {
        metric,
        protocol,
        kind,
    }
}

/// One that wants this and has read that.
pub(super) fn reconciler(wanted: Option<Level>, routes: &[Route]) -> Reconciler {
    let mut reconciler = Reconciler::new(OWN);
    if let Some(level) = wanted {
        reconciler.want(level);
    }
    reconciler.observe(routes.to_vec());
    reconciler
}

#[test]
fn an_announced_level_goes_in_place_or_not_at_all() {
    use Change::{Add, Remove, Replace};
    let make = |changes: &[Change]| Plan::Make(changes.to_vec());
    let foreign = route(32, 4, Kind::Blackhole);
    let changed = route(32, 201, Kind::Unreachable);
    let stray = route(0, 201, Kind::Blackhole);
    let full = Some(Level::Full);
    let degraded = Some(Level::Degraded);
    for (description, wanted, routes, expected) in [
        ("full and there", full, vec![FULL], Plan::Rest),
        ("full and gone", full, vec![], make(&[Add(FULL)])),
        (
            "full, degraded there: in place",
            full,
            vec![DEGRADED],
            make(&[Replace(FULL)]),
        ),
        ("degraded and there", degraded, vec![DEGRADED], Plan::Rest),
        (
            "degraded and gone",
            degraded,
            vec![],
            make(&[Add(DEGRADED)]),
        ),
        (
            "degraded, full there: in place",
            degraded,
            vec![FULL],
            make(&[Replace(DEGRADED)]),
        ),
        (
            "full, foreign at our key",
            full,
            vec![foreign],
            Plan::Blocked(foreign),
        ),
        (
            "degraded, foreign beside ours at our key",
            degraded,
            vec![FULL, foreign],
            Plan::Blocked(foreign),
        ),
        (
            "full, ours of another kind",
            full,
            vec![changed],
            make(&[Replace(FULL)]),
        ),
        (
            "full, ours of another kind behind a foreign one",
            full,
            vec![foreign, changed],
            Plan::Blocked(foreign),
        ),
        (
            "full, foreign at another metric",
            full,
            vec![route(0, 4, Kind::Unicast)],
            make(&[Add(FULL)]),
        ),
        (
            "full, ours at another metric says the same",
            full,
            vec![stray],
            make(&[Add(FULL)]),
        ),
        (
            "degraded, ours at a metric that BIRD prefers says full",
            degraded,
            vec![stray, FULL],
            make(&[Replace(DEGRADED), Remove(stray)]),
        ),
        (
            "full, both levels at our key",
            full,
            vec![FULL, DEGRADED],
            make(&[Remove(DEGRADED)]),
        ),
        (
            "full, degraded at our key and at another",
            full,
            vec![DEGRADED, route(1024, 202, Kind::Unicast)],
            make(&[Replace(FULL), Remove(route(1024, 202, Kind::Unicast))]),
        ),
    ] {
        assert_eq!(
            reconciler(wanted, &routes).plan(),
            expected,
            "{description}"
        );
    }
}

#[test]
fn a_withdraw_takes_all_of_ours_and_nothing_else() {
    let make = |routes: &[Route]| Plan::Make(routes.iter().copied().map(Change::Remove).collect());
    let foreign = route(32, 4, Kind::Blackhole);
    let stray = route(0, 201, Kind::Blackhole);
    let withdrawn = Some(Level::Withdrawn);
    for (description, wanted, routes, expected) in [
        ("nothing wanted, full", None, vec![FULL], Plan::Rest),
        ("nothing wanted, degraded", None, vec![DEGRADED], Plan::Rest),
        ("nothing wanted, nothing there", None, vec![], Plan::Rest),
        (
            "withdrawn, full there",
            withdrawn,
            vec![FULL],
            make(&[FULL]),
        ),
        (
            "withdrawn, degraded there",
            withdrawn,
            vec![DEGRADED],
            make(&[DEGRADED]),
        ),
        ("withdrawn and gone", withdrawn, vec![], Plan::Rest),
        (
            "withdrawn, only foreign",
            withdrawn,
            vec![foreign],
            Plan::Rest,
        ),
        (
            "withdrawn, ours at two metrics: metric 0 last",
            withdrawn,
            vec![stray, FULL],
            make(&[FULL, stray]),
        ),
    ] {
        assert_eq!(
            reconciler(wanted, &routes).plan(),
            expected,
            "{description}"
        );
    }
}

#[test]
fn level_is_what_bird_would_learn() {
    for (description, routes, expected) in [
        ("full", vec![FULL], Level::Full),
        ("degraded", vec![DEGRADED], Level::Degraded),
        ("nothing", vec![], Level::Withdrawn),
        (
            "ours, another kind that BIRD learns",
            vec![route(32, 201, Kind::Prohibit)],
            Level::Full,
        ),
        (
            "ours, a kind that BIRD ignores",
            vec![route(32, 201, Kind::Other(9))],
            Level::Withdrawn,
        ),
        (
            "both levels: the lower metric",
            vec![FULL, route(8, 202, Kind::Blackhole)],
            Level::Degraded,
        ),
        (
            "foreign",
            vec![route(32, 4, Kind::Blackhole)],
            Level::Withdrawn,
        ),
    ] {
        assert_eq!(reconciler(None, &routes).level(), expected, "{description}");
    }
}

#[test]
fn a_foreign_route_hides_ours_if_bird_prefers_it() {
    for (description, other, hides) in [
        ("lower metric", route(0, 4, Kind::Unicast), true),
        ("same metric", route(32, 4, Kind::Unicast), true),
        ("higher metric", route(33, 4, Kind::Unicast), false),
        ("a kind BIRD ignores", route(0, 4, Kind::Other(2)), false),
        ("a protocol BIRD ignores", route(0, 2, Kind::Unicast), false),
        ("ours of another level", route(0, 202, Kind::Unicast), false),
    ] {
        let reconciler = reconciler(Some(Level::Full), &[FULL, other]);
        assert_eq!(
            reconciler.hiding().count(),
            usize::from(hides),
            "{description}"
        );
    }
}

#[test]
fn a_fight_pauses_and_goes_on_later() {
    let mut reconciler = reconciler(Some(Level::Full), &[]);
    let at = |ms: u64| Timestamp::from_nanos(10_000_000_000 + ms * 1_000_000);
    for ms in 0..2 {
        assert_eq!(reconciler.pause(at(ms)), None, "repair {ms}");
        reconciler.repaired(at(ms));
        assert!(!reconciler.is_contended());
    }
    assert_eq!(reconciler.pause(at(10)), Some(at(1001)));
    assert!(reconciler.is_contended());
    assert_eq!(
        reconciler.plan(),
        Plan::Make(vec![Change::Add(FULL)]),
        "a fresh wish is never delayed"
    );
    assert_eq!(reconciler.pause(at(1001)), None);
    reconciler.repaired(at(1001));
    assert_eq!(reconciler.pause(at(1002)), Some(at(7001)));
    assert_eq!(reconciler.peace_at(at(7001)), Some(at(11_001)));
    assert_eq!(reconciler.peace_at(at(11_001)), None);
    assert!(!reconciler.is_contended());
}
