//! Faults that must withdraw a prefix, how soon and why; and calm that must not.

mod common;

use std::time::Duration;

use common::{Answer, MS, ProbeAnswer, SECOND, World, config, http};
use probe_core::{
    Command, Config, Level, Timestamp,
    command::{Cause, Event, Guard, SecondLeg},
    config::{Mode, PrefixId, ServiceId, WithdrawWhen},
    input::{Input, ProbeFailure, Sensor},
    status::ServiceState,
};

fn patient(services: u8) -> Config {
    let mut config = config(services);
    for service in &mut config.services {
        service.detect.patience = SECOND;
    }
    config
}

fn at_rate(mut config: Config, rate: u64) -> World {
    for service in &mut config.services {
        service.detect.settle = Duration::ZERO;
    }
    let mut world = World::new(config);
    world.clients[0].rate = rate;
    world.route(0, Level::Full);
    world.run(30 * SECOND);
    assert_eq!(world.state(0), ServiceState::Armed);
    world
}

#[test]
fn refused_service_is_withdrawn_within_fifteen_trials() {
    let mut world = World::healthy(config(1));
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    let (took, level, reason) = world.run_until_change(SECOND).unwrap();
    assert_eq!(level, Level::Withdrawn);
    assert!(took <= 15 * MS, "{took:?}");
    assert_eq!(reason.cause, Cause::LiveTrials);
    assert_eq!(
        reason.second_leg,
        Some(SecondLeg::Probes { failed: 3, of: 3 })
    );
    assert_eq!(reason.failed_services, [ServiceId(0)]);
    assert!(reason.first_failure.is_some());
    assert!(
        reason.sentence().starts_with("web0: "),
        "{}",
        reason.sentence()
    );
    assert_eq!(world.state(0), ServiceState::Failed);
    assert_eq!(world.prefix().withdrawals, 1);
}

#[test]
fn refused_service_at_fifty_per_second_takes_as_many_trials() {
    let mut world = at_rate(config(1), 50);
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    let (took, _, reason) = world.run_until_change(5 * SECOND).unwrap();
    assert!(took <= 10 * 20 * MS, "{took:?}");
    assert!(reason.trials.failed <= 9, "{reason:?}");
}

#[test]
fn silent_service_is_withdrawn_after_its_deadline_though_every_probe_passes() {
    let mut world = World::healthy(config(1));
    world.fail(0, Answer::Silent, ProbeAnswer::Passes);
    let (took, level, reason) = world.run_until_change(SECOND).unwrap();
    assert_eq!(level, Level::Withdrawn);
    assert!(took <= 120 * MS, "{took:?}");
    assert!(
        matches!(reason.second_leg, Some(SecondLeg::Rate { expected_per_second, .. })
            if (900.0..1100.0).contains(&expected_per_second)),
        "{reason:?}"
    );
}

#[test]
fn a_lost_hook_is_not_taken_for_silence() {
    let mut world = World::healthy(config(1));
    // The egress hook is gone: no reply is seen any more, and the daemon's own look
    // at the hooks, once a second, has not come yet.
    world.sensor = Sensor::Detached("no program on eth0 egress".to_owned());
    world.fail(0, Answer::Silent, ProbeAnswer::Passes);
    assert_eq!(world.run_until_change(5 * SECOND), None);
    let asked = |(_, command): &(Timestamp, Command)| *command == Command::CheckSensor;
    assert!(world.commands.iter().any(asked));
}

#[test]
fn silent_service_at_fifty_per_second_waits_for_the_rate() {
    let mut world = at_rate(config(1), 50);
    world.fail(0, Answer::Silent, ProbeAnswer::Passes);
    let (took, _, _) = world.run_until_change(5 * SECOND).unwrap();
    assert!(took <= 900 * MS, "{took:?}");
}

#[test]
fn default_profile_takes_its_patience_more_and_no_longer() {
    for (answer, probe) in [
        (Answer::Refuses, ProbeAnswer::refused()),
        (Answer::Silent, ProbeAnswer::Passes),
        (Answer::Silent, ProbeAnswer::timeout()),
    ] {
        let mut world = World::healthy(patient(1));
        world.fail(0, answer, probe.clone());
        let (took, level, reason) = world.run_until_change(5 * SECOND).unwrap();
        assert_eq!(level, Level::Withdrawn);
        let most = SECOND + 125 * MS;
        assert!(
            (SECOND..most).contains(&took),
            "{answer:?} {probe:?} {took:?}"
        );
        assert!(reason.stood >= SECOND);
    }
}

#[test]
fn gap_within_patience_is_no_reason() {
    for (gap, answer, probe) in [
        (50 * MS, Answer::Refuses, ProbeAnswer::refused()),
        (500 * MS, Answer::Refuses, ProbeAnswer::refused()),
        (500 * MS, Answer::Silent, ProbeAnswer::timeout()),
        (500 * MS, Answer::Silent, ProbeAnswer::Passes),
        (900 * MS, Answer::Refuses, ProbeAnswer::refused()),
    ] {
        for rate in [20, 50, 1000, 5000] {
            let mut world = at_rate(patient(1), rate);
            for _ in 0..3 {
                world.fail(0, answer, probe.clone());
                world.run(gap);
                world.heal(0);
                world.run(7 * SECOND);
            }
            assert_eq!(world.levels_set(), [], "{gap:?} of {answer:?} at {rate}");
            assert_eq!(world.state(0), ServiceState::Armed);
        }
    }
}

#[test]
fn clients_that_leave_during_a_gap_are_not_a_fault() {
    let mut world = World::healthy(patient(1));
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(300 * MS);
    world.heal(0);
    world.clients[0].rate = 0;
    world.run(60 * SECOND);
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.state(0), ServiceState::Suspect);
    world.clients[0].rate = 1000;
    world.run(SECOND);
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.state(0), ServiceState::Armed);
}

#[test]
fn scan_and_client_aborts_are_no_reason() {
    let mut world = World::healthy(config(1));
    for answer in [Answer::AcceptsUnverified, Answer::Aborted] {
        world.clients[0].answer = answer;
        world.clients[0].rate = 10_000;
        world.run(5 * SECOND);
    }
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.state(0), ServiceState::Armed);
}

#[test]
fn night_is_no_reason() {
    let mut world = World::healthy(config(1));
    for rate in [100, 10, 1, 0] {
        world.clients[0].rate = rate;
        world.run(20 * SECOND);
    }
    assert_eq!(world.levels_set(), []);
}

#[test]
fn forged_failures_are_held_by_the_second_leg_once_per_suspicion() {
    let mut world = World::healthy(config(1));
    for _ in 0..2000 {
        let now = world.now;
        for _ in 0..20 {
            world.clients[0].kernel.connection(now, Answer::Refuses);
        }
        world.run(2 * MS);
    }
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.state(0), ServiceState::Suspect);
    assert_eq!(world.holds(), [Guard::SecondLeg]);
    assert_eq!(world.prefix().held_by, Some(Guard::SecondLeg));
    let before = world.commands.len();
    world.run(SECOND);
    let bursts = world.commands[before..]
        .iter()
        .filter(|(_, command)| matches!(command, Command::Probe { .. }));
    assert!(bursts.count() <= 6, "a burst every 250 ms");
    world.run(SECOND);
    assert_eq!(world.state(0), ServiceState::Armed);
    assert_eq!(world.prefix().held_by, None);
}

#[test]
fn unarmed_detector_is_held_and_its_probe_decides() {
    let mut world = World::new(config(1));
    world.route(0, Level::Full);
    world.clients[0].rate = 10;
    world.run(5 * SECOND);
    world.fail(0, Answer::Refuses, ProbeAnswer::Passes);
    world.run(5 * SECOND);
    assert_eq!(world.holds(), [Guard::NotArmed]);
    assert_eq!(world.levels_set(), []);
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(5 * SECOND);
    assert_eq!(world.causes(), [(Level::Withdrawn, Cause::Probe)]);
}

#[test]
fn bare_probe_does_not_decide_against_good_live_trials() {
    let mut world = World::healthy(config(1));
    world.fail(0, Answer::Accepts, ProbeAnswer::refused());
    world.run(60 * SECOND);
    assert_eq!(world.levels_set(), []);
    // ... but once nobody comes any more.
    world.clients[0].rate = 0;
    let (took, _, reason) = world.run_until_change(20 * SECOND).unwrap();
    assert!((9 * SECOND..11 * SECOND).contains(&took), "{took:?}");
    assert_eq!(reason.cause, Cause::Probe);
}

#[test]
fn application_probe_decides_against_good_live_trials() {
    let mut config = config(1);
    http(&mut config);
    let mut world = World::healthy(config);
    let failure = ProbeFailure::Status(503);
    world.fail(0, Answer::Accepts, ProbeAnswer::Fails(failure, MS));
    let (took, _, reason) = world.run_until_change(10 * SECOND).unwrap();
    assert!((2 * SECOND..4 * SECOND).contains(&took), "{took:?}");
    assert_eq!(reason.cause, Cause::Probe);
    assert_eq!(
        reason.sentence(),
        "web0: the probe failed 3 times in a row (HTTP status 503)"
    );
}

#[test]
fn single_failed_application_probe_is_no_reason() {
    let mut config = config(1);
    http(&mut config);
    let mut world = World::healthy(config);
    for _ in 0..10 {
        world.clients[0].probe = ProbeAnswer::refused();
        world.run(1500 * MS);
        world.clients[0].probe = ProbeAnswer::Passes;
        world.run(3 * SECOND);
    }
    assert_eq!(world.levels_set(), []);
}

#[test]
fn detached_sensor_holds_live_trials_but_not_application_probes() {
    let mut config = config(1);
    http(&mut config);
    let mut world = World::healthy(config);
    world.handle(Input::Sensor(Sensor::Detached(
        "egress hook of eth0".into(),
    )));
    world.fail(0, Answer::Silent, ProbeAnswer::Passes);
    world.run(5 * SECOND);
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.state(0), ServiceState::Learning);
    world.clients[0].probe = ProbeAnswer::refused();
    world.run(5 * SECOND);
    assert_eq!(world.causes(), [(Level::Withdrawn, Cause::Probe)]);
}

#[test]
fn suspicion_that_goes_blind_is_held() {
    let mut world = World::healthy(patient(1));
    world.fail(0, Answer::Silent, ProbeAnswer::Passes);
    world.run(500 * MS);
    assert_eq!(world.state(0), ServiceState::Suspect);
    world.handle(Input::Sensor(Sensor::Detached(
        "egress hook of eth0".into(),
    )));
    world.run(30 * SECOND);
    assert_eq!(world.levels_set(), []);
    world.handle(Input::Sensor(Sensor::Attached));
    world.heal(0);
    world.run(5 * SECOND);
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.state(0), ServiceState::Armed);
    let blind: Vec<bool> = world
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Blind { blind, .. } => Some(blind),
            Event::Armed { .. }
            | Event::Suspected { .. }
            | Event::Cleared { .. }
            | Event::Verdict { .. }
            | Event::Held { .. }
            | Event::ProbeChanged { .. }
            | Event::Impaired { .. }
            | Event::LockedOut { .. }
            | Event::Deadline { .. }
            | Event::Ordered { .. }
            | Event::RouteDiffers { .. } => None,
        })
        .collect();
    assert_eq!(blind, [true, false]);
}

#[test]
fn reading_gap_is_discarded() {
    let mut world = World::healthy(config(1));
    world.clients[0].answer = Answer::Silent;
    let now = world.now;
    for millisecond in 0..200 {
        world.clients[0]
            .kernel
            .connection(now.after(millisecond * MS), Answer::Silent);
    }
    world.now = now.after(SECOND);
    world.heal(0);
    world.read();
    world.clients[0].rate = 0;
    world.run(400 * MS);
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.engine.services()[0].totals.late, 0);
}

#[test]
fn observe_mode_only_tells_and_goes_on() {
    let mut config = config(2);
    config.mode = Mode::Observe;
    let mut world = World::healthy(config);
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(2 * SECOND);
    assert_eq!(world.holds(), [Guard::Observe]);
    assert_eq!(world.state(0), ServiceState::Failed);
    world.fail(1, Answer::Silent, ProbeAnswer::Passes);
    world.run(2 * SECOND);
    assert_eq!(world.holds(), [Guard::Observe, Guard::Observe]);
    world.heal(0);
    world.heal(1);
    world.run(2 * SECOND);
    assert_eq!(world.state(0), ServiceState::Armed);
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(2 * SECOND);
    assert_eq!(world.holds().len(), 3, "a new fault is told again");
    assert_eq!(world.levels_set(), []);
}

#[test]
fn observe_mode_without_our_route_still_learns() {
    let mut config = config(1);
    config.mode = Mode::Observe;
    let mut world = World::new(config);
    world.levels = vec![Some(Level::Full)]; // somebody else announces it
    world.handle(Input::Route {
        prefix: PrefixId(0),
        observed: Level::Withdrawn,
    });
    world.run(10 * SECOND);
    assert_eq!(world.state(0), ServiceState::Armed);
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(SECOND);
    assert_eq!(world.holds(), [Guard::Observe, Guard::Observe]);
    assert_eq!(world.levels_set(), []);
}

#[test]
fn withdraw_when_counts_dead_services() {
    let cases = [
        (WithdrawWhen::Any, 1),
        (WithdrawWhen::AtLeast(2), 2),
        (WithdrawWhen::All, 3),
    ];
    for (withdraw_when, needed) in cases {
        let mut config = config(3);
        config.prefixes[0].withdraw_when = withdraw_when;
        let mut world = World::healthy(config);
        for service in 0..3 {
            assert_eq!(world.levels_set(), [], "{withdraw_when:?}");
            world.fail(service, Answer::Refuses, ProbeAnswer::refused());
            world.run(SECOND);
            if service + 1 == needed {
                break;
            }
        }
        let changes = world.levels_set();
        assert_eq!(changes.len(), 1, "{withdraw_when:?}");
        assert_eq!(changes[0].3.failed_services.len(), needed);
        assert_eq!(usize::try_from(changes[0].3.service.0).unwrap(), needed - 1);
    }
}

#[test]
fn ipv6_prefix_is_withdrawn_alone() {
    let mut config = config(2);
    config.services[1] = common::service("web6", "2001:db8::10");
    config.prefixes[0].services = vec![ServiceId(0)];
    let mut v6 = config.prefixes[0].clone();
    v6.prefix = "2001:db8::/48".parse().unwrap();
    v6.services = vec![ServiceId(1)];
    config.prefixes.push(v6);
    let mut world = World::healthy(config);
    world.fail(1, Answer::Refuses, ProbeAnswer::refused());
    world.run(SECOND);
    let changes = world.levels_set();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (changes[0].1, changes[0].2),
        (PrefixId(1), Level::Withdrawn)
    );
}

#[test]
fn end_of_patience_is_among_the_timeouts() {
    let mut world = World::healthy(patient(1));
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(100 * MS);
    let patience_ends = world.now.after(SECOND);
    while world.levels_set().is_empty() {
        let due = world.engine.poll_timeout().unwrap();
        assert!(due <= patience_ends, "slept through it");
        world.wake(due);
    }
}
