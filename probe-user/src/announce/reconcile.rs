//! What to do about one prefix, as a pure state machine.
//!
//! In flow the wanted level, what the kernel's table holds for the prefix, and the
//! time; out flow [`Change`]s to the table. There is no IO here, so that every
//! quarrel with another program can be tested without a kernel.
//!
//! A route is **ours** if it carries our route protocol number in our table; every
//! other one is foreign and is never touched. BIRD learns by that same number, so
//! the [`Level`] of a prefix is what stands in the table under it, whoever put it
//! there.
//!
//! ```text
//!              ours, as it should be   ours, another kind   foreign at our metric   nothing
//! full         -                       Restore              blocked                 Add
//! withdrawn    Remove                  Remove               -                       -
//! ```

use core::{fmt, time::Duration};
use std::collections::VecDeque;

use probe_core::{Level, Timestamp};

/// So many repairs of one prefix are made in any [`REPAIR_SPAN`]; then the other
/// program has its way until the span has passed.
pub const REPAIRS: usize = 10;
/// See [`REPAIRS`].
pub const REPAIR_SPAN: Duration = Duration::from_secs(1);

/// Route protocol numbers that BIRD does not learn: unspec, redirect, kernel, BIRD.
const NOT_LEARNED: [u8; 4] = [0, 1, 2, 12];

/// What makes a route ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// The route protocol number of the level `full`.
    pub protocol: u8,
    /// The metric, part of the route's key.
    pub metric: u32,
}

/// A route of a prefix in our table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its metric.
    pub metric: u32,
    /// Its route protocol number: who made it.
    pub protocol: u8,
    /// What it does with packets.
    pub kind: Kind,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            metric,
            protocol,
            kind,
        } = self;
        write!(f, "{kind} route of protocol {protocol}, metric {metric}")
    }
}

/// What a route does with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Drops them; the kind of our routes.
    Blackhole,
    /// Answers with ICMP host unreachable.
    Unreachable,
    /// Answers with ICMP administratively prohibited.
    Prohibit,
    /// Forwards them.
    Unicast,
    /// A kind that BIRD does not learn (local, throw, ...), by its number.
    Other(u8),
}

impl Kind {
    fn is_learned(self) -> bool {
        match self {
            Self::Blackhole | Self::Unreachable | Self::Prohibit | Self::Unicast => true,
            Self::Other(_) => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blackhole => f.write_str("blackhole"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Prohibit => f.write_str("prohibit"),
            Self::Unicast => f.write_str("unicast"),
            Self::Other(number) => write!(f, "type-{number}"),
        }
    }
}

/// One change of the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Add our blackhole; fails rather than overwrite.
    Add,
    /// Turn our own route of another kind back into a blackhole, in place: one
    /// UPDATE on the wire and no withdraw.
    Restore,
    /// Remove our route of this metric.
    Remove {
        /// Its metric.
        metric: u32,
    },
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: the table is as wanted, or nothing is wanted yet.
    Rest,
    /// These changes, in this order.
    Make(Vec<Change>),
    /// Nothing can be done: a foreign route holds our key.
    Blocked(Route),
    /// Another program changes the prefix again and again: not before this time.
    Wait(Timestamp),
}

/// One prefix: what is wanted and what was seen.
#[derive(Clone, Debug)]
pub struct Reconciler {
    own: Own,
    wanted: Option<Level>,
    routes: Vec<Route>,
    repairs: VecDeque<Timestamp>,
}

impl Reconciler {
    /// A prefix of which nothing is wanted and nothing is known.
    pub fn new(own: Own) -> Self {
        Self {
            own,
            wanted: None,
            routes: Vec::new(),
            repairs: VecDeque::with_capacity(REPAIRS),
        }
    }

    /// What makes a route ours.
    pub fn own(&self) -> Own {
        self.own
    }

    /// What is wanted; none before the first [`want`](Self::want).
    pub fn wanted(&self) -> Option<Level> {
        self.wanted
    }

    /// From now on this level is wanted.
    pub fn want(&mut self, level: Level) {
        self.wanted = Some(level);
    }

    /// The table was read: these are the routes of the prefix, ours and foreign.
    pub fn observe(&mut self, routes: Vec<Route>) {
        self.routes = routes;
    }

    /// Whether this route is among those seen last.
    pub fn knows(&self, route: &Route) -> bool {
        self.routes.contains(route)
    }

    /// The kernel acknowledged `change`.
    pub fn made(&mut self, change: Change) {
        let own = self.own;
        let ours_at =
            |metric| move |route: &Route| route.protocol == own.protocol && route.metric == metric;
        match change {
            Change::Add | Change::Restore => {
                let ours = ours_at(own.metric);
                self.routes.retain(|route| !ours(route));
                self.routes.push(Route {
                    metric: own.metric,
                    protocol: own.protocol,
                    kind: Kind::Blackhole,
                });
            }
            Change::Remove { metric } => {
                let ours = ours_at(metric);
                self.routes.retain(|route| !ours(route));
            }
        }
    }

    /// What the table says to BIRD.
    pub fn level(&self) -> Level {
        if self.ours().any(|route| route.kind.is_learned()) {
            Level::Full
        } else {
            Level::Withdrawn
        }
    }

    /// What is to be done for a fresh wish: never delayed.
    pub fn plan(&self) -> Plan {
        let Some(wanted) = self.wanted else {
            return Plan::Rest;
        };
        match changes(self.own, wanted, &self.routes) {
            Ok(changes) if changes.is_empty() => Plan::Rest,
            Ok(changes) => Plan::Make(changes),
            Err(foreign) => Plan::Blocked(foreign),
        }
    }

    /// What is to be done about what somebody else did: limited to [`REPAIRS`] in
    /// any [`REPAIR_SPAN`].
    pub fn repair(&mut self, now: Timestamp) -> Plan {
        let plan = self.plan();
        match plan {
            Plan::Make(_) => {}
            Plan::Rest | Plan::Blocked(_) | Plan::Wait(_) => return plan,
        }
        while let Some(oldest) = self.repairs.front() {
            let free_at = oldest.after(REPAIR_SPAN);
            if free_at <= now {
                self.repairs.pop_front();
            } else if self.repairs.len() >= REPAIRS {
                return Plan::Wait(free_at);
            } else {
                break;
            }
        }
        self.repairs.push_back(now);
        plan
    }

    /// Foreign routes because of which BIRD would not see ours: it takes the lowest
    /// metric of a prefix before it asks its import filter.
    pub fn hiding(&self) -> impl Iterator<Item = Route> + '_ {
        self.routes.iter().copied().filter(|route| {
            route.protocol != self.own.protocol
                && route.metric <= self.own.metric
                && route.kind.is_learned()
                && !NOT_LEARNED.contains(&route.protocol)
        })
    }

    fn ours(&self) -> impl Iterator<Item = &Route> {
        self.routes
            .iter()
            .filter(|route| route.protocol == self.own.protocol)
    }
}

/// The changes that lead from `routes` to `wanted`, or the foreign route that
/// forbids it.
fn changes(own: Own, wanted: Level, routes: &[Route]) -> Result<Vec<Change>, Route> {
    match wanted {
        Level::Full => {
            let at_key = || routes.iter().filter(|route| route.metric == own.metric);
            let ours = |route: &&Route| route.protocol == own.protocol;
            if at_key()
                .filter(ours)
                .any(|route| route.kind == Kind::Blackhole)
            {
                return Ok(Vec::new());
            }
            // Replacing takes the first route of the key, whoever made it.
            if let Some(foreign) = at_key().find(|route| !ours(route)) {
                return Err(*foreign);
            }
            Ok(vec![match at_key().next() {
                Some(_) => Change::Restore,
                None => Change::Add,
            }])
        }
        Level::Withdrawn => {
            let mut metrics: Vec<u32> = routes
                .iter()
                .filter(|route| route.protocol == own.protocol)
                .map(|route| route.metric)
                .collect();
            metrics.sort_unstable();
            metrics.dedup();
            // Lowest last: a removal of metric 0 names no metric to the kernel, so it
            // must be the only one left.
            Ok(metrics
                .into_iter()
                .rev()
                .map(|metric| Change::Remove { metric })
                .collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: Own = Own {
        protocol: 201,
        metric: 32,
    };
    const GOOD: Route = Route {
        metric: 32,
        protocol: 201,
        kind: Kind::Blackhole,
    };

    fn route(metric: u32, protocol: u8, kind: Kind) -> Route {
        Route {
            metric,
            protocol,
            kind,
        }
    }

    fn reconciler(wanted: Option<Level>, routes: &[Route]) -> Reconciler {
        let mut reconciler = Reconciler::new(OWN);
        if let Some(level) = wanted {
            reconciler.want(level);
        }
        reconciler.observe(routes.to_vec());
        reconciler
    }

    #[test]
    fn plans() {
        let foreign = route(32, 4, Kind::Blackhole);
        let changed = route(32, 201, Kind::Unreachable);
        let stray = route(0, 201, Kind::Blackhole);
        let full = Some(Level::Full);
        let withdrawn = Some(Level::Withdrawn);
        let remove = |metric| Change::Remove { metric };
        for (description, wanted, routes, expected) in [
            ("nothing wanted, ours there", None, vec![GOOD], Plan::Rest),
            ("nothing wanted, nothing there", None, vec![], Plan::Rest),
            ("full and there", full, vec![GOOD], Plan::Rest),
            ("full and gone", full, vec![], Plan::Make(vec![Change::Add])),
            (
                "full, foreign at our key",
                full,
                vec![foreign],
                Plan::Blocked(foreign),
            ),
            (
                "full, ours of another kind",
                full,
                vec![changed],
                Plan::Make(vec![Change::Restore]),
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
                Plan::Make(vec![Change::Add]),
            ),
            (
                "full, ours at another metric",
                full,
                vec![stray],
                Plan::Make(vec![Change::Add]),
            ),
            (
                "withdrawn and there",
                withdrawn,
                vec![GOOD],
                Plan::Make(vec![remove(32)]),
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
                vec![stray, GOOD],
                Plan::Make(vec![remove(32), remove(0)]),
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
            ("ours", vec![GOOD], Level::Full),
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
        for (description, foreign, hides) in [
            ("lower metric", route(0, 4, Kind::Unicast), true),
            ("same metric", route(32, 4, Kind::Unicast), true),
            ("higher metric", route(33, 4, Kind::Unicast), false),
            ("a kind BIRD ignores", route(0, 4, Kind::Other(2)), false),
            ("a protocol BIRD ignores", route(0, 2, Kind::Unicast), false),
        ] {
            let reconciler = reconciler(Some(Level::Full), &[GOOD, foreign]);
            assert_eq!(
                reconciler.hiding().count(),
                usize::from(hides),
                "{description}"
            );
        }
    }

    #[test]
    fn a_fight_is_limited_and_goes_on_later() {
        let mut reconciler = reconciler(Some(Level::Full), &[]);
        let at = |ms: u64| Timestamp::from_nanos(ms * 1_000_000);
        for ms in 0..10 {
            assert_eq!(
                reconciler.repair(at(ms)),
                Plan::Make(vec![Change::Add]),
                "repair {ms}"
            );
        }
        assert_eq!(reconciler.repair(at(10)), Plan::Wait(at(1000)));
        assert_eq!(reconciler.repair(at(999)), Plan::Wait(at(1000)));
        assert_eq!(reconciler.repair(at(1000)), Plan::Make(vec![Change::Add]));
        assert_eq!(reconciler.repair(at(1000)), Plan::Wait(at(1001)));
        assert_eq!(
            reconciler.plan(),
            Plan::Make(vec![Change::Add]),
            "a fresh wish is never delayed"
        );
    }

    #[test]
    fn a_table_in_order_costs_no_repairs() {
        let mut reconciler = reconciler(Some(Level::Full), &[GOOD]);
        for ms in 0..100 {
            assert_eq!(reconciler.repair(Timestamp::from_nanos(ms)), Plan::Rest);
        }
        reconciler.observe(Vec::new());
        assert_eq!(
            reconciler.repair(Timestamp::from_nanos(100)),
            Plan::Make(vec![Change::Add])
        );
    }

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
        let protocol = prop_oneof![Just(201), Just(4), Just(2)];
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
        prop_oneof![Just(Level::Full), Just(Level::Withdrawn)]
    }

    /// The kernel's table under `change`, foreign routes and all.
    fn kernel(table: &mut Vec<Route>, change: Change) {
        match change {
            Change::Add => {
                assert!(table.iter().all(|route| route.metric != 32), "EEXIST");
                table.push(GOOD);
            }
            Change::Restore => {
                let first = table.iter_mut().find(|route| route.metric == 32);
                *first.expect("ENOENT") = GOOD;
            }
            Change::Remove { metric } => {
                let before = table.len();
                table.retain(|route| route.protocol != 201 || route.metric != metric);
                assert!(table.len() < before, "ESRCH");
            }
        }
    }

    proptest! {
        #[test]
        fn changes_lead_to_the_wanted_level_and_spare_foreign_routes(
            table in tables(),
            wanted in levels(),
        ) {
            let foreign = |table: &[Route]| -> Vec<Route> {
                table.iter().copied().filter(|route| route.protocol != 201).collect()
            };
            let mut reconciler = reconciler(Some(wanted), &table);
            let mut after = table.clone();
            match reconciler.plan() {
                Plan::Rest => prop_assert_eq!(reconciler.level(), wanted),
                Plan::Blocked(route) => {
                    prop_assert_eq!(wanted, Level::Full);
                    prop_assert!(table.contains(&route) && route.protocol != 201);
                }
                Plan::Wait(_) => prop_assert!(false, "a wish waits"),
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

        #[test]
        fn nothing_is_done_before_anything_is_wanted(table in tables(), now: u32) {
            let mut reconciler = reconciler(None, &table);
            prop_assert_eq!(reconciler.repair(Timestamp::from_nanos(now.into())), Plan::Rest);
        }

        #[test]
        fn no_span_sees_more_repairs_than_the_limit(
            steps in prop::collection::vec(0..400_000_000u64, 1..200),
        ) {
            let mut reconciler = reconciler(Some(Level::Full), &[]);
            let mut now = Timestamp::default();
            let mut made = Vec::new();
            for step in steps {
                now = now.after(Duration::from_nanos(step));
                match reconciler.repair(now) {
                    Plan::Make(_) => made.push(now),
                    Plan::Wait(until) => prop_assert!(until > now),
                    Plan::Rest | Plan::Blocked(_) => prop_assert!(false),
                }
            }
            for pair in made.windows(REPAIRS + 1) {
                prop_assert!(pair[REPAIRS].since(pair[0]) >= REPAIR_SPAN);
            }
        }
    }
}
