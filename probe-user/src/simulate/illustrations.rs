//! What is only computed to be looked at: how methods compare, and one fault step by
//! step. In flow findings and records, out flow charts.

use probe_core::{Level, Timestamp};

use super::{
    Options,
    comparison::{AFTER, CUSUM, Comparison, Method, Point},
    draw::Draw,
    fault::Fault,
    finding::{Finding, Group},
    kernel::End,
    report::Report,
    theory::Cusum,
    trace::Trace,
};
use crate::chart::{Axis, Chart, Look, Scale, Series, picture};

const WIDTH: f64 = 860.0;
/// The fault that is shown step by step, and its rate.
const SHOWN: (&str, f64) = ("unseen", 1000.0);
/// A checker that probes so often, at so many trials per second, for comparison.
const PROBE_TRIALS: f64 = 1000.0;

/// What is there to be seen.
#[derive(Clone, Debug)]
pub struct Illustrations {
    comparison: Comparison,
    trace: Trace,
    onset: Timestamp,
}

/// A picture and its name.
pub struct Picture {
    /// The name of its file.
    pub name: &'static str,
    /// What it shows, for those who cannot see it.
    pub about: &'static str,
    /// The picture.
    pub svg: String,
}

impl Illustrations {
    /// Computes them; as thoroughly as the rest.
    pub fn new(options: &Options) -> Self {
        let (trials, changes) = if options.runs > 100 {
            (3_000_000_000, 20_000)
        } else {
            (100_000_000, 2000)
        };
        let comparison = Comparison::new(trials, changes, options.seed);
        let (trace, onset) = shown_fault(options.seed);
        Self {
            comparison,
            trace,
            onset,
        }
    }

    /// The comparison.
    pub fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// All pictures of a report.
    pub fn pictures(&self, report: &Report) -> Vec<Picture> {
        vec![
            Picture {
                name: "detection-methods.svg",
                about: "Mean delay against the mean time between false alarms, for the CUSUM, for a share of the last trials, and for failures in a row",
                svg: picture(&self.methods(), WIDTH, "Delay against false-alarm period"),
            },
            Picture {
                name: "detection-delays.svg",
                about: "Delay from the fault to the decision, by fault and rate",
                svg: picture(&[delays(report)], WIDTH, "Delay by fault and rate"),
            },
            Picture {
                name: "detection-timeline.svg",
                about: "One fault step by step: trials, score, level",
                svg: picture(&self.timeline(), WIDTH, "One fault step by step"),
            },
        ]
    }

    fn methods(&self) -> Vec<Chart> {
        AFTER
            .iter()
            .enumerate()
            .map(|(index, after)| self.method_chart(index, *after))
            .collect()
    }

    fn method_chart(&self, index: usize, after: f64) -> Chart {
        let points = |is: fn(&Method) -> bool| -> Vec<(f64, f64)> {
            let chosen = self.comparison.points.iter();
            chosen
                .filter(|point| is(&point.method))
                .filter_map(|point| Some((point.period?, point.delays[index])))
                .collect()
        };
        let rows = points(|method| matches!(method, Method::Row(_)));
        let probes = rows
            .iter()
            .map(|(period, delay)| (period * PROBE_TRIALS, (delay - 0.5) * PROBE_TRIALS))
            .collect();
        let thresholds = || (4..=88).map(|quarter| f64::from(quarter) / 4.0);
        let wald = thresholds()
            .map(|h| (CUSUM.period(h), CUSUM.delay(h, after)))
            .collect();
        let least = thresholds()
            .map(f64::exp)
            .map(|period| (period, CUSUM.least_delay(period, after)))
            .collect();
        let series = |name: &str, colour, look, points| Series {
            name: name.to_owned(),
            colour,
            look,
            points,
        };
        let mut all = vec![
            series(
                "CUSUM",
                0,
                Look::Dotted,
                points(|method| matches!(method, Method::Cusum(_))),
            ),
            series("CUSUM, Wald's approximation", 0, Look::Dashed, wald),
            series(
                "half of the last N trials",
                1,
                Look::Dotted,
                points(|method| matches!(method, Method::Window(_))),
            ),
            series("n failed trials in a row", 2, Look::Dotted, rows),
            series(
                "n failed probes in a row, one in 1,000 trials",
                3,
                Look::Dotted,
                probes,
            ),
        ];
        // Beyond what the CUSUM was made for, Lorden's asymptote is another one's.
        if (after - CUSUM.after).abs() < 1e-9 {
            all.push(series("Lorden's asymptote", 4, Look::Dashed, least));
        }
        Chart {
            title: format!(
                "From {:.0} % to {:.0} % of failing trials",
                CUSUM.before * 100.0,
                after * 100.0
            ),
            x: Axis {
                label: "mean time between two false alarms, in trials".to_owned(),
                scale: Scale::Log,
                range: (10.0, 1e10),
            },
            y: Axis {
                label: "mean delay, in trials".to_owned(),
                scale: Scale::Log,
                range: (1.0, 200_000.0),
            },
            series: all,
            marks: Vec::new(),
            height: 300.0,
        }
    }

    fn timeline(&self) -> Vec<Chart> {
        let milliseconds =
            |at: &Timestamp| (at.as_nanos() as f64 - self.onset.as_nanos() as f64) / 1e6;
        let end = self
            .trace
            .levels
            .last()
            .map_or(300.0, |(at, _)| milliseconds(at));
        let range = (-50.0, (end / 50.0).ceil() * 50.0 + 25.0);
        let x = |label: &str| Axis {
            label: label.to_owned(),
            scale: Scale::Even(50.0),
            range,
        };
        let marks = || vec![(0.0, "fault".to_owned()), (end, "withdrawn".to_owned())];
        let dust = |colour, lane: f64, answered: bool| Series {
            name: String::new(),
            colour,
            look: Look::Dust,
            points: self
                .trace
                .trials
                .iter()
                .filter(|(_, end)| end.is_some_and(End::is_answer) == answered)
                .map(|(start, _)| (milliseconds(start), lane))
                .collect(),
        };
        let mut steps = Vec::new();
        let mut last = 0.0;
        for (at, score) in &self.trace.scores {
            let at = milliseconds(at);
            if at >= range.0 && at <= range.1 {
                steps.push((at, last));
                steps.push((at, *score));
            }
            last = *score;
        }
        vec![
            Chart {
                title: format!(
                    "Every trial, by its start: {} at {:.0} trials per second",
                    SHOWN.0, SHOWN.1
                ),
                x: x(""),
                y: Axis {
                    label: String::new(),
                    scale: Scale::Lanes(vec!["failed", "answered"]),
                    range: (-0.7, 1.7),
                },
                series: vec![dust(2, 1.0, true), dust(1, 0.0, false)],
                marks: marks(),
                height: 80.0,
            },
            Chart {
                title: "Score of the detector, as a part of its threshold".to_owned(),
                x: x("milliseconds since the fault"),
                y: Axis {
                    label: String::new(),
                    scale: Scale::Even(0.25),
                    range: (0.0, 1.05),
                },
                series: vec![Series {
                    name: String::new(),
                    colour: 0,
                    look: Look::Line,
                    points: steps,
                }],
                marks: marks(),
                height: 180.0,
            },
        ]
    }

    /// The points of the comparison beside what theory says of them.
    pub fn theory_rows(&self) -> Vec<[String; 6]> {
        let row = |point: &Point| {
            let Method::Cusum(h) = point.method else {
                return None;
            };
            let period = point.period?;
            Some([
                format!("{h:.0}"),
                count(Cusum::period_bound(h)),
                count(CUSUM.period(h)),
                count(period),
                format!("{:.1}", CUSUM.delay(h, CUSUM.after)),
                format!("{:.1}", point.delays[0]),
            ])
        };
        self.comparison.points.iter().filter_map(row).collect()
    }
}

fn shown_fault(seed: u64) -> (Trace, Timestamp) {
    let (name, rate) = SHOWN;
    let fault = Fault::ALL
        .iter()
        .find(|fault| fault.name == name)
        .unwrap_or(&Fault::ALL[0]);
    let mut warm = fault.warm(rate, Draw::new(seed, "timeline", &[]));
    warm.trace = Some(Trace::default());
    let (mut host, onset) = fault.strike(&warm, Draw::new(seed, "timeline", &[0]));
    let mut trace = host.trace.take().unwrap_or_default();
    trace
        .levels
        .retain(|(at, level)| *at >= onset && *level != Level::Full);
    (trace, onset)
}

fn delays(report: &Report) -> Chart {
    let mut series: Vec<Series> = Vec::new();
    for finding in report.group(Group::Fault) {
        let Some((name, _)) = finding.name.split_once('@') else {
            continue;
        };
        let (Some(seconds), true) = (finding.delay_seconds_p50, finding.trials_per_second >= 1.0)
        else {
            continue;
        };
        let point = (finding.trials_per_second, seconds);
        match series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(point),
            None => series.push(Series {
                name: name.to_owned(),
                colour: u8::try_from(series.len() % 5).unwrap_or(0),
                look: if series.len() < 5 {
                    Look::Dotted
                } else {
                    Look::Dashed
                },
                points: vec![point],
            }),
        }
    }
    Chart {
        title: "From the fault to the decision, median (fast profile)".to_owned(),
        x: Axis {
            label: "trials per second".to_owned(),
            scale: Scale::Log,
            range: (0.8, 12_500.0),
        },
        y: Axis {
            label: "seconds".to_owned(),
            scale: Scale::Log,
            range: (0.0005, 50.0),
        },
        series,
        marks: Vec::new(),
        height: 320.0,
    }
}

/// A large number, to three digits.
fn count(value: f64) -> String {
    if value < 1e6 {
        format!("{value:.0}")
    } else {
        format!("{value:.2e}")
    }
}

/// Findings of a calm scenario belong together where only the rate differs.
pub fn by_scenario<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<Vec<&'a Finding>> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in findings {
        match groups
            .last_mut()
            .filter(|group| group[0].about == finding.about)
        {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups
}
