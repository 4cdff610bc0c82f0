use super::*;

fn at(second: u64) -> Timestamp {
    Timestamp::from_nanos((1000 + second) * 1_000_000_000)
}

/// A prefix and the clients it has had.
struct Stage {
    traffic: Traffic,
    second: u64,
    total: u64,
}

impl Stage {
    fn new() -> Self {
        Self {
            traffic: Traffic::new(PrefixId(0), "192.0.2.0/24".to_owned()),
            second: 0,
            total: 0,
        }
    }

    /// So many seconds with so many clients each; all that is told.
    fn pass(&mut self, seconds: u64, clients: u64) -> Vec<News> {
        let mut told = Vec::new();
        for _ in 0..seconds {
            self.second += 1;
            self.total += clients;
            let news = self.traffic.push(at(self.second), self.total);
            if news != News::default() {
                told.push(news);
            }
        }
        told
    }

    fn change(&mut self, level: Level) -> News {
        self.traffic.changed(Change {
            prefix: PrefixId(0),
            level,
            decided: at(self.second),
            acknowledged: at(self.second),
        })
    }
}

fn outcomes(told: &[News]) -> Vec<Outcome> {
    let moved = told.iter().filter_map(|news| news.moved.as_ref());
    moved.map(|moved| moved.outcome).collect()
}

#[test]
fn clients_leave_and_come_again() {
    let mut stage = Stage::new();
    stage.pass(30, 100);
    assert_eq!(stage.change(Level::Withdrawn), News::default());
    assert!(stage.pass(3, 60).is_empty(), "they hesitate");
    let told = stage.pass(5, 10);
    let moved = told[0].moved.as_ref().unwrap();
    assert_eq!(outcomes(&told), [Outcome::Left]);
    assert_eq!(
        moved.took,
        Duration::from_secs(3),
        "when they began to be few"
    );
    assert!((moved.before - 100.0).abs() < 1e-9 && (moved.after - 10.0).abs() < 1e-9);
    stage.pass(100, 0);
    stage.change(Level::Full);
    assert!(stage.pass(4, 5).is_empty(), "not all networks know");
    assert_eq!(outcomes(&stage.pass(5, 90)), [Outcome::Came]);
}

#[test]
fn a_single_quiet_second_is_no_end() {
    let mut stage = Stage::new();
    stage.pass(30, 100);
    stage.change(Level::Withdrawn);
    for _ in 0..5 {
        assert!(stage.pass(1, 0).is_empty());
        assert!(stage.pass(1, 100).is_empty());
    }
}

#[test]
fn a_quiet_night_has_nothing_to_tell() {
    for (seconds, clients) in [(5, 100), (60, 4), (60, 0)] {
        let mut stage = Stage::new();
        stage.pass(seconds, clients);
        stage.change(Level::Withdrawn);
        let told = stage.pass(400, clients);
        assert_eq!(
            outcomes(&told),
            [Outcome::TooFew],
            "{seconds} s of {clients}"
        );
        assert!(told.iter().all(|news| news.alert.is_none()));
    }
}

#[test]
fn clients_that_stay_are_told_until_they_leave() {
    let mut stage = Stage::new();
    stage.pass(60, 100);
    stage.change(Level::Withdrawn);
    assert!(stage.pass(299, 80).is_empty());
    let told = stage.pass(60, 80);
    assert_eq!(outcomes(&told), [Outcome::Stay]);
    let alert = told[0].alert.as_ref().unwrap();
    assert!(alert.stands && alert.kind == AlertKind::TrafficStays);
    assert!(alert.sentence.contains("withdrawn for 5m"), "{alert:?}");
    assert!(stage.traffic.stays().is_some());
    let told = stage.pass(5, 1);
    assert_eq!(outcomes(&told), [Outcome::Left]);
    assert!(!told[0].alert.as_ref().unwrap().stands);
    assert_eq!(stage.traffic.stays(), None);
}

#[test]
fn a_return_ends_what_was_said_of_the_withdraw() {
    let mut stage = Stage::new();
    stage.pass(60, 100);
    stage.change(Level::Withdrawn);
    stage.pass(5, 100);
    let news = stage.change(Level::Full);
    assert_eq!(outcomes(&[news]), [Outcome::Superseded]);
    stage.change(Level::Withdrawn);
    stage.pass(310, 100);
    let news = stage.change(Level::Full);
    assert_eq!(
        outcomes(std::slice::from_ref(&news)),
        [],
        "it had its record"
    );
    assert!(!news.alert.unwrap().stands);
}

#[test]
fn between_full_and_degraded_nobody_is_expected() {
    let mut stage = Stage::new();
    stage.pass(60, 100);
    stage.change(Level::Degraded);
    assert!(stage.pass(400, 100).is_empty());
    stage.change(Level::Full);
    assert!(stage.pass(400, 100).is_empty());
}

#[test]
fn counters_that_begin_anew_are_no_flood() {
    let mut stage = Stage::new();
    stage.pass(30, 100);
    stage.change(Level::Withdrawn);
    stage.total = 0;
    stage.second += 1;
    assert_eq!(stage.traffic.push(at(stage.second), 0), News::default());
    assert_eq!(outcomes(&stage.pass(3, 0)), [Outcome::Left]);
}
