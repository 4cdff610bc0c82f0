//! Another configuration while the engine runs: what stays goes on as if nothing had
//! happened, and no level changes that nobody asked for.

#![expect(clippy::unwrap_used, reason = "a broken test world should panic")]

mod common;

use std::time::Duration;

use common::{Answer, MS, ProbeAnswer, SECOND, World, config, http, service};
use probe_core::{
    Command, Config, Input, Level,
    command::{Cause, Guard},
    config::{LastSite, Mode, Prefix, PrefixId, ServiceId, WithdrawWhen},
    input::{Directive, Order},
    status::{ServiceState, Standing},
};
use proptest::prelude::*;
use serde_json::Value;

/// One more service behind a prefix of its own, before all others.
fn with_another(config: &Config) -> Config {
    let mut config = config.clone();
    for prefix in &mut config.prefixes {
        for id in &mut prefix.services {
            id.0 += 1;
        }
    }
    config.services.insert(0, service("new", "198.51.100.10"));
    config.prefixes.insert(
        0,
        Prefix {
            prefix: "198.51.100.0/24".parse().unwrap(),
            withdraw_when: WithdrawWhen::Any,
            services: vec![ServiceId(0)],
            drain: Duration::ZERO,
            last_site: LastSite::Unwitnessed,
        },
    );
    config
}

/// The same services in another order.
fn permuted(config: &Config, order: &[usize]) -> Config {
    let mut permuted = config.clone();
    permuted.services = order
        .iter()
        .map(|index| config.services[*index].clone())
        .collect();
    for prefix in &mut permuted.prefixes {
        for id in &mut prefix.services {
            let new = order
                .iter()
                .position(|index| ServiceId(u32::try_from(*index).unwrap()) == *id);
            id.0 = u32::try_from(new.unwrap()).unwrap();
        }
    }
    permuted
}

/// What was commanded since, with names for numbers, and without the numbers of bursts:
/// these follow the order in which services are looked at.
fn named(world: &World, first: usize) -> Vec<String> {
    fn name(value: &mut Value, config: &Config) {
        let service = |id: &Value| {
            let index = usize::try_from(id.as_u64().unwrap()).unwrap();
            Value::from(config.services[index].name.clone())
        };
        match value {
            Value::Object(fields) => {
                fields.remove("burst");
                // Of several that are good since the same moment it tells of any one.
                if fields.get("cause") == Some(&Value::from("recovered")) {
                    fields.retain(|key, _| ["cause", "failed_services"].contains(&&**key));
                }
                for (key, value) in fields {
                    match (&**key, &mut *value) {
                        ("service", Value::Number(_)) => *value = service(value),
                        ("failed_services", Value::Array(ids)) => {
                            for id in &mut *ids {
                                *id = service(id);
                            }
                            ids.sort_by_key(ToString::to_string);
                        }
                        _ => name(value, config),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| name(item, config)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut lines: Vec<String> = world.commands[first..]
        .iter()
        .map(|(at, command)| {
            let mut value = serde_json::to_value(command).unwrap();
            name(&mut value, &world.config);
            format!("{:020} {value}", at.as_nanos())
        })
        .collect();
    lines.sort();
    lines
}

/// A fault of one service, and its end.
fn fault(world: &mut World, name: &str, for_: Duration) {
    let index = world
        .config
        .services
        .iter()
        .position(|service| service.name == name)
        .unwrap();
    world.fail(index, Answer::Refuses, ProbeAnswer::refused());
    world.run(for_);
    world.heal(index);
    world.run(5 * SECOND);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// At any moment: in calm, while a suspicion is weighed, while withdrawn.
    #[test]
    fn the_same_configuration_again_is_no_more_than_a_wake(
        before in 0_u64..1500,
        patience in prop::sample::select(vec![Duration::ZERO, SECOND]),
        application in any::<bool>(),
    ) {
        let mut config = config(2);
        config.services[1].detect.patience = patience;
        config.recover.hold = 2 * SECOND;
        if application {
            http(&mut config);
        }
        let mut worlds = [World::healthy(config.clone()), World::healthy(config.clone())];
        for world in &mut worlds {
            world.fail(1, Answer::Refuses, ProbeAnswer::refused());
            world.run(Duration::from_millis(before));
        }
        let [plain, again] = &mut worlds;
        plain.handle(Input::Wake);
        again.reconfigure(config);
        for world in &mut worlds {
            world.run(SECOND);
            world.heal(1);
            world.run(5 * SECOND);
        }
        let [plain, again] = &worlds;
        let differs = plain.commands.iter().zip(&again.commands).find(|(a, b)| a != b);
        prop_assert_eq!(differs, None);
        prop_assert_eq!(plain.commands.len(), again.commands.len());
    }

    #[test]
    fn the_order_of_services_in_the_file_means_nothing(
        order in Just(vec![0, 1, 2, 3]).prop_shuffle(),
        before in 0_u64..1500,
    ) {
        let mut config = config(4);
        config.recover.hold = 2 * SECOND;
        config.services[2].detect.patience = SECOND;
        let mut plain = World::healthy(config.clone());
        let mut other = World::healthy(config.clone());
        let first = plain.commands.len();
        for world in [&mut plain, &mut other] {
            world.fail(2, Answer::Refuses, ProbeAnswer::refused());
            world.run(Duration::from_millis(before));
        }
        plain.handle(Input::Wake);
        let so_far = other.commands.len();
        let told = named(&other, first);
        other.reconfigure(permuted(&config, &order));
        for world in [&mut plain, &mut other] {
            fault(world, "web2", SECOND);
            fault(world, "web0", 500 * MS);
        }
        let mut all = told;
        all.extend(named(&other, so_far));
        all.sort();
        let expected = named(&plain, first);
        let differs = expected.iter().zip(&all).find(|(expected, got)| expected != got);
        prop_assert_eq!(differs, None);
        prop_assert_eq!(expected.len(), all.len());
    }

    /// Whatever is changed about others, and whatever of its own is changed that asks for
    /// no other level.
    #[test]
    fn no_level_changes_that_nobody_asked_for(
        patience in 0_u64..3000,
        deadline in 50_u64..200,
        broken in prop::sample::select(vec![0.3, 0.5, 0.8]),
        add in any::<bool>(),
        remove in any::<bool>(),
        lowerings in 1_u32..5,
        interval in 100_u64..3000,
    ) {
        let mut world = World::healthy(with_another(&config(3)));
        let mut next = if remove { config(3) } else { world.config.clone() };
        if add {
            let id = ServiceId(u32::try_from(next.services.len()).unwrap());
            next.services.push(service("more", "192.0.2.99"));
            next.prefixes.last_mut().unwrap().services.push(id);
        }
        next.guards.lowerings_per_hour = lowerings;
        for service in &mut next.services {
            service.detect.patience = Duration::from_millis(patience);
            service.detect.deadline = Duration::from_millis(deadline);
            service.detect.broken = broken;
            service.probe.interval = Duration::from_millis(interval);
        }
        world.reconfigure(next);
        world.run(3 * SECOND);
        prop_assert_eq!(world.levels_set(), []);
        prop_assert_eq!(world.engine.prefixes().last().unwrap().standing, Standing::Announced);
    }
}

#[test]
fn what_stays_is_armed_at_once_and_what_is_new_learns() {
    let mut world = World::healthy(config(2));
    let p0 = world.engine.services()[1].detector.p0;
    let totals = world.engine.services()[1].totals;
    world.reconfigure(with_another(&world.config));
    let states = |world: &World| -> Vec<_> {
        let services = world.engine.services();
        services.iter().map(|service| service.state).collect()
    };
    assert_eq!(states(&world)[1..], [ServiceState::Armed; 2]);
    assert_ne!(states(&world)[0], ServiceState::Armed);
    let kept = &world.engine.services()[2];
    assert!((kept.detector.p0 - p0).abs() < 1e-12);
    assert_eq!(kept.totals, totals);
    assert_eq!(world.engine.prefixes()[0].standing, Standing::Unread);

    world.route(0, Level::Withdrawn);
    let (_, level, reason) = world.run_until_change(SECOND).unwrap();
    assert_eq!(
        (level, reason.cause),
        (Level::Full, Cause::FirstAnnouncement)
    );
    world.run(5 * SECOND);
    assert_eq!(states(&world), [ServiceState::Armed; 3]);
}

#[test]
fn a_fault_right_after_is_found_as_quickly_as_ever() {
    let mut plain = World::healthy(config(2));
    let mut reloaded = World::healthy(config(2));
    plain.run(3 * MS);
    reloaded.run(3 * MS);
    reloaded.reconfigure(with_another(&reloaded.config));
    reloaded.route(0, Level::Full);
    plain.fail(1, Answer::Refuses, ProbeAnswer::refused());
    reloaded.fail(2, Answer::Refuses, ProbeAnswer::refused());
    let (usual, ..) = plain.run_until_change(SECOND).unwrap();
    let (took, level, reason) = reloaded.run_until_change(SECOND).unwrap();
    assert_eq!((level, reason.cause), (Level::Withdrawn, Cause::LiveTrials));
    assert_eq!(reason.failed_services, [ServiceId(2)]);
    assert_eq!(reloaded.levels_set()[0].1, PrefixId(1));
    assert!(took <= usual + 4 * MS, "{took:?} after {usual:?}");
}

#[test]
fn patience_that_runs_goes_on() {
    let mut config = config(1);
    config.services[0].detect.patience = SECOND;
    let mut world = World::healthy(config);
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(500 * MS);
    let mut next = with_another(&world.config);
    next.services[1].detect.patience = 10 * SECOND;
    world.reconfigure(next);
    world.route(0, Level::Full);
    let (took, level, _) = world.run_until_change(2 * SECOND).unwrap();
    assert_eq!(level, Level::Withdrawn);
    assert!(took < 600 * MS, "{took:?}");
}

#[test]
fn a_withdrawn_prefix_keeps_its_hold_and_its_blind_probe() {
    let mut plain = World::healthy(config(2));
    // Only live trials and the rate say so; the probe sees nothing.
    plain.fail(1, Answer::ServesOneIn(50), ProbeAnswer::Passes);
    let (_, level, _) = plain.run_until_change(30 * SECOND).unwrap();
    assert_eq!(level, Level::Withdrawn);
    plain.heal(1);
    plain.run(SECOND);
    let before = plain.engine.prefixes()[0].hold_left.unwrap();
    plain.reconfigure(with_another(&plain.config));
    plain.route(0, Level::Full);
    let status = &plain.engine.prefixes()[1];
    assert_eq!(status.standing, Standing::Withdrawn);
    assert_eq!(status.hold_left, Some(before));
    assert!(before > 3000 * SECOND, "the longest hold: {before:?}");
    plain.run(5 * 60 * SECOND);
    assert_eq!(plain.levels_set().len(), 1);
}

#[test]
fn a_prefix_that_is_gone_is_left_as_it_stands_and_forgotten() {
    let whole = with_another(&config(1));
    let mut world = World::healthy(whole.clone());
    let directive = Directive {
        by: "root".into(),
        why: String::new(),
        until: None,
        force: false,
    };
    for prefix in [0, 1] {
        world.handle(Input::Operator(Order::Pin {
            prefix: PrefixId(prefix),
            level: Level::Full,
            directive: directive.clone(),
        }));
    }
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(300 * MS);
    world.reconfigure(config(1));
    world.run(5 * SECOND);
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.engine.orders().len(), 1);
    assert_eq!(world.engine.services().len(), 1);
    assert_eq!(world.engine.kept(PrefixId(0)), Some(Level::Full));
    assert_eq!(world.engine.kept(PrefixId(1)), None);

    world.reconfigure(whole);
    assert_eq!(world.engine.prefixes()[0].standing, Standing::Unread);
    assert_eq!(world.engine.orders().len(), 1);
}

#[test]
fn enforce_acts_on_what_observe_found_and_observe_lets_go() {
    let mut observing = config(1);
    observing.mode = Mode::Observe;
    let enforcing = config(1);
    let mut world = World::healthy(observing.clone());
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(SECOND);
    assert!(world.holds().contains(&Guard::Observe));
    assert_eq!(world.levels_set(), []);

    world.reconfigure(enforcing.clone());
    let causes = world.causes();
    assert!(
        matches!(causes[..], [(Level::Withdrawn, _)]),
        "what is known to be dead goes at once: {causes:?}"
    );
    assert_eq!(world.engine.kept(PrefixId(0)), Some(Level::Withdrawn));

    world.heal(0);
    world.reconfigure(observing);
    assert_eq!(world.engine.kept(PrefixId(0)), None, "nobody's");
    assert_eq!(world.prefix().standing, Standing::Waiting);
    world.run(120 * SECOND);
    assert_eq!(world.causes().len(), 1, "observe changes nothing");
    world.reconfigure(enforcing);
    world.run(SECOND);
    assert_eq!(
        world.causes()[1..],
        [(Level::Full, Cause::FirstAnnouncement)]
    );
}

#[test]
fn another_question_is_asked_anew_and_another_interval_soon() {
    let mut base = config(1);
    base.services[0].probe.interval = 600 * SECOND;
    let mut world = World::healthy(base.clone());
    assert!(world.engine.services()[0].probe_passes.is_some());
    let probes = |world: &World| {
        let commands = world.commands.iter();
        commands
            .filter(|(_, command)| matches!(command, Command::Probe { .. }))
            .count()
    };

    let mut sooner = base.clone();
    sooner.services[0].probe.interval = SECOND;
    let before = probes(&world);
    world.reconfigure(sooner.clone());
    assert!(world.engine.services()[0].probe_passes.is_some());
    world.run(2 * SECOND);
    assert!(probes(&world) > before);

    let mut asks_http = sooner;
    http(&mut asks_http);
    let before = probes(&world);
    world.reconfigure(asks_http);
    assert_eq!(world.engine.services()[0].probe_passes, None);
    world.run(10 * MS);
    assert!(probes(&world) > before);
    assert_eq!(world.levels_set(), []);
}

#[test]
fn fewer_dead_services_may_withdraw_from_now_on() {
    let mut lenient = config(2);
    lenient.prefixes[0].withdraw_when = WithdrawWhen::All;
    let mut world = World::healthy(lenient);
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(SECOND);
    assert_eq!(world.levels_set(), []);
    world.reconfigure(config(2));
    assert!(matches!(world.causes()[..], [(Level::Withdrawn, _)]));
}
