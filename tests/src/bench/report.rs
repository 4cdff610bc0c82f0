//! The results, as JSON and as the tables of docs/performance.md.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{
    cases::Budget,
    live::{Attached, Rate},
    machine::Machine,
    measure::Measurement,
    programs::Size,
    sample::{Hook, RUNS},
};

const BEGIN: &str = "<!-- begin: written by cargo xtask bench dataplane --write -->\n";
const END: &str = "<!-- end -->\n";

/// All results of a run.
pub struct Report {
    /// Where and when.
    pub machine: Machine,
    /// How often each case was measured.
    pub rounds: usize,
    /// The cases.
    pub measurements: Vec<Measurement>,
    /// The shipped programs.
    pub programs: Vec<Size>,
    /// Packets per second; empty if they were not measured.
    pub live: Vec<Rate>,
}

/// A budget, and what was measured against it.
struct Verdict {
    limit: f64,
    measured: f64,
    of: &'static str,
}

impl Verdict {
    fn is_met(&self) -> bool {
        self.measured <= self.limit
    }
}

impl Report {
    /// As JSON, on one line.
    pub fn json(&self) -> Value {
        let cases: Vec<Value> = self
            .measurements
            .iter()
            .map(|case| {
                let verdict = self.verdict(case);
                json!({
                    "name": case.name,
                    "hook": hook(case.hook),
                    "flows": case.flows,
                    "services": case.services,
                    "ns_above_empty": round(case.nanoseconds()),
                    "ratio_to_parse": round(case.ratio()),
                    "spread": round(case.spread()),
                    "budget": verdict.as_ref().map(|verdict| verdict.limit),
                    "budget_of": verdict.as_ref().map(|verdict| verdict.of),
                    "measured": verdict.as_ref().map(|verdict| round(verdict.measured)),
                    "met": verdict.as_ref().map(Verdict::is_met),
                })
            })
            .collect();
        let programs: Vec<Value> = self
            .programs
            .iter()
            .map(|program| {
                json!({
                    "name": program.name,
                    "instructions": program.instructions,
                    "machine_code_bytes": program.machine_code,
                    "verified_instructions": program.verified,
                })
            })
            .collect();
        let live: Vec<Value> = self
            .live
            .iter()
            .map(|rate| {
                json!({
                    "attached": rate.attached.title(),
                    "packets_per_second": rate.median().round(),
                    "ratio": round(rate.ratio()),
                    "ratio_to": rate.attached.reference().title(),
                    "spread": round(rate.spread()),
                })
            })
            .collect();
        json!({
            "machine": {
                "cpu": self.machine.cpu,
                "kernel": self.machine.kernel,
                "date": self.machine.date,
            },
            "rounds": self.rounds,
            "cases": cases,
            "programs": programs,
            "live": live,
        })
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let Machine { cpu, kernel, date } = &self.machine;
        let mut text = format!(
            "{cpu}; Linux {kernel}; {date}. {} rounds, {RUNS} packets a sample.\n\n### Cases\n\n",
            self.rounds
        );
        text += &self.cases_table();
        text += "\n### Programs\n\n";
        text += &self.programs_table();
        if !self.live.is_empty() {
            text += "\n### Packets per second\n\n";
            text += &self.live_table();
        }
        text
    }

    /// Puts the tables between the marks of a document.
    pub fn write(&self, path: &Path) -> Result<()> {
        let document =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let replaced = replace(&document, &self.markdown())
            .with_context(|| format!("{} lacks the marks {BEGIN}{END}", path.display()))?;
        fs::write(path, replaced).with_context(|| format!("writing {}", path.display()))
    }

    fn verdict(&self, case: &Measurement) -> Option<Verdict> {
        match case.budget? {
            Budget::Parses(limit) => Some(Verdict {
                limit,
                measured: case.ratio(),
                of: "parse",
            }),
            Budget::Established(limit) => {
                let calm = self.measurements.iter().find(|other| {
                    other.name == "established"
                        && (other.flows, other.services) == (case.flows, case.services)
                })?;
                Some(Verdict {
                    limit,
                    measured: case.nanoseconds() / calm.nanoseconds(),
                    of: "established",
                })
            }
        }
    }

    fn cases_table(&self) -> String {
        let mut text = String::from(
            "| case | hook | flows | services | ns above empty | ratio to parse | spread | budget | |\n\
             |---|---|--:|--:|--:|--:|--:|---|---|\n",
        );
        for case in &self.measurements {
            let (budget, met) = match self.verdict(case) {
                None => (String::new(), ""),
                Some(verdict) => (
                    format!(
                        "{:.1} of ≤ {} × {}",
                        verdict.measured, verdict.limit, verdict.of
                    ),
                    if verdict.is_met() {
                        "met"
                    } else {
                        "**not met**"
                    },
                ),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {budget} | {met} |",
                case.name,
                hook(case.hook),
                thousands(case.flows.into()),
                thousands(case.services.into()),
                case.nanoseconds(),
                case.ratio(),
                case.spread(),
            );
        }
        text
    }

    fn programs_table(&self) -> String {
        let mut text = String::from(
            "| program | instructions | bytes of machine code | instructions verified |\n\
             |---|--:|--:|--:|\n",
        );
        for program in &self.programs {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                program.name,
                thousands(program.instructions.into()),
                thousands(program.machine_code.into()),
                thousands(program.verified.into()),
            );
        }
        text
    }

    fn live_table(&self) -> String {
        let mut text = String::from(
            "| attached | packets/s | ns a packet | ratio | to | spread |\n|---|--:|--:|--:|---|--:|\n",
        );
        for rate in &self.live {
            let to = match rate.attached {
                Attached::Nothing => "",
                Attached::EmptyXdp | Attached::Native | Attached::Tc => {
                    rate.attached.reference().title()
                }
            };
            let _ = writeln!(
                text,
                "| {} | {:.0} | {:.0} | {:.3} | {to} | {:.3} |",
                rate.attached.title(),
                rate.median(),
                1e9 / rate.median(),
                rate.ratio(),
                rate.spread(),
            );
        }
        text
    }
}

/// The document with another text between its marks; none if it lacks them.
fn replace(document: &str, text: &str) -> Option<String> {
    let (head, rest) = document.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{text}\n{END}{tail}"))
}

fn hook(hook: Hook) -> &'static str {
    match hook {
        Hook::Xdp => "XDP",
        Hook::Tc => "tc egress",
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// A number with a comma after each thousand.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let document = format!("head\n{BEGIN}old{END}tail\n");
        let replaced = replace(&document, "new").expect("it has the marks");
        assert_eq!(replaced, format!("head\n{BEGIN}\nnew\n{END}tail\n"));
        assert_eq!(replace("no marks", "new"), None);
    }

    #[test]
    fn thousands_are_set_off() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_048_576, "1,048,576"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }
}
