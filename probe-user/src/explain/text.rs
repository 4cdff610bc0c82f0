//! An explanation in words: first what happened and why in one sentence, then the
//! numbers, then the story, then the end.

use std::fmt::{self, Write as _};

use probe_common::trial::Kind;
use probe_core::{
    Level,
    command::{SecondLeg, TrialEvidence},
    input::{ProbeFailure, Sample},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{End, Explanation};
use crate::journal::entry::Entry;

/// The SGR codes of a terminal.
const BOLD: &str = "1";
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const GREEN: &str = "1;32";

/// The explanation; `colours` for a terminal.
pub fn text(explanation: &Explanation, colours: bool) -> String {
    let mut page = Page {
        out: String::new(),
        colours,
    };
    page.write(explanation)
        .expect("a String takes everything that is written");
    page.out
}

struct Page {
    out: String,
    colours: bool,
}

impl Page {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn row(&mut self, name: &str, text: &str) -> fmt::Result {
        let name = self.paint(BOLD, &format!("{name:<12}"));
        writeln!(self.out, "{name} {text}")
    }

    fn write(&mut self, explanation: &Explanation) -> fmt::Result {
        let record = &explanation.record;
        self.title(record)?;
        let sentence = record.text("sentence").unwrap_or("no reason is recorded");
        writeln!(self.out, "\n  {sentence}\n")?;
        self.reason(record)?;
        let heading = self.paint(BOLD, "What happened");
        writeln!(self.out, "\n{heading}")?;
        for step in &explanation.story {
            let seq = step.seq.map_or_else(String::new, |seq| format!("#{seq}"));
            writeln!(
                self.out,
                "  {:>11}  {seq:<7} {}",
                offset(step.seconds),
                step.words
            )?;
        }
        let heading = self.paint(BOLD, "How it ended");
        writeln!(self.out, "\n{heading}\n  {}", end(record, &explanation.end))
    }

    fn title(&mut self, record: &Entry) -> fmt::Result {
        let text = |field| record.text(field).unwrap_or("?");
        let level = record.level();
        let what = match (record.event(), level) {
            ("held", Some(level)) => self.paint(
                YELLOW,
                &format!("was NOT {level}: held by {}", text("guard")),
            ),
            (_, Some(Level::Full)) => self.paint(GREEN, "was announced in full"),
            (_, Some(Level::Degraded)) => self.paint(YELLOW, "was DEGRADED"),
            (_, Some(Level::Withdrawn)) => self.paint(RED, "was WITHDRAWN"),
            (_, None) => "was decided about".to_owned(),
        };
        let prefix = self.paint(BOLD, text("prefix"));
        writeln!(self.out, "{prefix} {what}")?;
        writeln!(
            self.out,
            "{} UTC, site {}, host {}, record {}",
            time(text("time")),
            text("site"),
            text("host"),
            record.seq()
        )
    }

    fn reason(&mut self, record: &Entry) -> fmt::Result {
        let reason = |field| record.reason(field);
        let word = |field| reason(field).as_str();
        let cause = word("cause").unwrap_or("?");
        self.row("Cause", &cause_words(cause))?;
        if let Some(class) = word("class") {
            self.row("Class", &class_words(class))?;
        }
        let dead = reason("failed_services");
        let dead: Vec<&str> = dead
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if !dead.is_empty() {
            self.row("Dead", &dead.join(", "))?;
        }
        if cause == "live_trials" {
            self.trials(record)?;
        }
        self.probe(record)?;
        if let Some(stood) = reason("stood_ns").as_u64().filter(|stood| *stood > 0) {
            let name = if cause == "live_trials" {
                "Stood"
            } else {
                "Waited"
            };
            self.row(name, &span(stood as f64 / 1e9))?;
        }
        if let Some(sample) = read::<Sample>(reason("evidence")) {
            self.row("Clients", &clients(&sample))?;
        }
        if let Some(guard) = record.text("guard") {
            self.row("Held by", &guard_words(guard))?;
        }
        let guards = reason("guards").as_array().into_iter().flatten();
        let guards: Vec<&str> = guards.filter_map(Value::as_str).collect();
        if !guards.is_empty() {
            let asked = format!("asked, and none held it: {}", guards.join(", "));
            self.row("Guards", &asked)?;
        }
        if let Some(config) = record.text("config") {
            self.row("Config", config.get(..16).unwrap_or(config))?;
        }
        Ok(())
    }

    fn trials(&mut self, record: &Entry) -> fmt::Result {
        let kind = read::<Kind>(record.reason("kind")).map_or("?", Kind::name);
        let service = record.reason("service").as_str().unwrap_or("?").to_owned();
        let Some(trials) = read::<TrialEvidence>(record.reason("trials")) else {
            return Ok(());
        };
        let TrialEvidence {
            score_ratio: _,
            score,
            threshold,
            p0,
            p1,
            failed,
            late,
            succeeded,
            trials_per_second,
            armed,
        } = trials;
        self.row(
            "Trials",
            &format!("{service}, {kind}: {failed} failed, {late} late, {succeeded} good since the first failure"),
        )?;
        self.row(
            "Usual",
            &format!(
                "at most {:.1} % fail, of {trials_per_second:.0} a second; {:.0} % is called broken",
                p0 * 100.0,
                p1 * 100.0
            ),
        )?;
        let armed = if armed { "armed" } else { "NOT armed" };
        self.row(
            "Detector",
            &format!("score {score:.1}, alarm at {threshold:.1}; {armed}"),
        )?;
        let leg = match read::<SecondLeg>(record.reason("second_leg")) {
            Some(leg) => leg_words(&leg),
            None => "none agreed".to_owned(),
        };
        self.row("Second leg", &leg)
    }

    fn probe(&mut self, record: &Entry) -> fmt::Result {
        let failures = record.reason("probe_failures").as_u64().unwrap_or(0);
        let failure = read::<ProbeFailure>(record.reason("probe_failure"));
        match (failures, failure) {
            (0, _) => Ok(()),
            (count, Some(failure)) => self.row(
                "Probe",
                &format!("failed {count} times in a row, last: {failure}"),
            ),
            (count, None) => self.row("Probe", &format!("failed {count} times in a row")),
        }
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

fn cause_words(cause: &str) -> String {
    let words = match cause {
        "live_trials" => "live traffic fails",
        "probe" => "the active probe failed",
        "first_announcement" => "the probes pass for the first time",
        "recovered" => "the probes passed for the whole hold",
        "retry" => "one retry at the longest hold",
        "canary" => "the canary went well",
        "last_site" => "nobody else announces it any more",
        "drain" => "an operator's drain",
        "pin" => "an operator's pin",
        _ => return cause.to_owned(),
    };
    format!("{words} ({cause})")
}

fn class_words(class: &str) -> String {
    let words = match class {
        "service" => "a service is dead",
        "host" => "most services of this host are, at once",
        "path" => "the way between clients and server fails, the server looks well",
        "grey" => "a part of what the service does fails",
        "quiet" => "no live traffic, so the probe decided",
        _ => return class.to_owned(),
    };
    format!("{words} ({class})")
}

fn guard_words(guard: &str) -> String {
    let words = match guard {
        "observe" => "mode observe changes no route",
        "not_armed" => "live traffic had not proven itself yet",
        "second_leg" => "only clients' failures spoke for it, and these can be forged",
        "blind" => "the sensor could not be believed",
        "overload" => "much more than usual arrived: moving it elsewhere cascades",
        "policy" => "the configuration holds faults of this class",
        "budget_local" => "too many lowerings on this host within an hour",
        "last_site" => "no other host announces this prefix at level full",
        "witness_stale" => "nobody can say who else announces this prefix",
        "pinned" => "an operator pinned the prefix",
        "frozen" => "an operator froze this host",
        _ => return guard.to_owned(),
    };
    format!("{guard}: {words}")
}

fn leg_words(leg: &SecondLeg) -> String {
    match leg {
        SecondLeg::Probes { failed, of } => {
            format!("{failed} of {of} probes, launched at the first suspicion, failed too")
        }
        SecondLeg::SomeProbes { failed, of } => {
            format!("{failed} of the last {of} probes failed too")
        }
        SecondLeg::Spread {
            failing,
            busiest_networks,
        } => format!(
            "{:.1} % fail; the four busiest networks alone could make {:.1} % fail",
            failing * 100.0,
            busiest_networks * 100.0
        ),
        SecondLeg::Names { names, .. } => format!("it fails for {names} different names or more"),
        SecondLeg::Rate {
            expected_per_second,
            ..
        } => format!("successes fell far below the usual {expected_per_second:.0} a second"),
    }
}

fn clients(sample: &Sample) -> String {
    let Sample {
        flows,
        networks,
        busiest,
    } = sample;
    if *flows == 0 {
        return "none of the failing connections was still to be seen".to_owned();
    }
    let busiest: Vec<String> = busiest
        .iter()
        .map(|(network, flows)| format!("{network} ({flows})"))
        .collect();
    format!(
        "{flows} failing connections seen, from {networks} networks: {}",
        busiest.join(", ")
    )
}

fn end(record: &Entry, end: &End) -> String {
    let held = record.event() == "held";
    match end {
        End::Decided {
            seq,
            level,
            seconds,
            sentence,
        } => format!(
            "{} later it was decided {level} (record {seq}): {sentence}",
            span(*seconds)
        ),
        End::Over { seq, seconds } => format!(
            "{} later the cause was gone (record {seq}); the route was not touched",
            span(*seconds)
        ),
        End::Stands { seconds } if held => format!(
            "it stands: the journal ends {} later, and the cause was not gone",
            span(*seconds)
        ),
        End::Stands { seconds } => format!(
            "it stands: the journal ends {} later without another decision about the prefix",
            span(*seconds)
        ),
    }
}

/// A length of time, no more exact than one reads.
fn span(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else if seconds < 7200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3600.0)
    }
}

fn offset(seconds: f64) -> String {
    let sign = if seconds < 0.0 { '-' } else { '+' };
    // Less than is shown.
    if seconds.abs() < 5e-5 {
        "0".to_owned()
    } else {
        format!("{sign}{}", span(seconds.abs()))
    }
}

/// `2026-11-23 21:05:10.123` of a full time stamp.
fn time(stamp: &str) -> String {
    let shown = stamp.get(..23).unwrap_or(stamp);
    shown.replacen('T', " ", 1)
}
