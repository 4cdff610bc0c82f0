use super::*;
use crate::bird::{Channel, Kind, Protocol};

const NUMBERS: Numbers = Numbers {
    table: 4242,
    full: 201,
    degraded: 202,
};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn protocol(text: &str, kind: Kind, up: bool, imports: bool, exports: bool) -> Protocol {
    Protocol {
        name: name(text),
        kind,
        up,
        neighbor: None,
        last_error: None,
        channels: vec![Channel {
            family: Family::V4,
            table: name("lapwing4"),
            imports,
            exports,
        }],
    }
}

/// A kernel protocol that learns, one that only writes, two upstreams, something static.
fn landscape() -> Landscape {
    Landscape::new(vec![
        protocol("kernel4", Kind::Kernel, true, true, false),
        protocol("main4", Kind::Kernel, true, false, true),
        protocol("up4", Kind::Bgp, true, false, true),
        protocol("up5", Kind::Bgp, false, false, true),
        protocol("own4", Kind::Other, true, true, false),
    ])
}

fn route(origin: &str, source: Option<u8>) -> Route {
    Route {
        prefix: "192.0.2.0/24".parse().unwrap(),
        origin: name(origin),
        kernel_source: source,
    }
}

fn sight(learned: Option<&Route>, exported: Option<&Route>) -> Sight {
    Sight {
        learned: learned.into_iter().cloned().collect(),
        exported: vec![(name("up4"), exported.into_iter().cloned().collect())],
        covering: Vec::new(),
    }
}

fn judged(level: Level, carriers: &[&str], landscape: &Landscape, sight: &Sight) -> Judgement {
    let carriers = carriers.iter().map(|carrier| name(carrier)).collect();
    let case = Case {
        prefix: "192.0.2.0/24".parse().unwrap(),
        level,
        numbers: NUMBERS,
        carriers: &carriers,
    };
    judge(case, landscape, sight)
}

/// What is described, the level, what is learned, what is exported, and what comes of
/// it: learned, passed on, what is wrong.
type Row<'a> = (
    &'a str,
    Level,
    Option<&'a Route>,
    Option<&'a Route>,
    (bool, bool, Option<AlertKind>),
);

#[test]
fn what_bird_has_is_held_against_the_level() {
    let full = &route("kernel4", Some(201));
    let degraded = &route("kernel4", Some(202));
    let unreadable = &route("kernel4", None);
    let foreign = &route("kernel4", Some(99));
    let own = &route("own4", None);
    let up = &route("up4", None);
    let good = (true, true, None);
    let not_yet = (true, false, None);
    let stale = (false, false, Some(AlertKind::Stale));
    let unexported = (true, false, Some(AlertKind::NotExported));
    let void = (true, false, Some(AlertKind::StillExported));
    let announced: [Row<'_>; 7] = [
        ("announced", Level::Full, Some(full), Some(full), good),
        (
            "degraded",
            Level::Degraded,
            Some(degraded),
            Some(degraded),
            good,
        ),
        (
            "no number",
            Level::Full,
            Some(unreadable),
            Some(unreadable),
            good,
        ),
        ("lost: absent", Level::Full, None, None, stale),
        ("lost: old", Level::Degraded, Some(full), Some(full), stale),
        ("filtered", Level::Full, Some(full), None, unexported),
        ("another's", Level::Full, Some(full), Some(own), unexported),
    ];
    let withdrawn: [Row<'_>; 6] = [
        ("withdrawn", Level::Withdrawn, None, None, good),
        (
            "on its way out",
            Level::Withdrawn,
            None,
            Some(full),
            not_yet,
        ),
        (
            "lost: still there",
            Level::Withdrawn,
            Some(full),
            Some(full),
            stale,
        ),
        ("originated twice", Level::Withdrawn, None, Some(own), void),
        ("another router's", Level::Withdrawn, None, Some(up), good),
        (
            "not ours",
            Level::Withdrawn,
            Some(foreign),
            Some(foreign),
            void,
        ),
    ];
    for (description, level, learned, exported, expected) in announced.into_iter().chain(withdrawn)
    {
        let judgement = judged(level, &[], &landscape(), &sight(learned, exported));
        let kinds: Vec<AlertKind> = judgement.troubles.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(
            (judgement.learned, judgement.passed_on, kinds),
            (expected.0, expected.1, Vec::from_iter(expected.2)),
            "{description}"
        );
    }
}

#[test]
fn a_session_that_no_longer_exports_is_missed_while_it_is_established() {
    let full = route("kernel4", Some(201));
    let mut sight = sight(Some(&full), Some(&full));
    sight.exported.push((name("up6"), Vec::new()));
    let lost = judged(Level::Full, &["up4", "up6"], &landscape(), &sight);
    assert_eq!(lost.troubles[0].0, AlertKind::ExportLost);
    assert!(lost.troubles[0].1.contains("up6"), "{lost:?}");
    assert!(!lost.passed_on);
    let never = judged(Level::Full, &["up4"], &landscape(), &sight);
    assert!(never.is_done(), "it never exported it: {never:?}");
    sight.exported.pop();
    let down = judged(Level::Full, &["up4", "up6"], &landscape(), &sight);
    assert!(down.is_done(), "nobody can ask it: {down:?}");
}

#[test]
fn a_network_around_a_withdrawn_prefix_counts_if_it_begins_here() {
    let mut sight = sight(None, None);
    let around = |origin| Route {
        prefix: "192.0.0.0/16".parse().unwrap(),
        ..route(origin, None)
    };
    sight.covering = vec![(name("up4"), around("up5"))];
    assert!(judged(Level::Withdrawn, &[], &landscape(), &sight).is_done());
    sight.covering.push((name("up4"), around("own4")));
    let covered = judged(Level::Withdrawn, &[], &landscape(), &sight);
    assert!(covered.passed_on, "the prefix itself is gone");
    assert_eq!(covered.troubles[0].0, AlertKind::Covered);
    assert!(
        covered.troubles[0].1.contains("192.0.0.0/16"),
        "{covered:?}"
    );
}

#[test]
fn sentences_name_the_cause_and_the_remedy() {
    let full = route("kernel4", Some(201));
    let bare = Landscape::new(Vec::new());
    let no_session = Landscape::new(vec![protocol("kernel4", Kind::Kernel, false, true, false)]);
    let down = Landscape::new(vec![
        protocol("kernel4", Kind::Kernel, true, true, false),
        protocol("up5", Kind::Bgp, false, false, true),
    ]);
    let nothing = Sight::default();
    let learned = Sight {
        learned: vec![full.clone()],
        ..Sight::default()
    };
    for (level, landscape, sight, words) in [
        (
            Level::Full,
            &bare,
            &nothing,
            "no kernel protocol that imports IPv4 routes",
        ),
        (Level::Full, &no_session, &nothing, "kernel4 (down)"),
        (Level::Full, &landscape(), &nothing, "LAPWING_PREFIXES_4"),
        (
            Level::Degraded,
            &landscape(),
            &learned,
            "protocol number 201, which is not degraded",
        ),
        (
            Level::Withdrawn,
            &landscape(),
            &learned,
            "still has 192.0.2.0/24",
        ),
        (
            Level::Full,
            &no_session,
            &learned,
            "no BGP session that may export it",
        ),
        (Level::Full, &down, &learned, "not established: up5"),
        (
            Level::Full,
            &landscape(),
            &Sight {
                exported: vec![(name("up4"), Vec::new())],
                ..learned.clone()
            },
            "the export filter of up4 rejects it",
        ),
    ] {
        let judgement = judged(level, &[], landscape, sight);
        let sentence = &judgement.troubles[0].1;
        assert!(sentence.contains(words), "{words} in {sentence}");
    }
}
