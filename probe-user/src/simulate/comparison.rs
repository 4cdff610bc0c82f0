//! Three ways to find a change, on the same streams of trials: the CUSUM, a share of
//! the last trials, and a number of failures in a row. In flow the streams, out flow
//! how long each takes, and how often it is wrong.

use probe_core::detector::Detector;

use super::{bare::feed, draw::Draw, theory::Cusum};

/// The streams: one in a hundred trials fails, then one in two, or all.
pub const CUSUM: Cusum = Cusum {
    before: 0.01,
    after: 0.5,
};
/// The ratios of failures after the change.
pub const AFTER: [f64; 2] = [0.5, 1.0];
/// Fewer false alarms than this say nothing about their period.
const LEAST_ALARMS: u64 = 30;
/// Trials that come before a change: more than any window is long.
const LEAD_IN: u64 = 400;
/// A method that has not alarmed by then does not find the change.
const LONGEST: u64 = 100_000;

/// How the methods compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Trials of the calm stream.
    pub calm_trials: u64,
    /// Changes.
    pub changes: u64,
    /// Each method at each setting.
    pub points: Vec<Point>,
}

/// One method at one setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Which method.
    pub method: Method,
    /// Mean number of trials between two false alarms, if enough were seen.
    pub period: Option<f64>,
    /// Mean number of trials from each change of [`AFTER`] to the alarm.
    pub delays: [f64; 2],
}

/// A way to find a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Page's score, up to this threshold.
    Cusum(f64),
    /// Half of the last so many trials.
    Window(u64),
    /// So many failures in a row.
    Row(u64),
}

impl Method {
    fn all() -> Vec<Self> {
        let thresholds = (2..=16).map(|threshold| Self::Cusum(f64::from(threshold)));
        let windows = [4, 6, 8, 10, 14, 20, 30, 50, 100].map(Self::Window);
        let rows = (1..=8).map(Self::Row);
        thresholds.chain(windows).chain(rows).collect()
    }
}

/// A method at work.
enum State {
    Cusum(Box<Detector>),
    Window { length: u64, failures: Vec<u64> },
    Row { needed: u64, failures: u64 },
}

impl State {
    fn new(method: Method) -> Self {
        match method {
            Method::Cusum(threshold) => {
                let mut detector = Detector::new(CUSUM.after, threshold);
                detector.set_p0(CUSUM.before);
                Self::Cusum(Box::new(detector))
            }
            Method::Window(length) => Self::Window {
                length,
                failures: Vec::new(),
            },
            Method::Row(needed) => Self::Row {
                needed,
                failures: 0,
            },
        }
    }

    /// Takes `successes` and then the failure that is trial number `at`; says whether
    /// that is an alarm, and starts again after one.
    fn fails(&mut self, successes: u64, at: u64) -> bool {
        match self {
            Self::Cusum(detector) => {
                if successes > 0 {
                    feed(detector, successes, 0);
                }
                feed(detector, 0, 1);
                let alarm = detector.is_suspect();
                if alarm {
                    detector.reset();
                }
                alarm
            }
            Self::Window { length, failures } => {
                failures.retain(|failure| failure + *length > at);
                failures.push(at);
                let alarm = 2 * failures.len() as u64 >= *length;
                if alarm {
                    failures.clear();
                }
                alarm
            }
            Self::Row { needed, failures } => {
                *failures = if successes == 0 { *failures + 1 } else { 1 };
                let alarm = failures >= needed;
                if alarm {
                    *failures = 0;
                }
                alarm
            }
        }
    }
}

impl Comparison {
    /// Compares the methods.
    pub fn new(calm_trials: u64, changes: u64, seed: u64) -> Self {
        let methods = Method::all();
        let alarms = false_alarms(&methods, calm_trials, seed);
        let delays = AFTER.map(|after| delays(&methods, after, changes, seed));
        let points = methods
            .iter()
            .enumerate()
            .map(|(index, method)| Point {
                method: *method,
                period: (alarms[index] >= LEAST_ALARMS)
                    .then(|| calm_trials as f64 / alarms[index] as f64),
                delays: [delays[0][index], delays[1][index]],
            })
            .collect();
        Self {
            calm_trials,
            changes,
            points,
        }
    }
}

fn false_alarms(methods: &[Method], trials: u64, seed: u64) -> Vec<u64> {
    let mut draw = Draw::new(seed, "comparison, calm", &[]);
    let mut states: Vec<State> = methods.iter().copied().map(State::new).collect();
    let mut alarms = vec![0; methods.len()];
    let mut at = 0;
    loop {
        let successes = draw.until_failure(CUSUM.before);
        at += successes + 1;
        if at > trials {
            return alarms;
        }
        for (state, alarms) in states.iter_mut().zip(&mut alarms) {
            *alarms += u64::from(state.fails(successes, at));
        }
    }
}

/// Mean delays.
fn delays(methods: &[Method], after: f64, changes: u64, seed: u64) -> Vec<f64> {
    let mut sums = vec![0_u64; methods.len()];
    for change in 0..changes {
        let stream = [change, (after * 100.0).to_bits()];
        let mut draw = Draw::new(seed, "comparison, change", &stream);
        let mut states: Vec<Option<State>> = methods
            .iter()
            .map(|method| Some(State::new(*method)))
            .collect();
        let mut at = 0;
        let mut last = 0;
        let mut waiting = methods.len();
        while waiting > 0 && at < LEAD_IN + LONGEST {
            let before = draw.until_failure(CUSUM.before);
            at = if at < LEAD_IN && at + before < LEAD_IN {
                at + before + 1
            } else {
                at.max(LEAD_IN) + draw.until_failure(after) + 1
            };
            let successes = at - last - 1;
            last = at;
            for (state, sum) in states.iter_mut().zip(&mut sums) {
                let alarm = state
                    .as_mut()
                    .is_some_and(|state| state.fails(successes, at));
                if alarm && at > LEAD_IN {
                    *sum += at - LEAD_IN;
                    *state = None;
                    waiting -= 1;
                }
            }
        }
        for (state, sum) in states.iter().zip(&mut sums) {
            if state.is_some() {
                *sum += LONGEST;
            }
        }
    }
    sums.into_iter()
        .map(|sum| sum as f64 / changes as f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_have_the_period_and_the_delay_that_are_known() {
        let comparison = Comparison::new(20_000_000, 4000, 1);
        for point in &comparison.points {
            let Method::Row(n) = point.method else {
                continue;
            };
            // The mean wait for n failures in a row: (p^-n - 1) / (1 - p).
            let n = i32::try_from(n).unwrap();
            let wait = |p: f64| (p.powi(-n) - 1.0) / (1.0 - p);
            if let Some(period) = point.period {
                assert!((period / wait(0.01) - 1.0).abs() < 0.3, "{n}: {period}");
            }
            let ratio = point.delays[0] / wait(0.5);
            assert!((ratio - 1.0).abs() < 0.1, "{n}: {ratio}");
            assert!((point.delays[1] - f64::from(n)).abs() < 0.1, "{n}");
        }
    }

    #[test]
    fn no_method_is_quicker_than_the_cusum_with_as_few_false_alarms() {
        let comparison = Comparison::new(20_000_000, 2000, 1);
        let cusum: Vec<(f64, f64)> = comparison
            .points
            .iter()
            .filter(|point| matches!(point.method, Method::Cusum(_)))
            .filter_map(|point| Some((point.period?, point.delays[0])))
            .collect();
        for point in &comparison.points {
            let Some(period) = point.period else { continue };
            let best = cusum
                .iter()
                .filter(|(at_least, _)| *at_least >= period)
                .map(|(_, delay)| *delay)
                .fold(f64::INFINITY, f64::min);
            if best.is_finite() && matches!(point.method, Method::Window(_)) {
                assert!(point.delays[0] > best - 1.5, "{point:?}: {best}");
            }
        }
    }
}
