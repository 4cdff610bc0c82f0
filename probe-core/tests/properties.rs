//! What must hold for every stream of inputs.

mod common;

use std::time::Duration;

use common::{Answer, MS, ProbeAnswer, SECOND, TICK, World, config, http};
use probe_common::trial::Kind;
use probe_core::{
    Command, Config, Engine, Input, Level, Timestamp,
    command::Cause,
    config::{Mode, PrefixId, ServiceId},
    input::{
        Bucket, CohortReading, Directive, HandshakeCounts, Order, ProbeFailure, ProbeResult,
        Reading, Sensor, ServiceReading, TrialReading, UplinkReading,
    },
    status::ServiceState,
};
use proptest::prelude::*;

/// What happens in one tick: so many connections of each kind.
#[derive(Clone, Copy, Debug)]
struct Traffic {
    accepted: u32,
    refused: u32,
    silent: u32,
    aborted: u32,
}

fn traffic() -> impl Strategy<Value = Traffic> {
    (0_u32..6, 0_u32..6, 0_u32..6, 0_u32..3).prop_map(|(accepted, refused, silent, aborted)| {
        Traffic {
            accepted,
            refused,
            silent,
            aborted,
        }
    })
}

fn play(world: &mut World, traffic: Traffic) {
    let now = world.now;
    for (count, answer) in [
        (traffic.accepted, Answer::Accepts),
        (traffic.refused, Answer::Refuses),
        (traffic.silent, Answer::Silent),
        (traffic.aborted, Answer::Aborted),
    ] {
        for _ in 0..count {
            world.clients[0].kernel.connection(now, answer);
        }
    }
    world.run(TICK);
}

/// A withdraw by live trials, if there was one.
fn withdrawn_by_trials(world: &World) -> Option<Timestamp> {
    world
        .levels_set()
        .into_iter()
        .find(|(_, _, level, reason)| {
            *level == Level::Withdrawn && reason.cause == Cause::LiveTrials
        })
        .map(|(at, ..)| at)
}

fn is_withdraw(command: &Command) -> bool {
    matches!(
        command,
        Command::SetLevel {
            level: Level::Withdrawn,
            ..
        }
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_withdraw_by_trials_before_arming(
        ticks in prop::collection::vec(traffic(), 1..400),
    ) {
        let mut config = config(1);
        config.services[0].detect.arm_after = 1_000_000;
        let mut world = World::new(config);
        world.route(0, Level::Full);
        world.clients[0].rate = 0;
        world.clients[0].probe = ProbeAnswer::refused();
        for tick in ticks {
            play(&mut world, tick);
        }
        prop_assert_eq!(withdrawn_by_trials(&world), None);
        prop_assert_ne!(world.state(0), ServiceState::Armed);
    }

    /// Failures of any number and kind come on top of the expected successes, and
    /// every probe passes.
    #[test]
    fn never_on_failures_alone(
        ticks in prop::collection::vec(traffic(), 1..600),
        patience in prop::sample::select(vec![Duration::ZERO, SECOND]),
        application in any::<bool>(),
    ) {
        let mut config = config(1);
        config.services[0].detect.patience = patience;
        if application {
            http(&mut config);
        }
        let mut world = World::healthy(config);
        for tick in ticks {
            play(&mut world, tick);
        }
        prop_assert_eq!(world.levels_set(), []);
    }

    /// With the same past, the same probes and no patience, turning successes into
    /// failures never makes the withdraw later. Within the second in which the
    /// baseline is not learned anew: what a detector takes as normal may of course
    /// depend on the past.
    #[test]
    fn monotone_in_failures(
        ticks in prop::collection::vec((0_u32..6, 0_u32..4, 0_u32..6), 1..450),
    ) {
        let mut fewer = World::healthy(config(1));
        let mut more = World::healthy(config(1));
        for world in [&mut fewer, &mut more] {
            world.clients[0].rate = 0;
            world.clients[0].probe = ProbeAnswer::refused();
        }
        for (accepted, refused, turned) in ticks {
            let turned = turned.min(accepted);
            let traffic = |accepted, refused| Traffic { accepted, refused, silent: 0, aborted: 0 };
            play(&mut fewer, traffic(accepted, refused));
            play(&mut more, traffic(accepted - turned, refused + turned));
        }
        if let Some(late) = withdrawn_by_trials(&fewer) {
            let early = withdrawn_by_trials(&more);
            prop_assert!(early.is_some_and(|early| early <= late), "{early:?} > {late:?}");
        }
    }

    #[test]
    fn recorded_stream_replays_to_the_same_bytes(
        ticks in prop::collection::vec(traffic(), 1..120),
        fault in 0_u64..200,
    ) {
        let configuration = config(1);
        let mut world = World::new(configuration.clone());
        world.recorder = Some(Vec::new());
        world.tick = 10 * MS;
        world.route(0, Level::Withdrawn);
        world.run(2 * SECOND);
        world.fail(0, Answer::Refuses, ProbeAnswer::refused());
        world.run(Duration::from_millis(fault));
        world.heal(0);
        for tick in ticks {
            play(&mut world, tick);
        }
        let lines = |items: &[(Timestamp, Input)]| -> String {
            items.iter().map(|item| serde_json::to_string(item).unwrap() + "\n").collect()
        };
        let bytes = |commands: &[(Timestamp, Command)]| -> String {
            commands.iter().map(|item| serde_json::to_string(item).unwrap() + "\n").collect()
        };
        let recorded = lines(&world.recorder.clone().unwrap());
        let configuration = serde_json::to_string(&configuration).unwrap();

        let configuration: Config = serde_json::from_str(&configuration).unwrap();
        let mut engine = Engine::new(configuration, Timestamp::from_nanos(5_000_000_000_123));
        let mut commands = Vec::new();
        for line in recorded.lines() {
            let (now, input): (Timestamp, Input) = serde_json::from_str(line).unwrap();
            engine.handle(input, now);
            while let Some(command) = engine.next_command() {
                commands.push((now, command));
            }
        }
        prop_assert!(commands.len() > 3);
        prop_assert_eq!(bytes(&commands), bytes(&world.commands));
    }
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..400_000_000, 0_u64..100_000_000_000, any::<u64>()]
}

fn bucket() -> impl Strategy<Value = Bucket> {
    (0_u32..50, 0_u32..50, 0_u32..50, any::<u32>()).prop_map(
        |(started, succeeded, failed, abandoned)| Bucket {
            started,
            succeeded,
            failed,
            abandoned,
        },
    )
}

fn failure() -> impl Strategy<Value = Result<(), ProbeFailure>> {
    prop_oneof![
        Just(Ok(())),
        Just(Err(ProbeFailure::Refused)),
        Just(Err(ProbeFailure::Timeout)),
        any::<u16>().prop_map(|status| Err(ProbeFailure::Status(status))),
        Just(Err(ProbeFailure::Body)),
        Just(Err(ProbeFailure::Tls("expired".into()))),
        any::<i32>().prop_map(|code| {
            let said = "no database".into();
            Err(ProbeFailure::Exit { code, said })
        }),
        (1..=64).prop_map(|signal| {
            let said = String::new();
            Err(ProbeFailure::Killed { signal, said })
        }),
        Just(Err(ProbeFailure::Other("no route to host".into()))),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let reading = (
        (0_u32..4, prop::sample::select(Kind::ALL.to_vec())),
        prop_oneof![Just(22_u32), any::<u32>()],
        prop_oneof![Just(100_u64), any::<u64>()],
        prop_oneof![
            prop::collection::vec(bucket(), 64),
            prop::collection::vec(bucket(), 0..3)
        ],
        prop_oneof![
            prop::collection::vec(0_u32..1000, 64),
            prop::collection::vec(any::<u32>(), 0..3)
        ],
    )
        .prop_map(
            |((service, kind), width_shift, deadline, buckets, counts)| {
                Input::Reading(Reading {
                    unchanged: vec![ServiceId(service ^ 1)],
                    services: vec![ServiceReading {
                        service: ServiceId(service),
                        trials: vec![TrialReading {
                            kind,
                            ring: CohortReading {
                                width_shift,
                                deadline: Duration::from_millis(deadline),
                                after_deadline: 0,
                                buckets,
                            },
                        }],
                        verified: counts.clone(),
                        requests: counts.clone(),
                        finishes: counts.clone(),
                        servfails: counts,
                    }],
                })
            },
        );
    let probe = (0_u32..4, 0_u64..40, any::<u64>(), failure()).prop_map(
        |(service, burst, took, outcome)| {
            Input::Probe(ProbeResult {
                service: ServiceId(service),
                burst,
                took: Duration::from_nanos(took),
                outcome,
            })
        },
    );
    let level = prop::sample::select(vec![Level::Full, Level::Degraded, Level::Withdrawn]);
    let route = (0_u32..3, level).prop_map(|(prefix, observed)| Input::Route {
        prefix: PrefixId(prefix),
        observed,
    });
    let uplinks = prop::collection::vec((0_u32..3, any::<[u64; 6]>()), 0..4).prop_map(|uplinks| {
        let uplink = |(index, [a, b, c, d, spans, spans_failed]): (u32, [u64; 6])| UplinkReading {
            interface: format!("eth{index}"),
            index,
            came: HandshakeCounts {
                answered: a,
                completed: b,
            },
            left: HandshakeCounts {
                answered: c,
                completed: d,
            },
            spans,
            spans_failed,
        };
        Input::Uplinks(uplinks.into_iter().map(uplink).collect())
    });
    prop_oneof![
        4 => reading,
        4 => probe,
        1 => uplinks,
        1 => route,
        1 => order().prop_map(Input::Operator),
        1 => other_config().prop_map(|config| Input::Configuration(Box::new(config))),
        1 => Just(Input::Sensor(Sensor::Attached)),
        1 => Just(Input::Sensor(Sensor::Detached("no hook".into()))),
        1 => Just(Input::Wake),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    let prefix = || (0_u32..3).prop_map(PrefixId);
    let level = prop::sample::select(vec![Level::Full, Level::Degraded, Level::Withdrawn]);
    let directive = || {
        prop::option::of(any::<u64>()).prop_map(|until| Directive {
            by: "root".into(),
            why: "maintenance".into(),
            until: until.map(Timestamp::from_nanos),
            force: false,
        })
    };
    prop_oneof![
        (prefix(), level, directive()).prop_map(|(prefix, level, directive)| Order::Pin {
            prefix,
            level,
            directive
        }),
        prefix().prop_map(|prefix| Order::Unpin { prefix }),
        (prefix(), directive()).prop_map(|(prefix, directive)| Order::Drain { prefix, directive }),
        prefix().prop_map(|prefix| Order::Undrain { prefix }),
        directive().prop_map(|directive| Order::Freeze { directive }),
        Just(Order::Thaw),
    ]
}

fn odd_config() -> impl Strategy<Value = Config> {
    (
        1_u8..4,
        any::<f64>(),
        any::<u64>(),
        any::<u32>(),
        any::<u64>(),
        (any::<u32>(), any::<u32>()),
        any::<bool>(),
    )
        .prop_map(
            |(services, broken, time, arm_after, period, (rise, fall), application)| {
                let mut config = config(services);
                config.false_alarm_period = Duration::from_secs(period);
                config.recover.hold = Duration::from_nanos(time);
                config.recover.canary = period % 2 == 1;
                config.guards.lowerings_per_hour = rise % 7;
                config.prefixes[0].drain = Duration::from_nanos(time);
                for service in &mut config.services {
                    service.detect.broken = broken;
                    service.detect.arm_after = arm_after % 100;
                    service.detect.patience = Duration::from_nanos(time);
                    service.detect.grey_patience = Duration::from_nanos(time);
                    service.detect.settle = Duration::from_nanos(time);
                    service.probe.interval = Duration::from_nanos(time);
                    service.probe.rise = rise % 5;
                    service.probe.fall = fall % 5;
                }
                if application {
                    http(&mut config);
                }
                config
            },
        )
}

/// A configuration of which each number survives being written as JSON.
fn other_config() -> impl Strategy<Value = Config> {
    (odd_config(), any::<bool>()).prop_map(|(mut config, reversed)| {
        for service in &mut config.services {
            service.detect.broken = 0.25;
        }
        if reversed {
            config.services.reverse();
        }
        config
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_panics_and_observe_only_tells(
        config in odd_config(),
        observe in any::<bool>(),
        inputs in prop::collection::vec((input(), time()), 1..120),
    ) {
        let mut config = config;
        if observe {
            config.mode = Mode::Observe;
        }
        let mut now = Timestamp::from_nanos(77);
        let mut engine = Engine::new(config, now);
        for (input, step) in inputs {
            now = now.after(Duration::from_nanos(step));
            let input = match input {
                Input::Configuration(config) => {
                    let mode = if observe { Mode::Observe } else { config.mode };
                    Input::Configuration(Box::new(Config { mode, ..*config }))
                }
                other => other,
            };
            let line = serde_json::to_string(&input).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Input>(&line).unwrap(), &input);
            engine.handle(input, now);
            if let Some(timeout) = engine.poll_timeout() {
                prop_assert!(timeout > now);
            }
            while let Some(command) = engine.next_command() {
                let line = serde_json::to_string(&command).unwrap();
                serde_json::from_str::<Command>(&line).unwrap();
                if observe {
                    prop_assert!(!matches!(command, Command::SetLevel { .. }), "{command:?}");
                }
                if let Command::SetLevel { reason, .. } = &command {
                    prop_assert!(!reason.sentence().is_empty());
                }
            }
            engine.services();
            engine.prefixes();
        }
    }

    /// Probes that pass and a trial stream of any shape: only live trials could
    /// withdraw, and in mode `observe` not even they.
    #[test]
    fn observe_never_sets_a_level(ticks in prop::collection::vec(traffic(), 1..60)) {
        let mut config = config(1);
        config.mode = Mode::Observe;
        config.services[0].detect.arm_after = 30;
        let mut world = World::new(config);
        world.route(0, Level::Full);
        world.run(200 * MS);
        world.fail(0, Answer::Refuses, ProbeAnswer::refused());
        for tick in ticks {
            play(&mut world, tick);
        }
        prop_assert!(!world.commands.iter().any(|(_, command)| is_withdraw(command)));
    }
}
