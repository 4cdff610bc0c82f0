//! What is decided when no daemon starts any more: only what three of three probes prove,
//! and only what a daemon might do, too.

mod common;

use std::time::Duration;

use common::{SECOND, config};
use probe_core::{
    Command, Engine, Input, LastResort, Level, Timestamp,
    command::{Event, Guard},
    config::{Action, LastSite, Mode, PrefixId, ProbeKind, Race, ServiceId, WithdrawWhen},
    input::{Directive, Order, ProbeFailure, ProbeResult},
    witness::{Heard, Other},
};

const PREFIX: PrefixId = PrefixId(0);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos((1_000 + seconds) * 1_000_000_000)
}

/// What came of it: levels that were set, guards that held one.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    levels: Vec<Level>,
    holds: Vec<Guard>,
}

fn take(resort: &mut LastResort, outcome: &mut Outcome) -> Vec<(ServiceId, u64, u32)> {
    let mut bursts = Vec::new();
    while let Some(command) = resort.next_command() {
        match command {
            Command::SetLevel { level, .. } => outcome.levels.push(level),
            Command::Record(Event::Held { guard, .. }) => outcome.holds.push(guard),
            Command::Probe {
                service,
                burst,
                count,
                ..
            } => bursts.push((service, burst, count)),
            _ => {}
        }
    }
    bursts
}

/// Asks once; `failures` says how many of its three probes each service fails, the first
/// ones of them.
fn decide(resort: &mut LastResort, observed: Level, failures: &[u32]) -> Outcome {
    let mut outcome = Outcome::default();
    find(resort, observed, at(0));
    assert_eq!(take(resort, &mut outcome), [], "not asked yet");
    resort.ask(at(0));
    let bursts = take(resort, &mut outcome);
    assert_eq!(bursts.len(), failures.len());
    for (service, burst, count) in bursts {
        assert_eq!(count, 3);
        for number in 0..count {
            let fails = number < failures[service.0 as usize];
            let outcome = if fails {
                Err(ProbeFailure::Refused)
            } else {
                Ok(())
            };
            let took = SECOND;
            resort.handle(
                Input::Probe(ProbeResult {
                    service,
                    burst,
                    took,
                    outcome,
                }),
                at(1),
            );
        }
    }
    assert_eq!(take(resort, &mut outcome), [], "asked once");
    outcome
}

fn withdrawn() -> Outcome {
    Outcome {
        levels: vec![Level::Withdrawn],
        holds: Vec::new(),
    }
}

fn held(guard: Guard) -> Outcome {
    Outcome {
        levels: Vec::new(),
        holds: vec![guard],
    }
}

#[test]
fn only_what_three_of_three_probes_prove_is_withdrawn() {
    let kept = Outcome::default;
    let cases: [(&str, u8, WithdrawWhen, &[u32], Outcome); 8] = [
        ("all pass", 1, WithdrawWhen::Any, &[0], kept()),
        ("one fails", 1, WithdrawWhen::Any, &[1], kept()),
        ("two fail", 1, WithdrawWhen::Any, &[2], kept()),
        ("all fail", 1, WithdrawWhen::Any, &[3], withdrawn()),
        ("one of two", 2, WithdrawWhen::Any, &[0, 3], withdrawn()),
        ("not all", 2, WithdrawWhen::All, &[3, 2], kept()),
        ("all of two", 2, WithdrawWhen::All, &[3, 3], withdrawn()),
        (
            "one of the two that it takes",
            3,
            WithdrawWhen::AtLeast(2),
            &[3, 0, 2],
            kept(),
        ),
    ];
    for (description, services, when, failures, expected) in cases {
        let mut config = config(services);
        config.prefixes[0].withdraw_when = when;
        let mut resort = LastResort::new(config, None, at(0));
        let outcome = decide(&mut resort, Level::Full, failures);
        assert_eq!(outcome, expected, "{description}");
        assert_eq!(resort.waits_until(), None, "{description}");
    }
}

#[test]
fn a_degraded_prefix_is_withdrawn_too_and_nothing_is_ever_raised() {
    let cases = [
        (Level::Degraded, 3, withdrawn()),
        (Level::Degraded, 0, Outcome::default()),
        (Level::Withdrawn, 3, Outcome::default()),
        (Level::Withdrawn, 0, Outcome::default()),
    ];
    for (observed, failures, expected) in cases {
        let mut resort = LastResort::new(config(1), None, at(0));
        let outcome = decide(&mut resort, observed, &[failures]);
        assert_eq!(outcome, expected, "{observed} {failures}");
    }
}

#[test]
fn a_service_that_nobody_can_ask_is_not_dead() {
    let mut config = config(1);
    config.services[0].probe.kind = ProbeKind::None;
    let mut resort = LastResort::new(config, None, at(0));
    assert_eq!(decide(&mut resort, Level::Full, &[]), Outcome::default());
}

#[test]
fn shadow_mode_and_the_policy_hold_it() {
    let mut observed = config(1);
    observed.mode = Mode::Observe;
    let mut resort = LastResort::new(observed, None, at(0));
    let outcome = decide(&mut resort, Level::Full, &[3]);
    assert_eq!(outcome, held(Guard::Observe));

    let mut tolerant = config(1);
    tolerant.classify.quiet = Action::Hold;
    let mut resort = LastResort::new(tolerant, None, at(0));
    let outcome = decide(&mut resort, Level::Full, &[3]);
    assert_eq!(outcome.levels, []);
    assert!(outcome.holds.iter().all(|guard| *guard == Guard::Policy));
    assert!(!outcome.holds.is_empty());
}

#[test]
fn orders_that_a_daemon_left_hold() {
    let directive = || Directive {
        by: "root".into(),
        why: "new kernel".into(),
        until: Some(at(3600)),
        force: false,
    };
    let pin = |level| Order::Pin {
        prefix: PREFIX,
        level,
        directive: directive(),
    };
    let freeze = Order::Freeze {
        directive: directive(),
    };
    let drain = Order::Drain {
        prefix: PREFIX,
        directive: directive(),
    };
    let hour = Duration::from_hours(1);
    let cases = [
        (
            "pinned where it is",
            pin(Level::Full),
            Duration::ZERO,
            held(Guard::Pinned),
        ),
        (
            "pinned elsewhere: not carried out, and not lowered",
            pin(Level::Degraded),
            Duration::ZERO,
            held(Guard::Pinned),
        ),
        (
            "frozen",
            freeze.clone(),
            Duration::ZERO,
            held(Guard::Frozen),
        ),
        ("drained", drain, Duration::ZERO, Outcome::default()),
        ("a freeze that has expired", freeze, hour, withdrawn()),
    ];
    for (description, order, ago, expected) in cases {
        let mut before = Engine::new(config(1), at(0));
        before.handle(Input::Operator(order), at(0));
        let memory = Some((before.memory(), ago));
        let mut resort = LastResort::new(config(1), memory, at(0));
        let outcome = decide(&mut resort, Level::Full, &[3]);
        assert_eq!(outcome, expected, "{description}");
    }
}

fn guarded(goes_first: bool) -> LastSite {
    LastSite::Hold(Race {
        goes_first,
        round: SECOND,
    })
}

fn hear(resort: &mut LastResort, heard: Heard, now: Timestamp) {
    let other = Other {
        site: "ams1".into(),
        host: "edge1".into(),
        is_neighbour: false,
        heard,
    };
    let (prefix, others) = (PREFIX, vec![other]);
    resort.handle(Input::Witness { prefix, others }, now);
}

fn find(resort: &mut LastResort, observed: Level, now: Timestamp) {
    let prefix = PREFIX;
    resort.handle(Input::Route { prefix, observed }, now);
}

#[test]
fn the_last_site_is_not_withdrawn() {
    let mut config = config(1);
    config.prefixes[0].last_site = guarded(true);
    let degraded = |guard| Outcome {
        levels: vec![Level::Degraded],
        holds: vec![guard],
    };
    let cases = [
        (Heard::Level(Level::Full), withdrawn()),
        (Heard::Level(Level::Withdrawn), degraded(Guard::LastSite)),
        (
            Heard::Stale("BIRD has died".into()),
            degraded(Guard::WitnessStale),
        ),
    ];
    for (heard, expected) in cases {
        let mut resort = LastResort::new(config.clone(), None, at(0));
        hear(&mut resort, heard.clone(), at(0));
        let outcome = decide(&mut resort, Level::Full, &[3]);
        assert_eq!(outcome, expected, "{heard:?}");
        assert_eq!(resort.waits_until(), None, "{heard:?}");
    }
}

#[test]
fn nobody_waits_an_hour_for_the_budget() {
    let mut config = config(1);
    config.guards.lowerings_per_hour = 1;
    config.prefixes[0].last_site = guarded(false);
    let mut resort = LastResort::new(config, None, at(0));
    hear(&mut resort, Heard::Level(Level::Full), at(0));
    let mut outcome = decide(&mut resort, Level::Full, &[3]);
    find(&mut resort, Level::Degraded, at(1));
    resort.handle(Input::Wake, at(2));
    take(&mut resort, &mut outcome);
    assert_eq!(outcome.levels, [Level::Degraded]);
    assert_eq!(outcome.holds, [Guard::BudgetLocal]);
    assert_eq!(resort.waits_until(), None);
}

#[test]
fn a_site_that_does_not_go_first_degrades_waits_a_round_and_looks_again() {
    let mut config = config(1);
    config.prefixes[0].last_site = guarded(false);
    for (heard, levels) in [
        (Level::Full, vec![Level::Withdrawn]),
        (Level::Degraded, Vec::new()),
    ] {
        let mut resort = LastResort::new(config.clone(), None, at(0));
        hear(&mut resort, Heard::Level(Level::Full), at(0));
        let mut outcome = decide(&mut resort, Level::Full, &[3]);
        assert_eq!(outcome.levels, [Level::Degraded]);
        find(&mut resort, Level::Degraded, at(1));
        assert_eq!(resort.waits_until(), Some(at(2)));
        hear(&mut resort, Heard::Level(heard), at(2));
        resort.handle(Input::Wake, at(2));
        outcome.levels.clear();
        take(&mut resort, &mut outcome);
        assert_eq!(outcome.levels, levels, "the other one is {heard}");
        assert_eq!(resort.waits_until(), None);
    }
}
