//! A report to look at: as one page that needs no other file, and as the pictures and
//! tables of the documentation.

use core::fmt::Write as _;

use super::{
    finding::{Finding, Group},
    illustrations::{Illustrations, by_scenario},
    report::{Report, seconds},
};
use crate::page::{Table, document, escaped, scrolled};

impl Report {
    /// The page.
    pub fn page(&self, illustrations: &Illustrations) -> String {
        let pictures = illustrations.pictures(self);
        let figure = |name: &str| {
            let picture = pictures.iter().find(|picture| picture.name == name);
            picture.map_or_else(String::new, |picture| scrolled(picture.about, &picture.svg))
        };
        // One of each scenario tells what went wrong.
        let violations: Vec<String> = self
            .findings
            .iter()
            .filter_map(|finding| Some((&finding.name, finding.violations.first()?)))
            .map(|(name, violation)| format!("<li>{}: {}</li>", escaped(name), escaped(violation)))
            .collect();
        let verdict = if violations.is_empty() {
            "<p>Every scenario went as it must.</p>".to_owned()
        } else {
            format!(
                "<p class=\"bad\">{} expectations were not met. The first of each scenario:</p><ul>{}</ul>",
                self.violations().count(),
                violations.concat()
            )
        };
        let years: f64 = self
            .group(Group::Calm)
            .map(|finding| finding.service_days / 365.25)
            .sum();
        let mut body = format!(
            "<h1>Simulated decisions</h1><p class=\"soft\">lapwing {} · seed {} · {years:.1} service-years of calm</p>{verdict}\n",
            env!("CARGO_PKG_VERSION"),
            self.seed,
        );
        let mut add = |title: &str, about: &str, content: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(body, "<h2>{title}</h2><p>{about}</p>{content}");
        };
        // Only some scenarios may have been asked for.
        let has = |group| self.group(group).next().is_some();
        if has(Group::Calm) {
            add(
                "Calm: nothing may be withdrawn",
                "Default profile, ten services on each host. The bound is the rule of three: with 95 % confidence, a service suffers fewer false withdraws a year.",
                &self.calm().html(),
            );
        }
        if has(Group::Fault) {
            add(
                "Faults: from the first affected trial to the decision",
                "Fast profile, without patience.",
                &(self.faults().html() + &figure("detection-delays.svg")),
            );
        }
        add(
            "One fault, step by step",
            "From the first trial that is affected to the withdraw.",
            &figure("detection-timeline.svg"),
        );
        add(
            "Delay against false alarms",
            "Three ways to find the same change in the same streams of trials. Lower is quicker, further right is calmer.",
            &figure("detection-methods.svg"),
        );
        add(
            "Theory and simulation",
            "The CUSUM from 1 % to 50 %, in trials.",
            &theory(illustrations).html(),
        );
        if has(Group::Detector) {
            add(
                "The detector alone",
                "Mean time between two alarms while nothing is wrong, with the threshold for one in ten minutes.",
                &self.detectors().html(),
            );
        }
        document(
            "Lapwing: simulated decisions",
            &format!("<main>{body}</main>\n"),
        )
    }

    /// The files of the documentation, by name.
    pub fn documents(
        &self,
        illustrations: &Illustrations,
    ) -> Result<Vec<(&'static str, String)>, serde_json::Error> {
        let pictures = illustrations.pictures(self);
        let mut text = format!(
            "# What the simulation found\n\n\
             Written by `lapwing simulate --docs docs` (seed {}); what it means stands in\n\
             [detection](detection.md). For programs, and for `lapwing simulate --with`:\n\
             [detection-results.json](detection-results.json).\n\n\
             ## Calm: nothing may be withdrawn\n\n{}\n## Faults: from the first affected trial to the decision\n\n{}\n## The detector alone\n\n{}\n## Theory and simulation\n\n{}",
            self.seed,
            self.calm().markdown(),
            self.faults().markdown(),
            self.detectors().markdown(),
            theory(illustrations).markdown(),
        );
        for picture in &pictures {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n![{}]({})\n", picture.about, picture.name);
        }
        let mut files = vec![
            ("detection-results.md", text),
            ("detection-results.json", self.json()?),
        ];
        files.extend(
            pictures
                .into_iter()
                .map(|picture| (picture.name, picture.svg)),
        );
        Ok(files)
    }

    fn calm(&self) -> Table {
        let rows = by_scenario(self.group(Group::Calm)).into_iter().map(|of| {
            let scenario = of[0].name.split('@').next().unwrap_or_default();
            let each = |value: &dyn Fn(&Finding) -> String| {
                of.iter()
                    .map(|finding| value(finding))
                    .collect::<Vec<_>>()
                    .join(" · ")
            };
            vec![
                format!("{scenario}\n{}", of[0].about),
                each(&|finding| format!("{:.0}", finding.trials_per_second)),
                each(&|finding| format!("{:.0}", finding.service_days)),
                each(&|finding| finding.suspicions.to_string()),
                each(&|finding| finding.degraded.to_string()),
                each(&|finding| finding.false_withdrawals.to_string()),
                each(&|finding| {
                    finding
                        .upper_bound_per_service_year
                        .map_or_else(|| "-".to_owned(), |bound| format!("< {bound:.1}"))
                }),
            ]
        });
        Table {
            caption: "Calm scenarios, by rate".to_owned(),
            header: vec![
                "scenario",
                "trials/s",
                "service-days",
                "suspicions",
                "degraded",
                "withdrawn",
                "per service-year",
            ],
            rows: rows.collect(),
            ..Table::default()
        }
    }

    fn faults(&self) -> Table {
        let trials =
            |count: Option<f64>| count.map_or_else(|| "-".into(), |count| format!("{count:.0}"));
        let time = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), seconds);
        let rows = self.group(Group::Fault).map(|finding| {
            let (name, rate) = finding.name.split_once('@').unwrap_or((&finding.name, ""));
            vec![
                format!("{name}\n{}", finding.about),
                rate.to_owned(),
                finding.missed.to_string(),
                trials(finding.delay_trials_p50),
                trials(finding.delay_trials_p99),
                trials(finding.delay_trials_after_deadline_p50),
                trials(finding.delay_trials_after_deadline_p99),
                time(finding.delay_seconds_p50),
                time(finding.delay_seconds_p99),
            ]
        });
        let mut table = Table {
            caption: "Faults, by rate".to_owned(),
            header: vec![
                "fault",
                "trials/s",
                "missed",
                "trials, median",
                "99 %",
                "past deadline",
                "99 %",
                "seconds",
                "99 %",
            ],
            rows: rows.collect(),
            ..Table::default()
        };
        let mut last = String::new();
        for row in &mut table.rows {
            let first = row[0].clone();
            if first == last {
                row[0] = String::new();
            }
            last = first;
        }
        table
    }

    fn detectors(&self) -> Table {
        let minutes = |seconds: Option<f64>| {
            seconds.map_or_else(
                || "-".to_owned(),
                |seconds| format!("{:.1}", seconds / 60.0),
            )
        };
        Table {
            caption: "Streams of trials".to_owned(),
            header: vec![
                "stream",
                "alarms",
                "configured, minutes",
                "measured, minutes",
            ],
            rows: self
                .group(Group::Detector)
                .map(|finding| {
                    vec![
                        finding.about.clone(),
                        finding.suspicions.to_string(),
                        minutes(finding.configured_alarm_seconds),
                        minutes(finding.measured_alarm_seconds),
                    ]
                })
                .collect(),
            ..Table::default()
        }
    }
}

fn theory(illustrations: &Illustrations) -> Table {
    Table {
        caption: "Threshold, period and delay".to_owned(),
        header: vec![
            "threshold h",
            "period, Lorden's bound",
            "period, Wald",
            "period, measured",
            "delay, Wald",
            "delay, measured",
        ],
        rows: illustrations
            .theory_rows()
            .into_iter()
            .map(Vec::from)
            .collect(),
        ..Table::default()
    }
}
