//! Small simulations: the same as the large ones, in seconds.

use super::*;

fn options(scenarios: &[&str]) -> Options {
    Options {
        scenarios: scenarios.iter().map(|name| (*name).to_owned()).collect(),
        service_days: 0.5,
        runs: 3,
        alarms: 20,
        ..Options::thorough()
    }
}

#[test]
fn names_are_unique_and_an_unknown_one_is_told() {
    let names: Vec<String> = Scenario::all().into_iter().map(Scenario::name).collect();
    for (index, name) in names.iter().enumerate() {
        assert!(!names[..index].contains(name), "{name}");
    }
    assert_eq!(chosen(&["gaps".to_owned()]).unwrap().len(), RATES.len());
    assert_eq!(chosen(&["gaps@10".to_owned()]).unwrap().len(), 1);
    assert_eq!(
        run(&options(&["gabs"])),
        Err(Error::UnknownScenario("gabs".to_owned()))
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes_with_any_number_of_threads() {
    let names = ["gaps@100", "bursts@10", "refused@100", "bare-bad"];
    let text = |seed, jobs| {
        let options = Options {
            seed,
            jobs,
            ..options(&names)
        };
        let report = run(&options).unwrap();
        report.json().unwrap() + &report.table()
    };
    assert_eq!(text(1, 1), text(1, 3));
    assert_ne!(text(1, 1), text(2, 1));
}

#[test]
fn what_is_known_is_not_simulated_again_and_stands_where_it_would() {
    let whole = run(&options(&["gaps@100", "refused@100", "bare-bad"])).unwrap();
    let mut early = run(&options(&["refused@100"])).unwrap();
    early.findings[0].missed = 77;
    let read = Report::from_json(&early.json().unwrap()).unwrap();
    assert_eq!(read, early);
    let with = |known: Report| Options {
        known: vec![known],
        ..options(&["gaps@100", "refused@100", "bare-bad"])
    };
    let together = run(&with(read.clone())).unwrap();
    assert_eq!(together.findings[1], early.findings[0]);
    assert_eq!(together.findings[0], whole.findings[0]);
    assert_eq!(together.findings[2], whole.findings[2]);

    let mut gone = read.clone();
    gone.findings[0].name = "gabs@100".to_owned();
    let error = run(&with(gone)).unwrap_err();
    assert_eq!(error, Error::GoneScenario("gabs@100".to_owned()));
    let other = Report { seed: 7, ..read };
    let error = run(&with(other)).unwrap_err();
    assert_eq!(
        error,
        Error::OtherSeed {
            earlier: 7,
            seed: 1
        }
    );
}

#[test]
fn accidents_that_pass_withdraw_nothing() {
    let names = [
        "gaps@100",
        "restarts@100",
        "leaving@10",
        "syn-flood@10",
        "rst-spray@10",
    ];
    let report = run(&options(&names)).unwrap();
    for finding in &report.findings {
        assert_eq!(finding.false_withdrawals, 0, "{}", finding.name);
        assert!(finding.service_days > 0.0);
    }
    let restarts = &report.findings[1];
    assert!(restarts.suspicions > 0, "the accidents did happen");
}

#[test]
fn faults_are_found_as_quickly_as_they_must_be() {
    let names = [
        "refused@1000",
        "silent@1000",
        "unavailable@10",
        "handful-silent",
    ];
    let report = run(&options(&names)).unwrap();
    assert_eq!(report.violations().collect::<Vec<_>>(), []);
    for finding in &report.findings {
        assert_eq!(finding.missed, 0, "{}", finding.name);
        assert!(finding.delay_seconds_p50.unwrap() > 0.0);
    }
}

#[test]
fn the_bare_detector_alarms_no_more_often_than_configured() {
    let report = run(&options(&["bare-clean", "bare-noisy", "bare-bad"])).unwrap();
    for finding in &report.findings {
        let period = finding.configured_alarm_seconds.unwrap();
        assert!(finding.measured_alarm_seconds.unwrap() > period);
    }
}

/// Batches must not hide what a daemon would have seen: with every trial told on its
/// own, at the daemon's pace, as many suspicions arise.
#[test]
fn batches_hide_no_suspicion() {
    let calm = Calm::ALL.iter().find(|calm| calm.name == "gaps").unwrap();
    let suspicions = |closeness| -> u64 {
        (0..2)
            .map(|stretch| {
                let span = MIDNIGHT..MIDNIGHT.after(Duration::from_mins(3));
                // An episode every half a minute.
                let often = calm.per_day(4000.0);
                let mut host = calm_host(&often, 100.0, 1, stretch, &span);
                Passage::new(&host, closeness).run(&mut host, span.end, &|_| false);
                assert!(host.changes.is_empty());
                host.suspicions
            })
            .sum()
    };
    let (batches, every) = (
        suspicions(Closeness::AsNeeded),
        suspicions(Closeness::Always),
    );
    assert!(every > 20, "{every}");
    let ratio = batches as f64 / every as f64;
    assert!((0.75..1.35).contains(&ratio), "{batches} for {every}");
}
