//! What is less than death: grey failures, a path that fails, overload, and the
//! canary on the way back.

mod common;

use std::time::Duration;

use common::{Answer, MS, ProbeAnswer, SECOND, World, config, http};
use probe_common::trial::Kind;
use probe_core::{
    Input, Level,
    command::{Cause, Class, Event, Guard, SecondLeg},
    config::{Absorb, Action, Application, DnsRecord, DnsTransport, ProbeKind, Protocol},
    input::{ProbeFailure, UplinkReading},
    status::{ServiceState, Standing},
    uplinks::Way,
};

const MINUTE: Duration = Duration::from_mins(1);

fn levels(world: &World) -> Vec<(Level, Cause, Option<Class>)> {
    world
        .levels_set()
        .into_iter()
        .map(|(_, _, level, reason)| (level, reason.cause, reason.class))
        .collect()
}

#[test]
fn a_tenth_failing_degrades_within_ten_seconds_and_returns_after_the_hold() {
    let mut world = World::healthy(config(1));
    world.fail(0, Answer::FailsOneIn(10), ProbeAnswer::FailsOneIn(10));
    let (took, level, reason) = world.run_until_change(20 * SECOND).unwrap();
    assert_eq!((level, reason.class), (Level::Degraded, Some(Class::Grey)));
    assert!(took > 5 * SECOND && took < 10 * SECOND, "{took:?}");
    assert!(matches!(
        reason.second_leg,
        Some(SecondLeg::SomeProbes { .. })
    ));
    assert_eq!(reason.evidence, Some(common::sample()));
    assert_eq!(world.state(0), ServiceState::Impaired);
    assert_eq!(world.prefix().standing, Standing::Impaired);
    world.run(2 * MINUTE);
    assert_eq!(levels(&world).len(), 1, "it goes on");
    world.heal(0);
    let (took, level, reason) = world.run_until_change(3 * MINUTE).unwrap();
    assert_eq!((level, reason.cause), (Level::Full, Cause::Recovered));
    assert!(took > MINUTE && took < MINUTE + 10 * SECOND, "{took:?}");
    assert_eq!(world.state(0), ServiceState::Armed);
}

#[test]
fn grey_trials_alone_are_held() {
    let mut world = World::healthy(config(1));
    world.fail(0, Answer::FailsOneIn(10), ProbeAnswer::Passes);
    world.run(MINUTE);
    assert_eq!(levels(&world), []);
    assert_eq!(world.holds(), [Guard::SecondLeg]);
    // The record tells of the grey detector, not of the fast one, which is at rest.
    let mut told = Vec::new();
    for event in world.events() {
        if let Event::Held { reason, .. } = event {
            told.push(reason.trials);
        }
    }
    let trials = told[0];
    assert!(trials.p1 < 0.1 && trials.failed > 0, "{trials:?}");
}

#[test]
fn an_impaired_service_that_dies_is_withdrawn() {
    let mut world = World::healthy(config(1));
    world.fail(0, Answer::FailsOneIn(10), ProbeAnswer::FailsOneIn(10));
    world.run(10 * SECOND);
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    let (took, level, _) = world.run_until_change(SECOND).unwrap();
    assert_eq!(level, Level::Withdrawn);
    assert!(took < 30 * MS, "{took:?}");
}

#[test]
fn actions_are_the_operators() {
    for (grey, service, expected) in [
        (Action::Hold, Action::Withdraw, vec![]),
        (
            Action::Degrade,
            Action::Withdraw,
            vec![(Level::Degraded, Cause::LiveTrials, Some(Class::Grey))],
        ),
    ] {
        let mut config = config(1);
        config.classify.grey = grey;
        config.classify.service = service;
        let mut world = World::healthy(config);
        world.fail(0, Answer::FailsOneIn(10), ProbeAnswer::FailsOneIn(10));
        world.run(20 * SECOND);
        assert_eq!(levels(&world), expected);
    }
    for (service, expected) in [
        (Action::Hold, None),
        (Action::Degrade, Some(Level::Degraded)),
        (Action::Withdraw, Some(Level::Withdrawn)),
    ] {
        let mut config = config(1);
        config.classify.service = service;
        let mut world = World::healthy(config);
        world.fail(0, Answer::Refuses, ProbeAnswer::refused());
        let change = world.run_until_change(SECOND).map(|(_, level, _)| level);
        assert_eq!(change, expected);
        if expected.is_none() {
            assert!(world.holds().contains(&Guard::Policy));
        }
    }
}

#[test]
fn requests_that_clients_leave_open_are_no_fault_of_the_server() {
    // Three cheap hosts among many networks send a byte and wait.
    let mut world = World::new(config(1));
    world.kind(0, Kind::Request, |_| true);
    world.route(0, Level::Full);
    world.run(10 * SECOND);
    world.clients[0].rate = 2000;
    world.kind(0, Kind::Request, |trial| trial % 2 == 0);
    world.clients[0].kernel.few_networks = Some(3);
    world.run(MINUTE);
    assert_eq!(levels(&world), []);
    assert!(world.holds().contains(&Guard::SecondLeg));
}

#[test]
fn a_network_that_suddenly_leaves_many_requests_open_is_not_everybody() {
    let mut config = config(1);
    config.classify.overload = Absorb::Ignore;
    let mut world = World::new(config);
    world.kind(0, Kind::Request, |_| true);
    world.route(0, Level::Full);
    world.run(10 * SECOND);
    // Others come as before; nine times as many connections are of one network.
    world.clients[0].rate = 10_000;
    world.clients[0].kernel.few_networks = Some(1);
    world.kind(0, Kind::Request, |trial| trial.is_multiple_of(10));
    world.run(27 * SECOND);
    world.clients[0].rate = 1000;
    world.clients[0].kernel.few_networks = None;
    world.kind(0, Kind::Request, |_| true);
    world.run(20 * SECOND);
    assert_eq!(levels(&world), []);
    assert!(world.holds().contains(&Guard::SecondLeg));
}

#[test]
fn a_hung_application_is_withdrawn_though_its_backlog_accepts() {
    let mut world = World::new(config(1));
    world.kind(0, Kind::Request, |_| true);
    world.route(0, Level::Full);
    world.run(10 * SECOND);
    world.kind(0, Kind::Request, |_| false);
    let (took, level, reason) = world.run_until_change(5 * SECOND).unwrap();
    assert_eq!((level, reason.kind), (Level::Withdrawn, Kind::Request));
    assert!(matches!(reason.second_leg, Some(SecondLeg::Rate { .. })));
    assert!(took < 200 * MS, "{took:?}");
}

#[test]
fn requests_that_fail_for_everybody_degrade() {
    let mut world = World::new(config(1));
    world.kind(0, Kind::Request, |_| true);
    world.route(0, Level::Full);
    world.run(10 * SECOND);
    world.kind(0, Kind::Request, |trial| trial % 8 != 0);
    let (_, level, reason) = world.run_until_change(20 * SECOND).unwrap();
    assert_eq!((level, reason.class), (Level::Degraded, Some(Class::Grey)));
    assert!(matches!(reason.second_leg, Some(SecondLeg::Spread { .. })));
}

#[test]
fn handshakes_that_are_never_completed_degrade_only_if_clients_are_lost() {
    let mut world = World::new(config(1));
    world.kind(0, Kind::Handshake, |_| true);
    world.route(0, Level::Full);
    world.run(10 * SECOND);
    // A flood with forged sources: real clients come as before.
    world.clients[0].flood = Some(2);
    world.run(MINUTE);
    assert_eq!(levels(&world), []);
    // The way to the clients fails: nobody proves himself any more.
    world.clients[0].flood = None;
    world.run(2 * MINUTE);
    world.clients[0].answer = Answer::AcceptsUnverified;
    world.kind(0, Kind::Handshake, |_| false);
    let (_, level, reason) = world.run_until_change(MINUTE).unwrap();
    assert_eq!((level, reason.class), (Level::Degraded, Some(Class::Path)));
}

#[test]
fn a_path_that_fails_names_the_uplink_behind_which_clients_are_lost() {
    let mut world = World::new(config(1));
    world.kind(0, Kind::Handshake, |_| true);
    world.route(0, Level::Full);
    let mut uplinks: Vec<UplinkReading> = (0..2)
        .map(|index| UplinkReading {
            interface: format!("eth{index}"),
            index,
            ..UplinkReading::default()
        })
        .collect();
    let mut second = |world: &mut World, completed: [u64; 2]| {
        for (uplink, completed) in uplinks.iter_mut().zip(completed) {
            for counts in [&mut uplink.came, &mut uplink.left] {
                counts.answered += 500;
                counts.completed += completed;
            }
        }
        world.handle(Input::Uplinks(uplinks.clone()));
        world.run(SECOND);
    };
    for _ in 0..30 {
        second(&mut world, [500, 499]);
    }
    world.clients[0].answer = Answer::AcceptsUnverified;
    world.kind(0, Kind::Handshake, |_| false);
    for _ in 0..20 {
        second(&mut world, [500, 10]);
    }
    let reasons = world.events().into_iter().filter_map(|event| match event {
        Event::Impaired { reason, .. } => Some(reason),
        _ => None,
    });
    let reasons: Vec<_> = reasons.collect();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    let named: Vec<_> = reasons[0]
        .uplinks
        .iter()
        .map(|uplink| (uplink.interface.as_str(), uplink.way))
        .collect();
    assert_eq!(named, [("eth1", Way::Came), ("eth1", Way::Left)]);
    let sentence = reasons[0].sentence();
    assert!(
        sentence.contains("; clients are lost through eth1: "),
        "{sentence}"
    );
    assert_eq!(
        levels(&world),
        [(Level::Degraded, Cause::LiveTrials, Some(Class::Path))]
    );
}

#[test]
fn requests_on_connections_that_were_opened_slowly_are_of_those_who_send_them() {
    let mut world = World::new(config(1));
    world.kind(0, Kind::Request, |_| true);
    world.route(0, Level::Full);
    world.run(10 * SECOND);
    // Two networks send a byte on each of thousands of connections of before: no
    // handshakes beside those of the other clients, who are served.
    world.clients[0].kernel.burning = Some(2);
    world.run(20 * SECOND);
    assert_eq!(levels(&world), []);
    assert!(world.holds().contains(&Guard::SecondLeg));
}

#[test]
fn connections_that_acknowledge_nothing_are_no_fault_of_the_path() {
    let mut world = World::new(config(1));
    world.kind(0, Kind::Deliver, |_| true);
    world.route(0, Level::Full);
    world.run(10 * SECOND);
    world.kind(0, Kind::Deliver, |trial| trial.is_multiple_of(3));
    world.run(MINUTE);
    assert_eq!(levels(&world), []);
    assert_eq!(world.holds(), [Guard::SecondLeg]);
}

#[test]
fn overload_is_absorbed_unless_the_operator_ignores_it() {
    for (absorb, expected) in [
        (Absorb::Hold, None),
        (Absorb::Ignore, Some(Level::Withdrawn)),
    ] {
        let mut config = config(1);
        config.classify.overload = absorb;
        let mut world = World::healthy(config);
        // Ten times as many come, a part is served, and probes do not get through.
        world.clients[0].rate = 10_000;
        world.fail(
            0,
            Answer::ServesOneIn(12),
            ProbeAnswer::Fails(ProbeFailure::Timeout, 10 * MS),
        );
        let change = world
            .run_until_change(20 * SECOND)
            .map(|(_, level, _)| level);
        assert_eq!(change, expected, "{absorb:?}");
        if absorb == Absorb::Hold {
            assert!(world.holds().contains(&Guard::Overload));
        }
    }
}

#[test]
fn a_backlog_that_fills_and_empties_is_overloaded_all_the_time() {
    // Half-open connections time out together: it serves for a while, then nobody.
    for patience in [Duration::ZERO, SECOND] {
        let mut config = config(1);
        config.services[0].detect.patience = patience;
        http(&mut config);
        let mut world = World::healthy(config);
        world.clients[0].rate = 7_000;
        let unanswered = ProbeAnswer::Fails(ProbeFailure::Timeout, 100 * MS);
        for _ in 0..20 {
            world.fail(0, Answer::ServesOneIn(2), unanswered.clone());
            world.run(400 * MS);
            world.fail(0, Answer::Silent, unanswered.clone());
            world.run(600 * MS);
        }
        assert_eq!(levels(&world), [], "{patience:?}");
        let by_probe = world.events().into_iter().any(|event| {
            matches!(event, Event::Held { guard: Guard::Overload, reason, .. }
                if reason.cause == Cause::Probe)
        });
        assert!(by_probe, "the probe waits in the same queue");
        // Now nobody is served any more.
        let (took, level, _) = world.run_until_change(20 * SECOND).unwrap();
        assert_eq!(level, Level::Withdrawn);
        assert!(took < 5 * SECOND, "{took:?}");
    }
}

#[test]
fn a_crowd_that_gets_errors_is_no_reason_to_wait() {
    let mut config = config(1);
    http(&mut config);
    let mut world = World::healthy(config);
    world.clients[0].rate = 10_000;
    let error = ProbeAnswer::Fails(ProbeFailure::Status(503), MS);
    world.fail(0, Answer::Accepts, error);
    let (_, level, reason) = world.run_until_change(10 * SECOND).unwrap();
    assert_eq!((level, reason.cause), (Level::Withdrawn, Cause::Probe));
}

#[test]
fn a_silent_name_server_whose_resolvers_ask_again_is_not_overloaded() {
    let mut config = config(1);
    let service = &mut config.services[0];
    service.endpoint.protocol = Protocol::Udp;
    service.application = Application::Dns;
    service.probe.kind = ProbeKind::Dns {
        target: (service.endpoint.address, 53).into(),
        transport: DnsTransport::Udp,
        name: "www.example".into(),
        record: DnsRecord::A,
    };
    let mut world = World::healthy(config);
    world.clients[0].rate = 10_000;
    world.fail(0, Answer::Silent, ProbeAnswer::timeout());
    let (took, level, _) = world.run_until_change(20 * SECOND).unwrap();
    assert_eq!(level, Level::Withdrawn);
    assert!(took < 6 * SECOND, "{took:?}");
}

#[test]
fn refused_clients_that_try_again_and_again_are_not_overload() {
    let mut world = World::healthy(config(1));
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.clients[0].rate = 25_000;
    let (took, level, _) = world.run_until_change(5 * SECOND).unwrap();
    assert_eq!(level, Level::Withdrawn);
    assert!(took < 500 * MS, "{took:?}");
}

#[test]
fn most_services_at_once_are_the_hosts_fault() {
    let mut config = config(4);
    for service in &mut config.services {
        service.detect.patience = SECOND;
    }
    let mut world = World::healthy(config);
    for service in 0..4 {
        world.fail(service, Answer::Refuses, ProbeAnswer::refused());
    }
    let (_, level, reason) = world.run_until_change(5 * SECOND).unwrap();
    assert_eq!((level, reason.class), (Level::Withdrawn, Some(Class::Host)));
}

#[test]
fn a_quiet_service_goes_by_its_probe() {
    let mut world = World::healthy(config(1));
    world.clients[0].rate = 0;
    world.run(15 * SECOND);
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    let (_, level, reason) = world.run_until_change(10 * SECOND).unwrap();
    assert_eq!(level, Level::Withdrawn);
    assert_eq!(
        (reason.cause, reason.class),
        (Cause::Probe, Some(Class::Quiet))
    );
}

#[test]
fn a_canary_ends_by_good_trials_or_by_time() {
    for (rate, least, most) in [(1000, 100 * MS, SECOND), (0, 59 * SECOND, 62 * SECOND)] {
        let mut config = config(1);
        config.recover.canary = true;
        let mut world = World::healthy(config);
        world.fail(0, Answer::Refuses, ProbeAnswer::refused());
        world.run(3 * SECOND);
        world.heal(0);
        world.clients[0].rate = rate;
        let (_, level, reason) = world.run_until_change(2 * MINUTE).unwrap();
        assert_eq!((level, reason.cause), (Level::Degraded, Cause::Recovered));
        assert_eq!(world.prefix().standing, Standing::Canary);
        let (took, level, reason) = world.run_until_change(2 * MINUTE).unwrap();
        assert_eq!((level, reason.cause), (Level::Full, Cause::Canary));
        assert!(took >= least && took <= most, "{rate}: {took:?}");
    }
}

#[test]
fn a_canary_that_fails_is_withdrawn_again() {
    let mut config = config(1);
    config.recover.canary = true;
    let mut world = World::healthy(config);
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    world.run(3 * SECOND);
    world.fail(0, Answer::Refuses, ProbeAnswer::Passes);
    world.run_until_change(2 * MINUTE).unwrap();
    world.fail(0, Answer::Refuses, ProbeAnswer::refused());
    let (_, level, _) = world.run_until_change(10 * SECOND).unwrap();
    assert_eq!(level, Level::Withdrawn);
}

#[test]
fn an_adopted_degraded_prefix_is_full_after_a_hold_without_fault() {
    let mut world = World::new(config(1));
    world.route(0, Level::Degraded);
    let (took, level, _) = world.run_until_change(3 * MINUTE).unwrap();
    assert_eq!(level, Level::Full);
    assert!(took >= MINUTE && took < MINUTE + 5 * SECOND, "{took:?}");
}
