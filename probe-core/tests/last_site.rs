//! A prefix is not withdrawn where nobody else announces it: what the guard does with
//! what it hears, and what becomes of hosts that fail at the same instant.
#![expect(clippy::unwrap_used, reason = "a broken test world should panic")]

mod common;

use std::{collections::BTreeMap, time::Duration};

use common::{Answer, MS, ProbeAnswer, SECOND, World, config, http};
use probe_core::{
    Config, Input, Level, Timestamp,
    command::{Cause, Guard},
    config::{LastSite, PrefixId, Race},
    input::{Directive, Order},
    status::Standing,
    witness::{Heard, Other},
};
use proptest::prelude::*;

const PREFIX: PrefixId = PrefixId(0);
const ROUND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

fn guarded(goes_first: bool) -> Config {
    let mut config = config(1);
    config.prefixes[0].last_site = LastSite::Hold(Race {
        goes_first,
        round: ROUND,
    });
    config
}

fn other(site: &str, heard: Heard) -> Other {
    Other {
        site: site.into(),
        host: "edge2".into(),
        is_neighbour: site == "fra1",
        heard,
    }
}

fn at(level: Level) -> Heard {
    Heard::Level(level)
}

fn stale() -> Heard {
    Heard::Stale("BIRD does not answer".into())
}

fn hear(world: &mut World, others: Vec<Other>) {
    world.handle(Input::Witness {
        prefix: PREFIX,
        others,
    });
}

fn kill(world: &mut World) {
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
}

/// What was commanded since the fault, and how long after the first of it.
fn levels(world: &World) -> Vec<(Level, Duration)> {
    let changes = world.levels_set();
    let Some((first, ..)) = changes.first() else {
        return Vec::new();
    };
    let since = |at: Timestamp| at.since(*first);
    changes
        .iter()
        .map(|(at, _, level, _)| (*level, since(*at)))
        .collect()
}

/// What is heard, whether this host goes first, and the levels and the guard that follow.
type Case = (&'static str, bool, Vec<Other>, (Vec<Level>, Option<Guard>));

#[test]
fn what_is_heard_decides_what_a_dead_service_leads_to() {
    use Level::{Degraded, Full, Withdrawn};

    let held = |guard| (vec![Degraded], Some(guard));
    let waits = || (vec![Degraded, Withdrawn], None);
    let cases: Vec<Case> = vec![
        (
            "another site is full",
            false,
            vec![other("ams1", at(Full))],
            waits(),
        ),
        (
            "another site is full, and this one goes first",
            true,
            vec![other("ams1", at(Full))],
            (vec![Withdrawn], None),
        ),
        (
            "a neighbour is full",
            false,
            vec![other("fra1", at(Full)), other("ams1", at(Withdrawn))],
            waits(),
        ),
        (
            "only a neighbour is full: who goes first waits, too",
            true,
            vec![other("fra1", at(Full)), other("ams1", at(Degraded))],
            waits(),
        ),
        (
            "the others are withdrawn",
            true,
            vec![other("fra1", at(Withdrawn)), other("ams1", at(Withdrawn))],
            held(Guard::LastSite),
        ),
        (
            "another site is degraded",
            true,
            vec![other("ams1", at(Degraded))],
            held(Guard::LastSite),
        ),
        (
            "nobody can say",
            true,
            vec![other("ams1", stale())],
            held(Guard::WitnessStale),
        ),
        (
            "one of two can say, and is full",
            false,
            vec![other("ams1", at(Full)), other("lon1", stale())],
            waits(),
        ),
        (
            "one of two can say, and is withdrawn",
            false,
            vec![other("ams1", at(Withdrawn)), other("lon1", stale())],
            held(Guard::WitnessStale),
        ),
        (
            "nobody was ever heard",
            true,
            Vec::new(),
            held(Guard::LastSite),
        ),
    ];
    for (description, goes_first, others, (expected, guard)) in cases {
        let mut world = World::healthy(guarded(goes_first));
        hear(&mut world, others.clone());
        kill(&mut world);
        world.run(10 * SECOND);
        let changes = levels(&world);
        let found: Vec<Level> = changes.iter().map(|(level, _)| *level).collect();
        assert_eq!(found, expected, "{description}");
        assert_eq!(world.prefix().held_by, guard, "{description}");
        assert_eq!(
            world.holds().contains(&Guard::LastSite)
                || world.holds().contains(&Guard::WitnessStale),
            guard.is_some(),
            "{description}: {:?}",
            world.holds()
        );
        if let [_, (_, waited)] = changes[..] {
            assert!(
                (ROUND..ROUND + 100 * MS).contains(&waited),
                "{description}: {waited:?}"
            );
        }
        let (.., reason) = world.levels_set().pop().unwrap();
        assert_eq!(reason.others, others, "{description}");
        assert_eq!(
            reason.guards.contains(&Guard::LastSite),
            guard.is_none(),
            "{description}: passed {:?}",
            reason.guards
        );
    }
}

#[test]
fn without_the_guard_nothing_waits_for_others() {
    for last_site in [LastSite::Allow, LastSite::Unwitnessed] {
        let mut config = config(1);
        config.prefixes[0].last_site = last_site;
        let mut world = World::healthy(config);
        hear(&mut world, vec![other("ams1", at(Level::Withdrawn))]);
        kill(&mut world);
        world.run(5 * SECOND);
        assert_eq!(world.causes(), [(Level::Withdrawn, Cause::LiveTrials)]);
    }
}

#[test]
fn who_is_held_withdraws_when_another_is_full_again() {
    let mut world = World::healthy(guarded(false));
    hear(&mut world, vec![other("ams1", at(Level::Degraded))]);
    kill(&mut world);
    world.run(20 * SECOND);
    assert_eq!(world.prefix().wanted, Some(Level::Degraded));
    hear(&mut world, vec![other("ams1", at(Level::Full))]);
    assert_eq!(
        world.prefix().wanted,
        Some(Level::Withdrawn),
        "it was degraded for a round"
    );
}

#[test]
fn who_is_held_is_full_again_when_the_service_is_well() {
    let mut world = World::healthy(guarded(false));
    hear(&mut world, vec![other("ams1", at(Level::Withdrawn))]);
    kill(&mut world);
    world.run(20 * SECOND);
    assert_eq!(world.prefix().wanted, Some(Level::Degraded));
    world.heal(0);
    let (took, level, reason) = world.run_until_change(3 * MINUTE).unwrap();
    assert_eq!((level, reason.cause), (Level::Full, Cause::Recovered));
    assert!(took >= MINUTE, "after the hold: {took:?}");
}

#[test]
fn who_waits_is_held_when_the_refuge_goes() {
    for heard in [at(Level::Degraded), at(Level::Withdrawn), stale()] {
        let mut world = World::healthy(guarded(false));
        hear(&mut world, vec![other("ams1", at(Level::Full))]);
        kill(&mut world);
        let (_, level, _) = world.run_until_change(SECOND).unwrap();
        assert_eq!(level, Level::Degraded);
        world.run(ROUND / 2);
        hear(&mut world, vec![other("ams1", heard)]);
        assert_eq!(world.run_until_change(20 * SECOND), None);
    }
}

#[test]
fn who_is_withdrawn_comes_back_when_all_others_are_gone() {
    let mut world = World::healthy(guarded(true));
    hear(&mut world, vec![other("ams1", at(Level::Full))]);
    kill(&mut world);
    world.run(5 * SECOND);
    assert_eq!(world.prefix().wanted, Some(Level::Withdrawn));
    // Stale, degraded, or not for a whole round: no reason to come back.
    for heard in [
        stale(),
        at(Level::Degraded),
        at(Level::Withdrawn),
        at(Level::Full),
    ] {
        hear(&mut world, vec![other("ams1", heard)]);
        world.run(ROUND / 2);
        world.run(
            if world.prefix().others[0].level() == Some(Level::Withdrawn) {
                Duration::ZERO
            } else {
                5 * SECOND
            },
        );
        assert_eq!(world.prefix().wanted, Some(Level::Withdrawn));
    }
    hear(&mut world, vec![other("ams1", at(Level::Withdrawn))]);
    let (took, level, reason) = world.run_until_change(5 * SECOND).unwrap();
    assert_eq!((level, reason.cause), (Level::Degraded, Cause::LastSite));
    assert!((ROUND..ROUND + 50 * MS).contains(&took), "{took:?}");
    assert_eq!(world.run_until_change(3 * MINUTE), None, "it stays so");
    assert_eq!(world.prefix().standing, Standing::Impaired);
    assert_eq!(world.prefix().held_by, Some(Guard::LastSite));
    world.heal(0);
    let (_, level, _) = world.run_until_change(3 * MINUTE).unwrap();
    assert_eq!(level, Level::Full);
}

#[test]
fn flaps_are_forgiven_for_the_time_before_the_wait() {
    let mut world = World::healthy(guarded(false));
    world.clients[0].rate = 100;
    world.tick = 20 * MS;
    hear(&mut world, vec![other("ams1", at(Level::Full))]);
    for _ in 0..3 {
        kill(&mut world);
        world.run(20 * SECOND);
        assert_eq!(world.prefix().wanted, Some(Level::Withdrawn));
        world.heal(0);
        let (took, ..) = world.run_until_change(5 * MINUTE).unwrap();
        assert!(took < 70 * SECOND, "the hold does not grow: {took:?}");
        world.run(25 * MINUTE);
    }
}

#[test]
fn traffic_that_another_host_takes_is_no_failure() {
    let expected = |world: &World| world.engine.services()[0].expected_per_second;
    let mut world = World::healthy(guarded(false));
    hear(&mut world, vec![other("ams1", at(Level::Withdrawn))]);
    assert!(expected(&world).is_some(), "the first news changes nothing");
    hear(&mut world, vec![other("ams1", stale())]);
    assert!(expected(&world).is_some());
    hear(&mut world, vec![other("ams1", at(Level::Full))]);
    // Half of the clients leave, and what is left fails in part: no second leg.
    world.fail(0, Answer::ServesOneIn(4), ProbeAnswer::Passes);
    world.run(30 * SECOND);
    assert_eq!(world.levels_set(), []);
    assert!(
        world.holds().contains(&Guard::SecondLeg),
        "{:?}",
        world.holds()
    );
}

fn drain(world: &mut World, force: bool) {
    let directive = Directive {
        by: "root".into(),
        why: String::new(),
        until: None,
        force,
    };
    world.handle(Input::Operator(Order::Drain {
        prefix: PREFIX,
        directive,
    }));
}

#[test]
fn a_drain_ends_withdrawn_only_where_another_announces() {
    for (drain_time, force, heard, expected) in [
        (30, false, at(Level::Full), Level::Withdrawn),
        (30, false, at(Level::Degraded), Level::Degraded),
        (30, false, stale(), Level::Degraded),
        (30, true, at(Level::Withdrawn), Level::Withdrawn),
        (0, false, at(Level::Full), Level::Withdrawn),
        (0, false, at(Level::Withdrawn), Level::Degraded),
        (0, true, stale(), Level::Withdrawn),
    ] {
        let mut config = guarded(false);
        config.prefixes[0].drain = Duration::from_secs(drain_time);
        let mut world = World::healthy(config);
        hear(&mut world, vec![other("ams1", heard.clone())]);
        drain(&mut world, force);
        world.run(40 * SECOND);
        let case = format!("{drain_time} s, force {force}, {heard:?}");
        assert_eq!(world.prefix().wanted, Some(expected), "{case}");
        assert_eq!(world.prefix().standing, Standing::Drained, "{case}");
        hear(&mut world, vec![other("ams1", at(Level::Full))]);
        assert_eq!(world.prefix().wanted, Some(Level::Withdrawn), "{case}");
        world.handle(Input::Operator(Order::Undrain { prefix: PREFIX }));
        world.run(SECOND);
        assert_eq!(world.prefix().wanted, Some(Level::Full), "{case}");
    }
}

/// Hosts of several sites that hear each other late.
struct Sites {
    worlds: Vec<World>,
    /// What each said last.
    said: Vec<Level>,
    /// What each has heard of each.
    heard: Vec<Vec<Level>>,
    /// News on their way: when they arrive, in order, by from and to.
    news: BTreeMap<(Timestamp, u64), (usize, usize, Level)>,
    /// When the last news of each link arrive: none overtakes another.
    last: BTreeMap<(usize, usize), Timestamp>,
    /// The delays of the next news, again and again.
    delays: Vec<Duration>,
    sent: u64,
}

impl Sites {
    const STEP: Duration = Duration::from_millis(10);

    fn new(count: usize, first: Option<usize>, delays: Vec<Duration>) -> Self {
        let worlds = (0..count)
            .map(|index| {
                let mut config = guarded(first == Some(index));
                http(&mut config);
                let mut world = World::new(config);
                world.tick = Self::STEP;
                world.clients[0].rate = 0;
                world.route(0, Level::Full);
                world
            })
            .collect();
        let mut sites = Self {
            worlds,
            said: vec![Level::Full; count],
            heard: vec![vec![Level::Full; count]; count],
            news: BTreeMap::new(),
            last: BTreeMap::new(),
            delays,
            sent: 0,
        };
        for to in 0..count {
            sites.tell(to);
        }
        sites.run(5 * SECOND);
        sites
    }

    fn tell(&mut self, to: usize) {
        let others = (0..self.worlds.len())
            .filter(|from| *from != to)
            .map(|from| other(&format!("site{from}"), at(self.heard[to][from])))
            .collect();
        hear(&mut self.worlds[to], others);
    }

    fn out(&self) -> usize {
        let out = |world: &&World| world.levels[0] == Some(Level::Withdrawn);
        self.worlds.iter().filter(out).count()
    }

    /// Lets time pass; the longest stretch in which all were out.
    fn run(&mut self, time: Duration) -> Duration {
        let mut longest = Duration::ZERO;
        let mut dark = Duration::ZERO;
        for _ in 0..time.as_millis() / Self::STEP.as_millis() {
            for world in &mut self.worlds {
                world.run(Self::STEP);
            }
            self.exchange();
            dark = if self.out() == self.worlds.len() {
                dark + Self::STEP
            } else {
                Duration::ZERO
            };
            longest = longest.max(dark);
        }
        longest
    }

    fn exchange(&mut self) {
        let now = self.worlds[0].now;
        for from in 0..self.worlds.len() {
            let level = self.worlds[from].levels[0].unwrap();
            if self.said[from] == level {
                continue;
            }
            self.said[from] = level;
            for to in (0..self.worlds.len()).filter(|to| *to != from) {
                let delay = self.delays[usize::try_from(self.sent).unwrap() % self.delays.len()];
                let last = self.last.entry((from, to)).or_default();
                *last = now.after(delay).max(*last);
                self.news.insert((*last, self.sent), (from, to, level));
                self.sent += 1;
            }
        }
        while let Some(entry) = self.news.first_entry()
            && entry.key().0 <= now
        {
            let (from, to, level) = entry.remove();
            self.heard[to][from] = level;
            self.tell(to);
        }
    }

    /// All services die, each after this time.
    fn die(&mut self, after: &[u64]) -> Duration {
        let mut longest = Duration::ZERO;
        let mut order: Vec<(u64, usize)> = after.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut passed = 0;
        for (at, index) in order {
            longest = longest.max(self.run(Duration::from_millis(at - passed)));
            passed = at;
            kill(&mut self.worlds[index]);
        }
        longest.max(self.run(60 * SECOND))
    }
}

fn site_count_and_first() -> impl Strategy<Value = (usize, Option<usize>)> {
    (2_usize..4).prop_flat_map(|count| (Just(count), prop::option::of(0..count)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// With delays below half a round not for a moment, whoever fails when.
    #[test]
    fn sites_that_fail_together_are_never_all_out(
        (count, first) in site_count_and_first(),
        delays in prop::collection::vec(0_u64..480, 1..12),
        deaths in prop::collection::vec(0_u64..4000, 3),
    ) {
        let delays = delays.into_iter().map(Duration::from_millis).collect();
        let mut sites = Sites::new(count, first, delays);
        let dark = sites.die(&deaths[..count]);
        prop_assert_eq!(dark, Duration::ZERO);
        prop_assert!(sites.out() < count);
    }

    /// With delays far above it for no longer than that and a round, and never at rest.
    #[test]
    fn sites_that_hear_late_are_not_all_out_at_rest(
        (count, first) in site_count_and_first(),
        delays in prop::collection::vec(0_u64..10_000, 1..12),
        deaths in prop::collection::vec(0_u64..4000, 3),
    ) {
        let longest = Duration::from_millis(*delays.iter().max().unwrap());
        let delays = delays.into_iter().map(Duration::from_millis).collect();
        let mut sites = Sites::new(count, first, delays);
        let dark = sites.die(&deaths[..count]);
        prop_assert!(dark <= longest + ROUND + 5 * Sites::STEP, "dark for {dark:?}");
        prop_assert!(sites.out() < count);
    }
}
