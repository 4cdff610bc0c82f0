//! What a simulation found, as tables and as JSON.

use core::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::finding::{Finding, Group};
use crate::status::columns;

/// Violations of one scenario that are shown.
const SHOWN: usize = 3;

/// The result of a simulation.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Where all chance came from.
    pub seed: u64,
    /// One per scenario and rate.
    pub findings: Vec<Finding>,
}

/// The results, for programs.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Document<'a> {
    /// Where all chance came from.
    seed: u64,
    /// One per scenario and rate.
    scenarios: &'a [Finding],
}

#[derive(Deserialize)]
struct ReadDocument {
    seed: u64,
    scenarios: Vec<Finding>,
}

impl Report {
    /// What must not have happened, with the name of its scenario.
    pub fn violations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.findings.iter().flat_map(|finding| {
            let violations = finding.violations.iter();
            violations.map(|violation| (&*finding.name, &**violation))
        })
    }

    /// The findings of one group.
    pub fn group(&self, group: Group) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(move |finding| finding.group == group)
    }

    /// For programs.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let document = Document {
            seed: self.seed,
            scenarios: &self.findings,
        };
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }

    /// What [`json`](Self::json) said.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let ReadDocument { seed, scenarios } = serde_json::from_str(text)?;
        Ok(Self {
            seed,
            findings: scenarios,
        })
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut parts = Vec::new();
        for (group, title, header, row) in [
            (
                Group::Calm,
                "Calm: nothing may be withdrawn (default profile)",
                &[
                    "SCENARIO",
                    "SERVICE-DAYS",
                    "SUSPICIONS",
                    "DEGRADED",
                    "WITHDRAWN",
                    "PER SERVICE-YEAR",
                ][..],
                calm_row as fn(&Finding) -> Vec<String>,
            ),
            (
                Group::Fault,
                "Faults: from the first affected trial to the decision (fast profile)",
                &[
                    "SCENARIO",
                    "MISSED",
                    "TRIALS P50",
                    "P99",
                    "PAST DEADLINE P50",
                    "P99",
                    "SECONDS P50",
                    "P99",
                ],
                fault_row,
            ),
            (
                Group::Detector,
                "The detector alone: mean time between two alarms while nothing is wrong",
                &["SCENARIO", "ALARMS", "CONFIGURED", "MEASURED"],
                detector_row,
            ),
        ] {
            if self.group(group).next().is_some() {
                let table = columns(header, self.group(group).map(row));
                parts.push(format!("{title}\n{table}"));
            }
        }
        let mut text = parts.join("\n");
        for finding in &self.findings {
            for violation in finding.violations.iter().take(SHOWN) {
                // Writing to a string cannot fail.
                let _ = write!(text, "\n{}: {violation}", finding.name);
            }
            if let Some(more @ 1..) = finding.violations.len().checked_sub(SHOWN) {
                let _ = write!(text, "\n{}: and {more} more", finding.name);
            }
        }
        let last = match self.violations().count() {
            0 => "every scenario went as it must".to_owned(),
            1 => "1 expectation was not met".to_owned(),
            count => format!("{count} expectations were not met"),
        };
        format!("{text}\nseed {}: {last}\n", self.seed)
    }
}

fn calm_row(finding: &Finding) -> Vec<String> {
    vec![
        finding.name.clone(),
        format!("{:.1}", finding.service_days),
        finding.suspicions.to_string(),
        finding.degraded.to_string(),
        finding.false_withdrawals.to_string(),
        match finding.upper_bound_per_service_year {
            Some(bound) => format!("below {bound:.2}"),
            None => "-".to_owned(),
        },
    ]
}

fn fault_row(finding: &Finding) -> Vec<String> {
    let trials = |count: Option<f64>| cell(count, |count| format!("{count:.0}"));
    vec![
        finding.name.clone(),
        finding.missed.to_string(),
        trials(finding.delay_trials_p50),
        trials(finding.delay_trials_p99),
        trials(finding.delay_trials_after_deadline_p50),
        trials(finding.delay_trials_after_deadline_p99),
        cell(finding.delay_seconds_p50, seconds),
        cell(finding.delay_seconds_p99, seconds),
    ]
}

fn detector_row(finding: &Finding) -> Vec<String> {
    let minutes = |seconds: f64| format!("{:.1} min", seconds / 60.0);
    vec![
        finding.name.clone(),
        finding.suspicions.to_string(),
        cell(finding.configured_alarm_seconds, minutes),
        cell(finding.measured_alarm_seconds, minutes),
    ]
}

fn cell(value: Option<f64>, words: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), words)
}

/// Seconds with as many digits as mean something.
pub fn seconds(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{seconds:.4}")
    } else {
        format!("{seconds:.2}")
    }
}
