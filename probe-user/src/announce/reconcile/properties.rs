//! One prefix against any table that a kernel can hold.

use proptest::prelude::*;

use super::{
    super::route::Kind,
    tests::{OWN, reconciler},
    *,
};

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Blackhole),
        Just(Kind::Unreachable),
        Just(Kind::Prohibit),
        Just(Kind::Unicast),
        Just(Kind::Other(2)),
    ]
}

/// A table as the kernel allows it after additions without "exclusive": several
/// routes may share a metric.
fn tables() -> impl Strategy<Value = Vec<Route>> {
    let metric = prop_oneof![Just(0), Just(32), Just(1024)];
    let protocol = prop_oneof![Just(201), Just(202), Just(4), Just(2)];
    prop::collection::vec(
        (metric, protocol, kinds()).prop_map(|(metric, protocol, kind)| Route {
            metric,
            protocol,
            kind,
        }),
        0..5,
    )
}

fn levels() -> impl Strategy<Value = Level> {
    prop_oneof![
        Just(Level::Full),
        Just(Level::Degraded),
        Just(Level::Withdrawn)
    ]
}

/// The kernel's table under `change`: what it would refuse, and foreign routes that
/// would go, are a failure.
fn kernel(table: &mut Vec<Route>, change: Change) {
    match change {
        Change::Add(added) => {
            assert!(
                table.iter().all(|route| route.metric != added.metric),
                "EEXIST"
            );
            table.push(added);
        }
        Change::Replace(new) => {
            let first = table.iter_mut().find(|route| route.metric == new.metric);
            let first = first.expect("ENOENT");
            assert!(OWN.made(first), "another program's {first} was replaced");
            *first = new;
        }
        Change::Remove(removed) => {
            // Metric 0 names none: the first route of the number goes.
            let first = table.iter().position(|route| {
                route.protocol == removed.protocol
                    && (removed.metric == 0 || route.metric == removed.metric)
            });
            let gone = table.remove(first.expect("ESRCH"));
            assert_eq!(gone.metric, removed.metric, "another one went");
        }
    }
}

fn foreign(table: &[Route]) -> Vec<Route> {
    table
        .iter()
        .copied()
        .filter(|route| !OWN.made(route))
        .collect()
}

proptest! {
    #[test]
    fn changes_lead_to_the_wanted_level_and_spare_foreign_routes(
        mut table in tables(),
        wanted in levels(),
    ) {
        table.sort_by_key(|route| route.metric);
        let mut reconciler = reconciler(Some(wanted), &table);
        let mut after = table.clone();
        match reconciler.plan() {
            Plan::Rest => prop_assert_eq!(reconciler.level(), wanted),
            Plan::Blocked(route) => {
                prop_assert_ne!(wanted, Level::Withdrawn);
                prop_assert!(table.contains(&route) && !OWN.made(&route));
            }
            Plan::Make(changes) => {
                for change in changes {
                    kernel(&mut after, change);
                    reconciler.made(change);
                }
                prop_assert_eq!(reconciler.level(), wanted);
                prop_assert_eq!(reconciler.plan(), Plan::Rest);
                reconciler.observe(after.clone());
                prop_assert_eq!(reconciler.level(), wanted);
                prop_assert_eq!(reconciler.plan(), Plan::Rest);
                prop_assert_eq!(foreign(&after), foreign(&table));
            }
        }
    }

    /// From one announced level to the other the table says one of the two at every
    /// step: no withdraw on the wire. Alone in its table, it is a single change.
    #[test]
    fn a_change_between_announced_levels_never_withdraws(
        mut table in tables(),
        (from, to) in prop_oneof![
            Just((Level::Full, Level::Degraded)),
            Just((Level::Degraded, Level::Full)),
        ],
        alone: bool,
    ) {
        let standing = OWN.route_at(from).expect("announced");
        if alone {
            table.clear();
        }
        table.retain(|route| route.metric != standing.metric);
        table.push(standing);
        table.sort_by_key(|route| route.metric);
        let mut reconciler = reconciler(Some(to), &table);
        let Plan::Make(changes) = reconciler.plan() else {
            return Err(TestCaseError::fail("nothing to change"));
        };
        prop_assert_eq!(changes[0], Change::Replace(OWN.route_at(to).expect("announced")));
        prop_assert!(!alone || changes.len() == 1);
        for change in changes {
            kernel(&mut table, change);
            reconciler.made(change);
            prop_assert_ne!(reconciler.level(), Level::Withdrawn);
        }
        prop_assert_eq!(reconciler.level(), to);
    }

    #[test]
    fn nothing_is_done_before_anything_is_wanted(table in tables()) {
        prop_assert_eq!(reconciler(None, &table).plan(), Plan::Rest);
    }
}
