//! The charts of one service of a replay: its record flows in, pictures over time flow
//! out.

use probe_core::Level;

use super::{happening::What, history::Slice, report::Report};
use crate::{
    chart::{Axis, Chart, Look, Scale, Series},
    status::LatencyView,
};

/// Upright lines of one chart.
const MOST_MARKS: usize = 12;
/// What is nearer to each other than this part of the width is one mark.
const TOGETHER: f64 = 0.02;
/// Prefixes of a service whose levels are drawn.
const MOST_PREFIXES: usize = 4;

/// The time axis: what it is counted in, and how long that is.
struct Time {
    unit: &'static str,
    seconds: f64,
    end: f64,
}

impl Time {
    fn of(seconds: f64) -> Self {
        let (unit, unit_seconds) = match seconds {
            ..600.0 => ("seconds", 1.0),
            ..36_000.0 => ("minutes", 60.0),
            _ => ("hours", 3600.0),
        };
        Self {
            unit,
            seconds: unit_seconds,
            end: seconds / unit_seconds,
        }
    }

    fn at(&self, seconds: f64) -> f64 {
        seconds / self.seconds
    }

    fn axis(&self, is_last: bool) -> Axis {
        let label = if is_last {
            format!("{} since the first packet", self.unit)
        } else {
            String::new()
        };
        Axis::even(&label, (0.0, self.end), 10.0)
    }
}

impl Report {
    /// What happened to a service, one chart below another.
    pub(super) fn charts(&self, service: usize) -> Vec<Chart> {
        let bins = &self.judgement.history.bins;
        let width = bins.width_seconds();
        let time = Time::of(bins.iter().len() as f64 * width);
        let none = Slice::default();
        let slices: Vec<(f64, &Slice)> = bins
            .iter()
            .map(|(begin, slices)| {
                let slice = slices.0.get(service).unwrap_or(&none);
                (time.at(begin + width / 2.0), slice)
            })
            .collect();
        let marks = self.marks(service, &time);
        let unnamed = || marks.iter().map(|(at, _)| (*at, String::new())).collect();
        let mut charts = vec![
            Chart {
                marks: unnamed(),
                ..trials(&slices, width, &time)
            },
            Chart {
                marks: marks.clone(),
                ..scores(&slices, &time)
            },
            Chart {
                marks: unnamed(),
                ..self.levels(service, &time)
            },
        ];
        charts.extend(latencies(&slices, &time).map(|chart| Chart {
            marks: unnamed(),
            ..chart
        }));
        if let Some(last) = charts.last_mut() {
            last.x = time.axis(true);
        }
        charts
    }

    /// When it was suspected, and when its prefixes would have changed their levels.
    fn marks(&self, service: usize, time: &Time) -> Vec<(f64, String)> {
        let happenings = self.happenings_of(service);
        let marks = happenings.filter_map(|happening| {
            let words = match happening.what {
                What::Suspected { .. } => "suspected".to_owned(),
                What::Level { level } => level.to_string(),
                What::Held { guard, .. } => format!("held: {guard}"),
                What::Armed
                | What::Cleared
                | What::Verdict { .. }
                | What::Impaired { .. }
                | What::Probe { .. }
                | What::Further { .. } => return None,
            };
            Some((time.at(happening.seconds), words))
        });
        let mut kept: Vec<(f64, String)> = Vec::new();
        for (at, words) in marks {
            // Two detectors often say the same at nearly the same time.
            let is_told = kept
                .iter()
                .rev()
                .any(|(before, told)| *told == words && at - before < TOGETHER * time.end);
            if !is_told && kept.len() < MOST_MARKS {
                kept.push((at, words));
            }
        }
        kept
    }

    fn levels(&self, service: usize, time: &Time) -> Chart {
        let lane = |level: Level| match level {
            Level::Withdrawn => 0.0,
            Level::Degraded => 1.0,
            Level::Full => 2.0,
        };
        let prefixes: Vec<_> = self.prefixes_of(service).take(MOST_PREFIXES).collect();
        let series = (0_u8..).zip(&prefixes).map(|(colour, (name, levels))| {
            let mut points: Vec<(f64, f64)> = Vec::new();
            for (seconds, level) in &levels.changes {
                let at = time.at(*seconds);
                points.extend(points.last().map(|(_, before)| (at, *before)));
                points.push((at, lane(*level)));
            }
            points.extend(points.last().map(|(_, last)| (time.end, *last)));
            Series {
                name: if prefixes.len() > 1 {
                    (*name).to_owned()
                } else {
                    String::new()
                },
                colour,
                look: Look::Line,
                points,
            }
        });
        let title = match &prefixes[..] {
            [(name, _)] => format!("Level that {name} would have had"),
            _ => "Level that its prefixes would have had".to_owned(),
        };
        Chart {
            title,
            x: time.axis(false),
            y: Axis {
                label: String::new(),
                scale: Scale::Lanes(vec!["withdrawn", "degraded", "full"]),
                range: (-0.4, 2.4),
            },
            series: series.collect(),
            marks: Vec::new(),
            height: 80.0,
        }
    }
}

fn trials(slices: &[(f64, &Slice)], width: f64, time: &Time) -> Chart {
    let series = |name: &str, colour, look, count: fn(&Slice) -> u64| Series {
        name: name.to_owned(),
        colour,
        look,
        points: slices
            .iter()
            .map(|(at, slice)| (*at, count(slice) as f64 / width))
            .collect(),
    };
    let all = vec![
        series("started", 4, Look::Dashed, |slice| slice.started),
        series("succeeded", 2, Look::Line, |slice| slice.ended.succeeded),
        series("failed", 1, Look::Line, |slice| slice.ended.failed),
        series("late", 3, Look::Line, |slice| slice.ended.late),
    ];
    let highest = all
        .iter()
        .flat_map(|series| &series.points)
        .fold(1.0, |highest: f64, (_, y)| highest.max(*y));
    Chart {
        title: "Trials per second".to_owned(),
        x: time.axis(false),
        y: Axis::even("", (0.0, highest * 1.05), 4.0),
        series: all,
        marks: Vec::new(),
        height: 160.0,
    }
}

fn scores(slices: &[(f64, &Slice)], time: &Time) -> Chart {
    let series = |name: &str, colour, look, points| Series {
        name: name.to_owned(),
        colour,
        look,
        points,
    };
    let points = |score: fn(&Slice) -> f64| -> Vec<(f64, f64)> {
        let points = slices.iter().map(|(at, slice)| (*at, score(slice)));
        points.collect()
    };
    Chart {
        title: "Highest score of its detectors, as a part of the threshold".to_owned(),
        x: time.axis(false),
        y: Axis::even("", (0.0, 1.1), 4.0),
        series: vec![
            series(
                "threshold",
                1,
                Look::Dashed,
                vec![(0.0, 1.0), (time.end, 1.0)],
            ),
            series(
                "trials that may withdraw",
                0,
                Look::Line,
                points(|slice| slice.score),
            ),
            series("all others", 4, Look::Line, points(|slice| slice.others)),
        ],
        marks: Vec::new(),
        height: 140.0,
    }
}

/// None if nothing was answered.
fn latencies(slices: &[(f64, &Slice)], time: &Time) -> Option<Chart> {
    let views: Vec<(f64, Option<LatencyView>)> = slices
        .iter()
        .map(|(at, slice)| (*at, slice.latency()))
        .collect();
    let seconds = views
        .iter()
        .filter_map(|(_, view)| *view)
        .flat_map(|view| [view.p50_seconds, view.p99_seconds]);
    let (low, high) = seconds.fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
        (low.min(value * 1e3), high.max(value * 1e3))
    });
    // Below: nobody answered, or in no time.
    if low <= 0.0 || high <= 0.0 {
        return None;
    }
    let runs: Vec<&[(f64, Option<LatencyView>)]> = views
        .split(|(_, view)| view.is_none())
        .filter(|run| !run.is_empty())
        .collect();
    // A line ends where nobody answers. The first one is named for all.
    let lines = |name: &str, colour, look, part: fn(LatencyView) -> f64| -> Vec<Series> {
        let lines = runs.iter().enumerate().map(|(index, run)| Series {
            name: if index == 0 {
                name.to_owned()
            } else {
                String::new()
            },
            colour,
            look,
            points: run
                .iter()
                .filter_map(|(at, view)| Some((*at, part((*view)?) * 1e3)))
                .collect(),
        });
        lines.collect()
    };
    let decade = |value: f64| 10.0_f64.powf(value);
    Some(Chart {
        title: "Time until the answer, in milliseconds".to_owned(),
        x: time.axis(false),
        y: Axis {
            label: String::new(),
            scale: Scale::Log,
            range: (
                decade(low.log10().floor()),
                decade((high * 1.01).log10().ceil()),
            ),
        },
        series: [
            lines("median", 0, Look::Line, |view| view.p50_seconds),
            lines("99 %", 3, Look::Dashed, |view| view.p99_seconds),
        ]
        .concat(),
        marks: Vec::new(),
        height: 130.0,
    })
}
