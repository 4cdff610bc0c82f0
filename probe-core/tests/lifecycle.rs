//! Start, return, retry, and a table that others touch.

mod common;

use std::time::Duration;

use common::{Answer, MS, ProbeAnswer, SECOND, World, config, http};
use probe_common::latency;
use probe_core::{
    Attention, Input, Level,
    command::{Cause, Command, Event, ProbePurpose},
    config::{ProbeKind, ServiceId, WithdrawWhen},
    input::Latencies,
    status::{ServiceState, Standing},
};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

#[test]
fn prefix_that_is_not_announced_is_announced_as_soon_as_its_probes_pass() {
    let mut world = World::new(config(2));
    world.route(0, Level::Withdrawn);
    let bursts: Vec<_> = world
        .commands
        .iter()
        .filter_map(|(_, command)| match command {
            Command::Probe { count, purpose, .. } => Some((*count, *purpose)),
            Command::SetLevel { .. }
            | Command::CheckSensor
            | Command::SetDeadline { .. }
            | Command::CollectEvidence { .. }
            | Command::Record(_) => None,
        })
        .collect();
    assert_eq!(bursts, [(3, ProbePurpose::Regular); 2]);
    let (took, level, reason) = world.run_until_change(SECOND).unwrap();
    assert!(took <= 2 * MS, "{took:?}");
    assert_eq!(
        (level, reason.cause),
        (Level::Full, Cause::FirstAnnouncement)
    );
}

#[test]
fn service_without_a_probe_is_announced_at_once_and_shown_as_unguarded() {
    let mut config = config(1);
    config.services[0].probe.kind = ProbeKind::None;
    let mut world = World::new(config);
    world.route(0, Level::Withdrawn);
    world.run(10 * SECOND);
    assert_eq!(world.causes(), [(Level::Full, Cause::FirstAnnouncement)]);
    assert_eq!(world.state(0), ServiceState::Unguarded);
    let probes = world
        .commands
        .iter()
        .filter(|(_, command)| matches!(command, Command::Probe { .. }));
    assert_eq!(probes.count(), 0);
    assert_eq!(world.engine.services()[0].probe_passes, None);
}

#[test]
fn engine_is_restless_only_while_something_is_undecided_or_weighed() {
    let mut world = World::healthy(config(1));
    assert_eq!(world.engine.attention(), Attention::Calm);
    world.fail(0, Answer::Silent, ProbeAnswer::Passes);
    world.run(10 * MS);
    assert_eq!(world.engine.attention(), Attention::Judged);
    world.heal(0);
    world.run(300 * MS);
    assert_eq!(world.engine.attention(), Attention::Calm);
}

#[test]
fn first_announcement_waits_for_every_needed_service() {
    for (withdraw_when, passing, announced) in [
        (WithdrawWhen::Any, 1, false),
        (WithdrawWhen::Any, 2, true),
        (WithdrawWhen::All, 1, true),
        (WithdrawWhen::All, 0, false),
    ] {
        let mut config = config(2);
        config.prefixes[0].withdraw_when = withdraw_when;
        let mut world = World::new(config);
        for client in &mut world.clients[passing..] {
            client.probe = ProbeAnswer::refused();
        }
        world.route(0, Level::Withdrawn);
        world.run(10 * SECOND);
        assert_eq!(world.levels_set().len(), usize::from(announced));
        for service in 0..2 {
            world.heal(service);
        }
        world.run(4 * SECOND);
        assert_eq!(world.causes(), [(Level::Full, Cause::FirstAnnouncement)]);
    }
}

#[test]
fn announced_prefix_is_adopted_without_a_command() {
    let mut world = World::new(config(1));
    world.route(0, Level::Full);
    world.run(30 * SECOND);
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.prefix().wanted, Some(Level::Full));
}

#[test]
fn adopted_prefix_of_a_dead_service_is_withdrawn_by_its_probe() {
    let mut world = World::new(config(1));
    world.fail(0, Answer::Silent, ProbeAnswer::refused());
    world.clients[0].rate = 0;
    world.route(0, Level::Full);
    let (took, level, reason) = world.run_until_change(10 * SECOND).unwrap();
    assert_eq!((level, reason.cause), (Level::Withdrawn, Cause::Probe));
    assert!(took <= 3 * SECOND, "{took:?}");
}

#[test]
fn nothing_is_decided_before_the_table_was_read() {
    let mut world = World::new(config(1));
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(10 * SECOND);
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.prefix().wanted, None);
}

#[test]
fn probes_bring_it_back_after_the_hold() {
    let mut world = World::healthy(config(1));
    world.tick = 20 * MS;
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(10 * SECOND);
    assert_eq!(world.prefix().hold_left, None);
    world.heal(0);
    world.run(5 * SECOND);
    assert!(world.prefix().hold_left.unwrap() > 50 * SECOND);
    let (took, level, reason) = world.run_until_change(2 * MINUTE).unwrap();
    assert_eq!((level, reason.cause), (Level::Full, Cause::Recovered));
    assert!((55 * SECOND..58 * SECOND).contains(&took), "{took:?}");
    assert_eq!(
        reason.sentence(),
        "web0: the probes passed for the hold of 60.0s"
    );
    assert_eq!(world.state(0), ServiceState::Armed, "stays armed");
    world.run(MINUTE);
    assert_eq!(world.levels_set().len(), 2, "and stays announced");
}

#[test]
fn one_failed_probe_begins_the_hold_anew() {
    let mut world = World::healthy(config(1));
    world.tick = 20 * MS;
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(10 * SECOND);
    world.heal(0);
    world.run(40 * SECOND);
    world.clients[0].probe = ProbeAnswer::refused();
    world.run(1500 * MS);
    world.heal(0);
    let (took, ..) = world.run_until_change(5 * MINUTE).unwrap();
    assert!(took > 59 * SECOND, "{took:?}");
}

#[test]
fn hold_doubles_with_each_flap_and_the_third_locks_out() {
    let mut world = World::healthy(config(1));
    world.tick = 20 * MS;
    let flap = |world: &mut World| {
        world.fail(0, Answer::Refuses, ProbeAnswer::refused());
        world.run(5 * SECOND);
        world.heal(0);
    };
    for minutes in [1, 2] {
        flap(&mut world);
        assert_eq!(world.prefix().standing, Standing::Withdrawn);
        let (took, level, _) = world.run_until_change(10 * MINUTE).unwrap();
        assert_eq!(level, Level::Full);
        let hold = MINUTE * minutes;
        assert!((hold..hold + 4 * SECOND).contains(&took), "{took:?}");
        world.run(5 * SECOND);
    }
    flap(&mut world);
    assert_eq!(world.prefix().standing, Standing::LockedOut);
    assert!(
        world
            .events()
            .iter()
            .any(|event| matches!(event, Event::LockedOut { withdrawals: 3, .. }))
    );
    world.tick = SECOND;
    let (took, ..) = world.run_until_change(2 * HOUR).unwrap();
    assert!(
        took > HOUR.mul_f64(0.99) && took < HOUR.mul_f64(1.01),
        "{took:?}"
    );
}

#[test]
fn blind_probe_cannot_end_the_fault_but_one_retry_comes() {
    let mut config = config(1);
    config.recover.hold_max = 10 * MINUTE;
    let mut world = World::healthy(config);
    world.tick = 20 * MS;
    world.fail(0, Answer::Silent, ProbeAnswer::Passes);
    world.run(SECOND);
    assert_eq!(world.causes(), [(Level::Withdrawn, Cause::LiveTrials)]);
    for _ in 0..2 {
        let (took, level, reason) = world.run_until_change(20 * MINUTE).unwrap();
        assert_eq!((level, reason.cause), (Level::Full, Cause::Retry));
        assert!(took > 9 * MINUTE && took < 11 * MINUTE, "{took:?}");
        // The fault is still there: the rate leg is void until traffic has settled.
        let (took, level, reason) = world.run_until_change(3 * MINUTE).unwrap();
        assert_eq!((level, reason.cause), (Level::Withdrawn, Cause::LiveTrials));
        assert!((MINUTE..MINUTE + SECOND).contains(&took), "{took:?}");
    }
    world.heal(0);
    world.run(11 * MINUTE);
    assert_eq!(world.prefix().wanted, Some(Level::Full));
    world.run(5 * MINUTE);
    assert_eq!(world.prefix().wanted, Some(Level::Full));
}

#[test]
fn probe_that_fails_a_second_after_the_withdraw_sees_the_fault() {
    let mut world = World::healthy(config(1));
    world.tick = 20 * MS;
    world.fail(0, Answer::Silent, ProbeAnswer::timeout());
    world.run(500 * MS);
    assert_eq!(world.prefix().withdrawals, 1, "by rate, before the timeout");
    world.run(3 * SECOND);
    world.heal(0);
    let (took, _, reason) = world.run_until_change(3 * MINUTE).unwrap();
    assert_eq!(reason.cause, Cause::Recovered);
    assert!(took < 65 * SECOND, "{took:?}");
}

#[test]
fn application_fault_returns_by_its_probe() {
    let mut config = config(1);
    http(&mut config);
    let mut world = World::healthy(config);
    world.clients[0].probe = ProbeAnswer::refused();
    world.run(5 * SECOND);
    assert_eq!(world.state(0), ServiceState::Failed);
    world.heal(0);
    world.run(70 * SECOND);
    assert_eq!(
        world.causes(),
        [
            (Level::Withdrawn, Cause::Probe),
            (Level::Full, Cause::Recovered)
        ]
    );
    assert_eq!(world.state(0), ServiceState::Armed);
}

#[test]
fn route_that_someone_else_changed_is_recorded_and_not_repaired_here() {
    let mut world = World::healthy(config(1));
    world.route(0, Level::Withdrawn);
    world.route(0, Level::Full);
    world.route(0, Level::Withdrawn);
    let differs = world
        .events()
        .iter()
        .filter(|event| matches!(event, Event::RouteDiffers { .. }))
        .count();
    assert_eq!(differs, 2);
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.prefix().wanted, Some(Level::Full));
}

#[test]
fn prefix_that_someone_announced_while_we_waited_is_adopted() {
    let mut config = config(1);
    config.services[0].probe.rise = 100;
    let mut world = World::new(config);
    world.route(0, Level::Withdrawn);
    world.run(5 * SECOND);
    world.route(0, Level::Full);
    world.run(10 * SECOND);
    assert_eq!(world.levels_set(), []);
    assert_eq!(world.prefix().wanted, Some(Level::Full));
}

#[test]
fn a_deadline_follows_the_answers_of_a_healthy_service_only() {
    let mut config = config(1);
    config.services[0].detect.learns_deadline = true;
    let mut world = World::healthy(config);
    let mut buckets = vec![0; latency::BUCKETS];
    let mut answers = |world: &mut World, milliseconds: u64| {
        buckets[latency::bucket(milliseconds * 1_000_000)] += 5000;
        let latencies = vec![Latencies {
            service: ServiceId(0),
            buckets: buckets.clone(),
        }];
        let before = world.commands.len();
        world.handle(Input::Latencies(latencies));
        world.commands[before..]
            .iter()
            .find_map(|(_, command)| match command {
                Command::SetDeadline { deadline, .. } => Some(deadline.as_millis()),
                Command::SetLevel { .. }
                | Command::Probe { .. }
                | Command::CheckSensor
                | Command::CollectEvidence { .. }
                | Command::Record(_) => None,
            })
    };
    assert_eq!(answers(&mut world, 1), None, "nothing to compare with");
    assert_eq!(answers(&mut world, 1), None, "100 ms is the least");
    world.fail(0, Answer::Silent, ProbeAnswer::Passes);
    world.run(SECOND);
    assert_eq!(answers(&mut world, 400), None, "a fault");
    world.heal(0);
    world.run(2 * HOUR);
    assert_eq!(answers(&mut world, 150), Some(671));
    assert_eq!(answers(&mut world, 150), None, "and it stays");
}
