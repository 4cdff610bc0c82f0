use super::*;

const ACKNOWLEDGED: Timestamp = Timestamp::from_nanos(1_000_000_000_000);

fn after(milliseconds: u64) -> Timestamp {
    ACKNOWLEDGED.after(Duration::from_millis(milliseconds))
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn change(level: Level) -> Change {
    Change {
        prefix: PrefixId(0),
        level,
        decided: ACKNOWLEDGED.before(Duration::from_millis(1)),
        acknowledged: ACKNOWLEDGED,
    }
}

fn chase(level: Level) -> Chase {
    let mut chase = Chase::new(PrefixId(0), "192.0.2.0/24".parse().unwrap());
    chase.ordered(change(level), ACKNOWLEDGED);
    chase
}

fn judgement(learned: bool, exported: bool, passed_on: bool) -> Judgement {
    Judgement {
        learned,
        exported: vec![(name("up4"), exported)],
        passed_on,
        troubles: Vec::new(),
    }
}

fn troubled(kind: AlertKind) -> Judgement {
    Judgement {
        troubles: vec![(kind, "it is wrong".to_owned())],
        ..judgement(kind != AlertKind::Stale, true, false)
    }
}

fn pause(chase: &Chase, now: Timestamp) -> Duration {
    chase.due().unwrap().since(now)
}

#[test]
fn a_withdraw_is_followed_from_phase_to_phase() {
    let mut chase = chase(Level::Withdrawn);
    assert_eq!(chase.due(), Some(ACKNOWLEDGED), "looked at once");
    let step = chase.take(judgement(false, true, false), after(1), RECHECK);
    assert!(step.findings.is_empty() && !step.help);
    assert_eq!(pause(&chase, after(1)), Duration::from_millis(1));
    chase.take(judgement(true, true, false), after(2), RECHECK);
    let step = chase.take(judgement(true, false, true), after(3), RECHECK);
    let [Finding::Followed(followed)] = &*step.findings else {
        panic!("{step:?}");
    };
    assert_eq!(followed.learned, Some(Duration::from_millis(2)));
    assert_eq!(followed.exported, Some(Duration::from_millis(3)));
    assert_eq!(
        followed.sessions,
        [SessionTime {
            session: "up4".to_owned(),
            took: Some(Duration::from_millis(3))
        }]
    );
    assert_eq!(pause(&chase, after(3)), RECHECK);
    assert!(!chase.is_pending());
    let again = chase.take(judgement(true, false, true), after(10_003), RECHECK);
    assert!(again.findings.is_empty(), "told once: {again:?}");
}

#[test]
fn what_bird_has_not_learned_is_helped_soon_and_then_less_and_less() {
    let mut chase = chase(Level::Withdrawn);
    let mut helps = Vec::new();
    let mut looks = 0;
    let mut now = ACKNOWLEDGED;
    while now < after(130_000) {
        if chase.take(troubled(AlertKind::Stale), now, RECHECK).help {
            helps.push(now.since(ACKNOWLEDGED).as_millis());
        }
        looks += 1;
        now = chase.due().unwrap();
    }
    assert_eq!(helps, [250, 2000, 16_000, 128_000]);
    assert!(looks < 70, "BIRD is not flooded: {looks}");
    let step = chase.take(judgement(true, false, true), now, RECHECK);
    let followed = step.findings.iter().find_map(|finding| match finding {
        Finding::Followed(followed) => Some(followed),
        _ => None,
    });
    assert_eq!(followed.unwrap().helps, 4);
}

#[test]
fn an_alert_waits_and_ends_with_its_cause() {
    let mut chase = chase(Level::Full);
    let early = chase.take(troubled(AlertKind::NotExported), after(2999), RECHECK);
    assert!(early.findings.is_empty());
    assert_eq!(
        pause(&chase, after(2999)),
        Duration::from_millis(1),
        "not late"
    );
    let alert = |stands, kind| {
        Finding::Alert(Alert {
            prefix: PrefixId(0),
            kind,
            stands,
            sentence: "it is wrong".to_owned(),
        })
    };
    let step = chase.take(troubled(AlertKind::NotExported), after(3000), RECHECK);
    assert_eq!(step.findings, [alert(true, AlertKind::NotExported)]);
    let step = chase.take(troubled(AlertKind::NotExported), after(4000), RECHECK);
    assert_eq!(step.findings, [], "told once");
    assert_eq!(chase.alerts().len(), 1);
    let step = chase.take(troubled(AlertKind::Stale), after(5000), RECHECK);
    assert_eq!(
        step.findings,
        [
            alert(false, AlertKind::NotExported),
            alert(true, AlertKind::Stale)
        ]
    );
    let step = chase.take(judgement(true, true, true), after(6000), RECHECK);
    assert!(step.findings.contains(&alert(false, AlertKind::Stale)));
    assert!(chase.alerts().is_empty());
}

#[test]
fn what_was_well_and_is_no_longer_gets_its_time_again() {
    let mut chase = chase(Level::Full);
    chase.take(judgement(true, true, true), after(1), RECHECK);
    let step = chase.take(troubled(AlertKind::Stale), after(60_000), RECHECK);
    assert!(step.findings.is_empty() && !step.help, "{step:?}");
    assert_eq!(pause(&chase, after(60_000)), Duration::from_millis(1));
    let step = chase.take(troubled(AlertKind::Stale), after(60_250), RECHECK);
    assert!(step.help);
    let step = chase.take(troubled(AlertKind::Stale), after(63_000), RECHECK);
    assert_eq!(step.findings.len(), 1);
}

#[test]
fn an_order_that_is_overtaken_says_so() {
    let mut chase = chase(Level::Withdrawn);
    chase.take(judgement(true, true, false), after(1), RECHECK);
    let told = chase.ordered(
        Change {
            acknowledged: after(50),
            ..change(Level::Full)
        },
        after(50),
    );
    let [Finding::Followed(followed)] = &*told else {
        panic!("{told:?}");
    };
    assert_eq!(
        (followed.level, followed.exported),
        (Level::Withdrawn, None)
    );
    assert!(followed.learned.is_some());
    // What the table says of it afterwards is no other order.
    assert_eq!(chase.stands(Level::Full, after(51)), []);
    let told = chase.stands(Level::Withdrawn, after(60));
    assert_eq!(told.len(), 1, "somebody else took it away: {told:?}");
}

#[test]
fn sessions_that_exported_it_are_missed_until_they_are_no_longer_configured() {
    let numbers = Numbers {
        table: 4242,
        full: 201,
        degraded: 202,
    };
    let mut chase = chase(Level::Full);
    chase.take(judgement(true, true, true), after(1), RECHECK);
    let carriers = |chase: &Chase| chase.case(numbers).unwrap().carriers.clone();
    assert_eq!(carriers(&chase), BTreeSet::from([name("up4")]));
    chase.forget_sessions_but(&BTreeSet::from([name("up4")]));
    assert_eq!(carriers(&chase).len(), 1);
    chase.forget_sessions_but(&BTreeSet::new());
    assert!(carriers(&chase).is_empty());
}

#[test]
fn nothing_is_looked_at_before_something_is_known_or_while_bird_is_away() {
    let mut chase = Chase::new(PrefixId(0), "192.0.2.0/24".parse().unwrap());
    chase.restart(after(0));
    assert_eq!(chase.due(), None);
    chase.stands(Level::Full, after(1));
    assert_eq!(chase.due(), Some(after(1)));
    chase.rest();
    assert_eq!(chase.due(), None);
    chase.restart(after(9));
    assert_eq!(chase.due(), Some(after(9)));
}
