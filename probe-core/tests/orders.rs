//! What the operator orders, the budget of lowerings, and what survives a restart.
#![expect(clippy::unwrap_used, reason = "a broken test world should panic")]

mod common;

use std::time::Duration;

use common::{Answer, ProbeAnswer, SECOND, World, config};
use probe_core::{
    Engine, Input, Level, Memory, Timestamp,
    command::{Cause, Command, Event, Guard},
    config::{Prefix, PrefixId},
    input::{Directive, Order, Sensor},
    status::{ServiceState, Standing},
};

const MINUTE: Duration = Duration::from_mins(1);
const PREFIX: PrefixId = PrefixId(0);

fn directive(world: &World, time: Option<Duration>) -> Directive {
    Directive {
        by: "root".into(),
        why: "new kernel".into(),
        until: time.map(|time| world.now.after(time)),
        force: false,
    }
}

fn order(world: &mut World, order: Order) {
    world.handle(Input::Operator(order));
}

fn pin(world: &mut World, level: Level, time: Option<Duration>) {
    let directive = directive(world, time);
    order(
        world,
        Order::Pin {
            prefix: PREFIX,
            level,
            directive,
        },
    );
}

fn kill(world: &mut World) {
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
}

#[test]
fn a_pinned_prefix_stays_whatever_dies_until_the_pin_expires() {
    let mut world = World::healthy(config(1));
    pin(&mut world, Level::Full, Some(MINUTE));
    kill(&mut world);
    world.run(30 * SECOND);
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.holds(), [Guard::Pinned]);
    assert_eq!(world.prefix().held_by, Some(Guard::Pinned));
    let (took, level, reason) = world.run_until_change(2 * MINUTE).unwrap();
    assert_eq!((level, reason.cause), (Level::Withdrawn, Cause::LiveTrials));
    assert!(took < 31 * SECOND, "{took:?}");
    assert!(world.events().iter().any(|event| matches!(
        event,
        Event::Ordered {
            order: Order::Unpin { .. },
            expired: true
        }
    )));
}

#[test]
fn a_prefix_can_be_pinned_at_every_level() {
    for level in [Level::Withdrawn, Level::Degraded] {
        let mut world = World::healthy(config(1));
        pin(&mut world, level, None);
        assert_eq!(world.causes(), [(level, Cause::Pin)]);
        world.run(5 * MINUTE);
        assert_eq!(world.causes().len(), 1);
        order(&mut world, Order::Unpin { prefix: PREFIX });
        world.run(SECOND);
        assert_eq!(world.prefix().wanted, Some(Level::Full));
    }
}

#[test]
fn a_drain_degrades_then_withdraws_and_ends_at_once() {
    let mut world = World::healthy(config(1));
    let directive = directive(&world, None);
    order(
        &mut world,
        Order::Drain {
            prefix: PREFIX,
            directive,
        },
    );
    assert_eq!(world.causes(), [(Level::Degraded, Cause::Drain)]);
    assert_eq!(world.prefix().standing, Standing::Drained);
    let (took, level, reason) = world.run_until_change(MINUTE).unwrap();
    assert_eq!((level, reason.cause), (Level::Withdrawn, Cause::Drain));
    assert!(took >= 29 * SECOND && took <= 31 * SECOND, "{took:?}");
    world.run(10 * MINUTE);
    assert_eq!(world.causes().len(), 2, "probes that pass end no drain");
    order(&mut world, Order::Undrain { prefix: PREFIX });
    assert_eq!(world.prefix().wanted, Some(Level::Full), "without a hold");
}

#[test]
fn a_drain_that_is_taken_back_half_way_returns_to_full() {
    let mut world = World::healthy(config(1));
    let directive = directive(&world, Some(10 * SECOND));
    order(
        &mut world,
        Order::Drain {
            prefix: PREFIX,
            directive,
        },
    );
    let (took, level, reason) = world.run_until_change(MINUTE).unwrap();
    assert_eq!((level, reason.cause), (Level::Full, Cause::Drain));
    assert!(took >= 9 * SECOND && took <= 11 * SECOND, "{took:?}");
}

#[test]
fn nothing_changes_while_the_host_is_frozen() {
    let mut world = World::healthy(config(1));
    let directive = directive(&world, None);
    order(&mut world, Order::Freeze { directive });
    kill(&mut world);
    world.run(MINUTE);
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.holds()[0], Guard::Frozen);
    order(&mut world, Order::Thaw);
    assert_eq!(world.prefix().wanted, Some(Level::Withdrawn));
    let again = Directive {
        by: "root".into(),
        why: String::new(),
        until: None,
        force: false,
    };
    order(&mut world, Order::Freeze { directive: again });
    world.heal(0);
    world.run(3 * MINUTE);
    assert_eq!(world.causes().len(), 1, "not up either");
    order(&mut world, Order::Thaw);
    assert_eq!(world.prefix().wanted, Some(Level::Full));
}

#[test]
fn a_fault_that_a_freeze_held_does_not_act_when_the_sensor_is_blind() {
    let mut world = World::healthy(config(1));
    let directive = directive(&world, None);
    order(&mut world, Order::Freeze { directive });
    world.fail(0, Answer::Silent, ProbeAnswer::Passes);
    world.run(SECOND);
    assert_eq!(world.state(0), ServiceState::Failed);
    world.sensor = Sensor::Detached("no hook".into());
    world.handle(Input::Sensor(world.sensor.clone()));
    order(&mut world, Order::Thaw);
    world.run(SECOND);
    assert_eq!(world.levels_set(), []);
    assert!(world.holds().contains(&Guard::Blind));
}

#[test]
fn lowerings_beyond_the_budget_are_held() {
    let mut config = config(1);
    config.guards.lowerings_per_hour = 1;
    let mut world = World::healthy(config);
    kill(&mut world);
    world.run(5 * SECOND);
    world.heal(0);
    world.run(2 * MINUTE);
    kill(&mut world);
    world.run(MINUTE);
    assert_eq!(world.prefix().wanted, Some(Level::Full));
    assert_eq!(world.holds(), [Guard::BudgetLocal]);
    world.tick = SECOND / 10;
    world.run(60 * MINUTE);
    assert_eq!(
        world.causes().last(),
        Some(&(Level::Withdrawn, Cause::LiveTrials))
    );
}

/// The daemon is killed and started again after `down`.
fn restart(world: &mut World, down: Duration) {
    let memory = serde_json::to_string(&world.engine.memory()).unwrap();
    let memory: Memory = serde_json::from_str(&memory).unwrap();
    world.now = world.now.after(down);
    let config = world.config.clone();
    world.engine = Engine::new(config, world.now);
    world.engine.recall(memory, down);
    let level = world.levels[0].unwrap();
    world.route(0, level);
}

#[test]
fn a_restart_keeps_arming_and_thresholds() {
    let mut world = World::healthy(config(1));
    let before = world.engine.services()[0].clone();
    restart(&mut world, SECOND);
    let after = &world.engine.services()[0];
    assert_eq!(after.state, ServiceState::Armed);
    assert_eq!(after.detector.p0.to_bits(), before.detector.p0.to_bits());
    assert_eq!(
        after.detector.threshold.to_bits(),
        before.detector.threshold.to_bits()
    );
    world.run(SECOND / 10);
    kill(&mut world);
    let (took, level, _) = world.run_until_change(SECOND).unwrap();
    assert_eq!(level, Level::Withdrawn);
    assert!(took < SECOND / 20, "{took:?}");
}

#[test]
fn a_restart_neither_shortens_nor_forgets_what_holds_a_prefix() {
    // A fault that the probes cannot see: a restart must not announce it again.
    let mut world = World::healthy(config(1));
    world.tick = SECOND / 50;
    world.fail(0, Answer::Silent, ProbeAnswer::Passes);
    world.run(SECOND);
    assert_eq!(world.prefix().wanted, Some(Level::Withdrawn));
    restart(&mut world, 5 * SECOND);
    world.run(5 * MINUTE);
    assert_eq!(world.prefix().wanted, Some(Level::Withdrawn));
    assert_eq!(world.prefix().standing, Standing::Withdrawn);
    let (took, level, reason) = world.run_until_change(60 * MINUTE).unwrap();
    assert_eq!((level, reason.cause), (Level::Full, Cause::Retry));
    assert!(took < 56 * MINUTE, "{took:?}");
}

#[test]
fn orders_survive_a_restart_and_still_expire() {
    let mut world = World::healthy(config(1));
    pin(&mut world, Level::Full, Some(MINUTE));
    restart(&mut world, 20 * SECOND);
    assert_eq!(world.engine.orders().len(), 1);
    kill(&mut world);
    world.run(30 * SECOND);
    assert_eq!(world.levels_set(), []);
    let (took, level, _) = world.run_until_change(MINUTE).unwrap();
    assert_eq!(level, Level::Withdrawn);
    assert!(took < 11 * SECOND, "{took:?}");
}

#[test]
fn what_is_remembered_of_another_service_is_not_believed() {
    let world = World::healthy(config(2));
    let memory = world.engine.memory();
    let mut changed = config(2);
    changed.services[0].endpoint.port = 8443;
    let mut engine = Engine::new(changed, world.now);
    engine.recall(memory, SECOND);
    let states: Vec<_> = engine
        .services()
        .iter()
        .map(|service| service.detector.armed)
        .collect();
    assert_eq!(states, [false, true]);
}

#[test]
fn what_comes_at_once_is_decided_as_if_it_came_one_by_one() {
    let mut config = config(1);
    let first = config.prefixes[0].clone();
    config.prefixes.extend((1..200).map(|third| Prefix {
        prefix: format!("10.0.{third}.0/24").parse().unwrap(),
        ..first.clone()
    }));
    let now = Timestamp::from_nanos(7);
    let ids = (0..).map(PrefixId).take(config.prefixes.len());
    let routes: Vec<Input> = ids
        .clone()
        .map(|prefix| Input::Route {
            prefix,
            observed: Level::Full,
        })
        .collect();
    let orders: Vec<Input> = ids
        .map(|prefix| {
            Input::Operator(Order::Pin {
                prefix,
                level: Level::Withdrawn,
                directive: Directive {
                    by: "root".into(),
                    why: String::new(),
                    until: None,
                    force: false,
                },
            })
        })
        .collect();
    let decided = |at_once: bool| {
        let mut engine = Engine::new(config.clone(), now);
        for inputs in [&routes, &orders] {
            if at_once {
                engine.handle_all(inputs.iter().cloned(), now);
            } else {
                for input in inputs {
                    engine.handle(input.clone(), now);
                }
            }
        }
        let mut levels = Vec::new();
        while let Some(command) = engine.next_command() {
            if let Command::SetLevel { prefix, level, .. } = command {
                levels.push((prefix, level));
            }
        }
        levels
    };
    let together = decided(true);
    assert_eq!(together.len(), 200);
    assert_eq!(together, decided(false));
}
