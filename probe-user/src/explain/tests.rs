use std::fs;

use super::{text::text, *};

/// A journal of these records; each a second after the one before.
fn explained(records: &[&str], id: Id) -> Result<Explanation, Error> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let lines: Vec<String> = records
        .iter()
        .zip(1_u64..)
        .map(|(record, seq)| {
            format!(
                r#"{{"seq":{seq},"time":"2026-11-23T10:00:{seq:02}.000000000Z","mono_ns":{seq}000000000,{record}}}"#
            )
        })
        .collect();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    explain(&Reader::of_journal(&path).unwrap(), id)
}

const STARTED: &str = r#""event":"started","mode":"enforce""#;
const SUSPECTED: &str = r#""event":"suspected","service":"web","sentence":"web: many fail""#;
const OTHER: &str = r#""event":"suspected","service":"dns","sentence":"dns: many fail""#;
const WITHDRAWN: &str = r#""event":"decision","prefix":"192.0.2.0/24","level":"withdrawn","sentence":"web: dead","reason":{"service":"web","cause":"live_trials","first_failure_mono_ns":1500000000,"failed_services":["web"]}"#;
const SET: &str =
    r#""event":"route_set","prefix":"192.0.2.0/24","level":"withdrawn","took_ns":1000"#;
const PHASE: &str =
    r#""event":"something_new","prefix":"192.0.2.0/24","phase":"exported","session":"up4""#;
const FULL: &str = r#""event":"decision","prefix":"192.0.2.0/24","level":"full","sentence":"web: good again","reason":{"service":"web","cause":"recovered"}"#;
const FULL_SET: &str = r#""event":"route_set","prefix":"192.0.2.0/24","level":"full","took_ns":1"#;
const HELD: &str = r#""event":"held","prefix":"192.0.2.0/24","level":"withdrawn","guard":"second_leg","sentence":"web: many fail","reason":{"service":"web","cause":"live_trials"}"#;
const CLEARED: &str = r#""event":"cleared","service":"web","kind":"connect","stood_ns":1"#;

#[test]
fn the_story_is_that_of_the_prefix_and_ends_with_its_next_decision() {
    let records = [
        STARTED, SUSPECTED, OTHER, WITHDRAWN, SET, PHASE, FULL, FULL_SET, HELD,
    ];
    let told = explained(&records, Id::Seq(4)).unwrap();
    let story: Vec<Option<u64>> = told.story.iter().map(|step| step.seq).collect();
    let expected = [None, Some(2), Some(4), Some(5), Some(6), Some(7), Some(8)];
    assert_eq!(story, expected, "{told:#?}");
    let words = &told.story[4].words;
    assert_eq!(words, "something new phase exported, session up4");
    let end = End::Decided {
        seq: 7,
        level: Level::Full,
        seconds: 3.0,
        sentence: "web: good again".to_owned(),
    };
    assert_eq!(told.end, end);
    let plain = text(&told, false);
    assert!(plain.starts_with("192.0.2.0/24 was WITHDRAWN\n"), "{plain}");
    assert!(!plain.contains('\x1b'));
    assert!(text(&told, true).contains("\x1b[1;31mwas WITHDRAWN"));
}

#[test]
fn what_was_held_ends_when_its_cause_does() {
    let told = explained(&[STARTED, SUSPECTED, HELD, CLEARED], Id::Last).unwrap();
    let end = End::Over {
        seq: 4,
        seconds: 1.0,
    };
    assert_eq!(told.end, end);
    let text = text(&told, false);
    let parts = [
        "was NOT withdrawn: held by second_leg",
        "can be forged",
        "the route was not touched",
    ];
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn last_is_the_last_that_lowered_and_else_the_last() {
    let seq = |records: &[&str]| explained(records, Id::Last).unwrap().record.seq();
    assert_eq!(seq(&[WITHDRAWN, FULL, CLEARED]), 1);
    assert_eq!(seq(&[WITHDRAWN, FULL, HELD, FULL]), 3);
    assert_eq!(seq(&[FULL, CLEARED, FULL]), 3);
}

#[test]
fn other_records_are_refused_and_the_next_decision_named() {
    let refusal = |id| {
        let records = [STARTED, WITHDRAWN, SET];
        explained(&records, id).unwrap_err().to_string()
    };
    assert!(refusal(Id::Seq(1)).contains("tells of `started`"));
    assert!(refusal(Id::Seq(3)).contains("`lapwing explain 2`"));
    assert!(refusal(Id::Seq(9)).contains("no record 9"));
    let nothing = explained(&[STARTED], Id::Last).unwrap_err().to_string();
    assert!(nothing.contains("no decision yet"), "{nothing}");
}

#[test]
fn after_another_boot_the_host_clock_tells_how_long_it_took() {
    let records = [WITHDRAWN, STARTED, FULL];
    let told = explained(&records, Id::Seq(1)).unwrap();
    let seconds: Vec<f64> = told.story.iter().map(|step| step.seconds).collect();
    assert_eq!(told.story.len(), 4, "{told:#?}");
    assert!((seconds[3] - 2.0).abs() < 1e-9, "{seconds:?}");
}
