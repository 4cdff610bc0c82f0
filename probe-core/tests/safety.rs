//! What must hold whatever happens: random lives of two services behind two prefixes,
//! with an operator who orders at random and a sensor that fails.
#![expect(clippy::unwrap_used, reason = "a broken test world should panic")]

mod common;

use std::{collections::BTreeMap, time::Duration};

use common::{Answer, MS, ProbeAnswer, SECOND, World, config};
use probe_core::{
    Config, Input, Level, Reason, Timestamp,
    command::Cause,
    config::{LastSite, Mode, Prefix, PrefixId, ProbeKind, Race, ServiceId, WithdrawWhen},
    input::{Directive, Order, ProbeFailure, Sensor},
    witness::{Heard, Other},
};
use proptest::prelude::*;

const HOLD: Duration = Duration::from_secs(5);
const LOWERINGS: u32 = 3;
const ROUND: Duration = Duration::from_secs(1);

/// One thing that happens, and for how long it lasts.
#[derive(Clone, Debug)]
enum Act {
    Serve(usize, Answer, ProbeAnswer),
    Rate(usize, u64),
    Sensor(bool),
    Order(Order),
    /// What is heard of a neighbour and of another site about a prefix.
    Heard(PrefixId, [Heard; 2]),
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => Just(Answer::Accepts),
        2 => Just(Answer::Refuses),
        2 => Just(Answer::Silent),
        1 => Just(Answer::Aborted),
        1 => Just(Answer::AcceptsUnverified),
        2 => (2_usize..20).prop_map(Answer::FailsOneIn),
        1 => (2_usize..20).prop_map(Answer::ServesOneIn),
    ]
}

fn probe() -> impl Strategy<Value = ProbeAnswer> {
    prop_oneof![
        3 => Just(ProbeAnswer::Passes),
        2 => Just(ProbeAnswer::refused()),
        1 => Just(ProbeAnswer::Fails(ProbeFailure::Timeout, 100 * MS)),
        1 => (2_u64..12).prop_map(ProbeAnswer::FailsOneIn),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    let prefix = || (0_u32..2).prop_map(PrefixId);
    let level = prop::sample::select(vec![Level::Full, Level::Degraded, Level::Withdrawn]);
    // The world's clock begins at about 5,000 seconds.
    let until = || prop::option::of((5_000_u64..5_100).prop_map(|s| s * 1_000_000_000));
    let directive = || {
        (until(), any::<bool>()).prop_map(|(until, force)| Directive {
            by: "root".into(),
            why: String::new(),
            until: until.map(Timestamp::from_nanos),
            force,
        })
    };
    prop_oneof![
        1 => (prefix(), level, directive()).prop_map(|(prefix, level, directive)| Order::Pin {
            prefix,
            level,
            directive
        }),
        2 => prefix().prop_map(|prefix| Order::Unpin { prefix }),
        1 => (prefix(), directive()).prop_map(|(prefix, directive)| Order::Drain { prefix, directive }),
        2 => prefix().prop_map(|prefix| Order::Undrain { prefix }),
        1 => directive().prop_map(|directive| Order::Freeze { directive }),
        2 => Just(Order::Thaw),
    ]
}

fn heard() -> impl Strategy<Value = Heard> {
    prop_oneof![
        2 => Just(Heard::Level(Level::Full)),
        1 => Just(Heard::Level(Level::Degraded)),
        2 => Just(Heard::Level(Level::Withdrawn)),
        1 => Just(Heard::Stale("no session".into())),
    ]
}

fn act() -> impl Strategy<Value = (Act, u64)> {
    let act = prop_oneof![
        6 => (0_usize..2, answer(), probe())
            .prop_map(|(service, answer, probe)| Act::Serve(service, answer, probe)),
        2 => (0_usize..2, prop::sample::select(vec![0_u64, 20, 200, 2000]))
            .prop_map(|(service, rate)| Act::Rate(service, rate)),
        1 => any::<bool>().prop_map(Act::Sensor),
        2 => order().prop_map(Act::Order),
        3 => ((0_u32..2).prop_map(PrefixId), [heard(), heard()])
            .prop_map(|(prefix, heard)| Act::Heard(prefix, heard)),
    ];
    (act, 1_u64..8000)
}

/// Two services, each behind a prefix of its own.
fn two(canary: bool) -> Config {
    let mut config = config(2);
    config.recover.hold = HOLD;
    config.recover.hold_max = 4 * HOLD;
    config.recover.canary = canary;
    config.guards.lowerings_per_hour = LOWERINGS;
    config.prefixes = (0..2)
        .map(|index: u8| Prefix {
            prefix: format!("192.0.{index}.0/24").parse().unwrap(),
            withdraw_when: WithdrawWhen::Any,
            services: vec![ServiceId(u32::from(index))],
            drain: SECOND,
            last_site: LastSite::Unwitnessed,
        })
        .collect();
    config
}

fn play(world: &mut World, act: &Act) {
    match act.clone() {
        Act::Serve(service, answer, probe) => world.fail(service, answer, probe),
        Act::Rate(service, rate) => world.clients[service].rate = rate,
        Act::Sensor(attached) => {
            world.sensor = if attached {
                Sensor::Attached
            } else {
                Sensor::Detached("no hook".into())
            };
            world.handle(Input::Sensor(world.sensor.clone()));
        }
        Act::Order(order) => world.handle(Input::Operator(order)),
        Act::Heard(prefix, heard) => world.handle(Input::Witness {
            prefix,
            others: others(heard),
        }),
    }
}

fn others([neighbour, site]: [Heard; 2]) -> Vec<Other> {
    [(true, neighbour), (false, site)]
        .into_iter()
        .map(|(is_neighbour, heard)| Other {
            site: if is_neighbour { "fra1" } else { "ams1" }.into(),
            host: "edge2".into(),
            is_neighbour,
            heard,
        })
        .collect()
}

/// The world as it was when the engine decided.
#[derive(Clone, Debug, Default)]
struct Standing {
    orders: Vec<Order>,
    blind: bool,
    /// What was heard about each prefix; none where that does not matter.
    heard: Option<BTreeMap<PrefixId, [Heard; 2]>>,
}

fn pinned(standing: &Standing, prefix: PrefixId) -> Option<Level> {
    standing.orders.iter().find_map(|order| match order {
        Order::Pin {
            prefix: of, level, ..
        } if *of == prefix => Some(*level),
        _ => None,
    })
}

fn is_drained(standing: &Standing, prefix: PrefixId) -> bool {
    let drains = |order: &Order| matches!(order, Order::Drain { prefix: of, .. } if *of == prefix);
    standing.orders.iter().any(drains)
}

/// Whether a drain may withdraw whatever is heard.
fn is_forced(standing: &Standing, prefix: PrefixId) -> bool {
    standing.orders.iter().any(|order| {
        matches!(order, Order::Drain { prefix: of, directive } if *of == prefix && directive.force)
    })
}

/// Whether the levels heard of others fulfil this.
fn hears(
    standing: &Standing,
    prefix: PrefixId,
    condition: fn(&[Heard; 2]) -> bool,
) -> Option<bool> {
    let heard = standing.heard.as_ref()?;
    Some(heard.get(&prefix).is_some_and(condition))
}

fn is_frozen(standing: &Standing) -> bool {
    let freezes = |order: &Order| matches!(order, Order::Freeze { .. });
    standing.orders.iter().any(freezes)
}

/// What was commanded so far, and what that forbids.
#[derive(Default)]
struct Judge {
    levels: BTreeMap<PrefixId, Level>,
    withdrawn_at: BTreeMap<PrefixId, Timestamp>,
    lowered: Vec<Timestamp>,
}

impl Judge {
    fn check(
        &mut self,
        (at, prefix, level, reason): (Timestamp, PrefixId, Level, &Reason),
        standing: &Standing,
    ) -> Result<(), TestCaseError> {
        let before = self.levels.insert(prefix, level).unwrap_or(Level::Full);
        prop_assert_ne!(before, level, "a command that changes nothing");
        let ordered = matches!(reason.cause, Cause::Pin | Cause::Drain);
        if let Some(pin) = pinned(standing, prefix) {
            prop_assert!(ordered && level == pin, "pinned: {reason:?}");
        }
        if is_drained(standing, prefix) && pinned(standing, prefix).is_none() {
            prop_assert!(ordered, "drained: {reason:?}");
        }
        if is_frozen(standing) {
            prop_assert!(ordered, "frozen: {reason:?}");
        }
        if level < before && !ordered {
            self.check_lowering(at, reason, standing)?;
        }
        let is_guarded = match reason.cause {
            Cause::Pin => false,
            Cause::Drain => !is_forced(standing, prefix),
            _ => true,
        };
        if level == Level::Withdrawn && is_guarded {
            let full = |heard: &[Heard; 2]| heard.contains(&Heard::Level(Level::Full));
            let refuge = hears(standing, prefix, full);
            prop_assert!(refuge != Some(false), "no refuge: {reason:?}");
        }
        if reason.cause == Cause::LastSite {
            let withdrawn = Heard::Level(Level::Withdrawn);
            let alone = standing.heard.as_ref().and_then(|heard| heard.get(&prefix));
            prop_assert_eq!(alone, Some(&[withdrawn.clone(), withdrawn]));
            prop_assert_eq!(level, Level::Degraded);
        }
        if level > before
            && before == Level::Withdrawn
            && !ordered
            && reason.cause != Cause::LastSite
            && let Some(withdrawn) = self.withdrawn_at.get(&prefix)
        {
            prop_assert!(at.since(*withdrawn) >= HOLD, "within the hold: {reason:?}");
        }
        if level == Level::Withdrawn && !ordered {
            self.withdrawn_at.insert(prefix, at);
        } else {
            self.withdrawn_at.remove(&prefix);
        }
        Ok(())
    }

    fn check_lowering(
        &mut self,
        at: Timestamp,
        reason: &Reason,
        standing: &Standing,
    ) -> Result<(), TestCaseError> {
        self.lowered.push(at);
        let hour = Duration::from_hours(1);
        let recent = self.lowered.iter().filter(|then| at.since(**then) < hour);
        prop_assert!(recent.count() <= LOWERINGS as usize, "over budget");
        if reason.cause == Cause::LiveTrials {
            prop_assert!(reason.trials.armed, "not armed: {reason:?}");
            prop_assert!(reason.second_leg.is_some(), "one leg: {reason:?}");
            prop_assert!(!standing.blind, "blind: {reason:?}");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nobody_lowers_or_raises_what_is_held(
        acts in prop::collection::vec(act(), 1..25),
        canary in any::<bool>(),
        race in prop::option::of(any::<bool>()),
    ) {
        let mut config = two(canary);
        if let Some(goes_first) = race {
            for prefix in &mut config.prefixes {
                prefix.last_site = LastSite::Hold(Race { goes_first, round: ROUND });
            }
        }
        let mut world = World::healthy(config);
        let mut heard = BTreeMap::new();
        world.tick = 5 * MS;
        let mut judge = Judge::default();
        for (act, milliseconds) in acts {
            let from = world.commands.len();
            play(&mut world, &act);
            if let Act::Heard(prefix, levels) = &act {
                heard.insert(*prefix, levels.clone());
            }
            let mut standing = Standing {
                heard: race.map(|_| heard.clone()),
                orders: world.engine.orders(),
                blind: world.sensor != Sensor::Attached,
            };
            for change in world.levels_set_from(from) {
                judge.check((change.0, change.1, change.2, &change.3), &standing)?;
            }
            let end = world.now.after(Duration::from_millis(milliseconds));
            while world.now < end {
                let from = world.commands.len();
                world.run(world.tick);
                // An order that expires within the tick no longer holds after it.
                standing.orders = world.engine.orders();
                for change in world.levels_set_from(from) {
                    judge.check((change.0, change.1, change.2, &change.3), &standing)?;
                }
            }
        }
        let memory = serde_json::to_string(&world.engine.memory()).unwrap();
        prop_assert!(memory.len() < 100_000, "{} bytes", memory.len());
    }

    /// Observing, nothing is ever commanded, whatever is ordered.
    #[test]
    fn who_observes_changes_nothing(acts in prop::collection::vec(act(), 1..12)) {
        let mut config = two(false);
        config.mode = Mode::Observe;
        let mut world = World::healthy(config);
        world.tick = 20 * MS;
        for (act, milliseconds) in acts {
            play(&mut world, &act);
            world.run(Duration::from_millis(milliseconds));
        }
        prop_assert_eq!(world.levels_set(), []);
    }

    /// The order of services in the configuration decides nothing. (Without probes:
    /// those of several services part by their position.)
    #[test]
    fn permuting_services_permutes_commands(acts in prop::collection::vec(act(), 1..12)) {
        let run = |swapped: bool| {
            let place = |index: usize| if swapped { 1 - index } else { index };
            let mut config = two(false);
            for service in &mut config.services {
                service.probe.kind = ProbeKind::None;
            }
            if swapped {
                config.services.reverse();
                config.prefixes.reverse();
                for (index, prefix) in (0..).zip(&mut config.prefixes) {
                    prefix.services = vec![ServiceId(index)];
                }
            }
            let names: Vec<String> =
                config.prefixes.iter().map(|prefix| prefix.prefix.to_string()).collect();
            let mut world = World::new(config);
            for prefix in 0..2 {
                world.route(prefix, Level::Full);
            }
            world.run(10 * SECOND);
            for (act, milliseconds) in &acts {
                let act = match act.clone() {
                    Act::Serve(service, answer, probe) => {
                        Act::Serve(place(service), answer, probe)
                    }
                    Act::Rate(service, rate) => Act::Rate(place(service), rate),
                    Act::Order(_) | Act::Heard(..) => Act::Order(Order::Thaw),
                    act @ Act::Sensor(_) => act,
                };
                play(&mut world, &act);
                world.run(Duration::from_millis(*milliseconds));
            }
            let mut levels: Vec<(Timestamp, String, Level)> = world
                .levels_set()
                .into_iter()
                .map(|(at, prefix, level, _)| (at, names[prefix.0 as usize].clone(), level))
                .collect();
            levels.sort();
            levels
        };
        prop_assert_eq!(run(false), run(true));
    }
}
