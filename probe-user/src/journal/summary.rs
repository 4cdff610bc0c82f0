//! What a journal says of a span of time: what was done, what would have been done in
//! mode observe, and what was held by whom. The evidence on which `mode = "enforce"` is
//! decided.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    time::SystemTime,
};

use probe_core::Level;
use serde::Serialize;

use super::{
    entry::Entry,
    read::{Error, Reader},
};

/// The guard of mode observe.
const OBSERVE: &str = "observe";

/// What was found.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Summary {
    /// When the first and the last record of the span were written.
    pub from: Option<String>,
    /// See `from`.
    pub to: Option<String>,
    /// Starts of the daemon.
    pub starts: u64,
    /// The mode that it ran in last.
    pub mode: Option<String>,
    /// Lowerings that mode observe held.
    pub would_have: Vec<Lowering>,
    /// Lowerings that were done.
    pub done: Vec<Lowering>,
    /// Suspicions, and how many of them ended without an action.
    pub suspicions: u64,
    /// See `suspicions`.
    pub cleared: u64,
    /// How often each guard held a change.
    pub holds: BTreeMap<String, u64>,
    /// How often the sensor could not be believed.
    pub blind: u64,
}

/// One lowering.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Lowering {
    /// The record that `lapwing explain` takes.
    pub seq: u64,
    /// When.
    pub time: String,
    /// Of which prefix.
    pub prefix: String,
    /// To which level.
    pub level: Level,
    /// Why.
    pub sentence: String,
    /// For how long, in seconds; none if it had not ended at the end of the span.
    pub seconds: Option<f64>,
    /// Services of which the fault has not ended.
    #[serde(skip)]
    open: Vec<String>,
    #[serde(skip)]
    ended: bool,
}

/// Reads everything that was written since `since`.
pub fn summarize(reader: &Reader, since: Option<SystemTime>) -> Result<Summary, Error> {
    let mut summary = Summary::default();
    reader.each(|line| {
        if let Some(entry) = Entry::of(line.bytes)
            && since.is_none_or(|since| entry.time().is_some_and(|time| time >= since))
        {
            summary.take(&entry);
        }
    })?;
    Ok(summary)
}

impl Summary {
    fn take(&mut self, entry: &Entry) {
        let time = entry.text("time").map(ToOwned::to_owned);
        self.from = self.from.take().or_else(|| time.clone());
        self.to = time;
        match entry.event() {
            "started" => {
                self.starts += 1;
                self.mode = entry.text("mode").map(ToOwned::to_owned);
                // Another life finds out for itself what is wrong.
                end(&mut self.would_have, entry, |_| true);
            }
            "reloaded" => self.mode = entry.text("mode").map(ToOwned::to_owned),
            "suspected" => self.suspicions += 1,
            "cleared" => self.cleared += 1,
            "blind" => self.blind += u64::from(entry.truth("blind") == Some(true)),
            "held" => self.held(entry),
            "decision" => {
                let prefix = entry.text("prefix").unwrap_or_default();
                end(&mut self.done, entry, |lowering| lowering.prefix == prefix);
                self.done.extend(lowering(entry));
            }
            "verdict" if entry.truth("failed") == Some(false) => self.good(entry),
            "impaired" if entry.truth("impaired") == Some(false) => self.good(entry),
            _ => {}
        }
    }

    fn held(&mut self, entry: &Entry) {
        let guard = entry.text("guard").unwrap_or("unknown");
        *self.holds.entry(guard.to_owned()).or_default() += 1;
        let Some(new) = lowering(entry).filter(|_| guard == OBSERVE) else {
            return;
        };
        let same = self
            .would_have
            .iter_mut()
            .find(|known| !known.ended && (&known.prefix, known.level) == (&new.prefix, new.level));
        match same {
            // A further cause of what would have been done already.
            Some(known) => known.open.extend(new.open),
            None => self.would_have.push(new),
        }
    }

    /// A service is well again: what its fault alone would have kept down is over.
    fn good(&mut self, entry: &Entry) {
        let service = entry.text("service").unwrap_or_default();
        for lowering in &mut self.would_have {
            lowering.open.retain(|open| open != service);
        }
        end(&mut self.would_have, entry, |lowering| {
            lowering.open.is_empty()
        });
    }

    /// In words.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text)
            .expect("a String takes everything that is written");
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let (Some(from), Some(to)) = (&self.from, &self.to) else {
            return writeln!(out, "no record in this time");
        };
        writeln!(
            out,
            "{} to {}, mode {}, {}",
            seconds_of(from),
            seconds_of(to),
            self.mode.as_deref().unwrap_or("not told"),
            times(self.starts, "start", "starts")
        )?;
        tell(out, "would have ", &self.would_have)?;
        tell(out, "", &self.done)?;
        writeln!(
            out,
            "\n{}, {} without an action",
            times(self.suspicions, "suspicion", "suspicions"),
            self.cleared
        )?;
        if self.holds.is_empty() {
            writeln!(out, "no guard held anything")?;
        }
        for (guard, count) in &self.holds {
            writeln!(out, "held by {guard}: {}", times(*count, "time", "times"))?;
        }
        if self.blind > 0 {
            writeln!(out, "blind: {}", times(self.blind, "time", "times"))?;
        }
        Ok(())
    }
}

fn tell(out: &mut String, what: &str, lowerings: &[Lowering]) -> fmt::Result {
    for level in [Level::Withdrawn, Level::Degraded] {
        let of_level = || lowerings.iter().filter(|lowering| lowering.level == level);
        let count = times(of_level().count() as u64, "time", "times");
        let colon = if of_level().next().is_some() { ":" } else { "" };
        writeln!(out, "\n{what}{level} {count}{colon}")?;
        for lowering in of_level() {
            let lasted = lowering.seconds.map_or_else(
                || "not over".to_owned(),
                |seconds| format!("for {seconds:.1} s"),
            );
            writeln!(
                out,
                "  {}  {}  {lasted}  (record {})\n    {}",
                seconds_of(&lowering.time),
                lowering.prefix,
                lowering.seq,
                lowering.sentence
            )?;
        }
    }
    Ok(())
}

/// The lowering that a decision or a hold is about.
fn lowering(entry: &Entry) -> Option<Lowering> {
    let level = entry.level().filter(|level| *level != Level::Full)?;
    let text = |field| entry.text(field).unwrap_or_default().to_owned();
    let service = entry.reason("service").as_str().map(ToOwned::to_owned);
    Some(Lowering {
        seq: entry.seq(),
        time: text("time"),
        prefix: text("prefix"),
        level,
        sentence: text("sentence"),
        seconds: None,
        open: service.into_iter().collect(),
        ended: false,
    })
}

fn end(lowerings: &mut [Lowering], entry: &Entry, ends: impl Fn(&Lowering) -> bool) {
    for lowering in lowerings
        .iter_mut()
        .filter(|lowering| !lowering.ended && ends(lowering))
    {
        lowering.ended = true;
        let began = humantime::parse_rfc3339(&lowering.time).ok();
        lowering.seconds = entry
            .time()
            .zip(began)
            .and_then(|(now, began)| now.duration_since(began).ok())
            .map(|lasted| lasted.as_secs_f64());
    }
}

fn times(count: u64, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

/// `2026-11-23 21:05:10Z` of a full time stamp.
fn seconds_of(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => seconds.replacen('T', " ", 1) + "Z",
        None => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(lines: &[&str]) -> Summary {
        let mut summary = Summary::default();
        for (index, line) in lines.iter().enumerate() {
            let line = format!(
                r#"{{"seq":{},"time":"2026-11-23T10:00:{:02}.000000000Z",{line}}}"#,
                index + 1,
                index * 10
            );
            summary.take(&Entry::of(line.as_bytes()).expect(&line));
        }
        summary
    }

    const DEAD: &str = r#""event":"held","prefix":"192.0.2.0/24","level":"withdrawn","guard":"observe","sentence":"web: dead","reason":{"service":"web"}"#;
    const DEAD_TOO: &str = r#""event":"held","prefix":"192.0.2.0/24","level":"withdrawn","guard":"observe","sentence":"dns: dead","reason":{"service":"dns"}"#;
    const WEB_GOOD: &str = r#""event":"verdict","service":"web","failed":false"#;
    const DNS_GOOD: &str = r#""event":"verdict","service":"dns","failed":false"#;

    #[test]
    fn what_observe_held_is_told_once_for_all_causes_and_lasts_until_all_are_gone() {
        let found = summary(&[
            r#""event":"started","mode":"observe""#,
            DEAD,
            DEAD_TOO,
            WEB_GOOD,
            DNS_GOOD,
            DEAD,
        ]);
        let lasted: Vec<_> = found
            .would_have
            .iter()
            .map(|lowering| (lowering.seq, lowering.seconds))
            .collect();
        assert_eq!(lasted, [(2, Some(30.0)), (6, None)]);
        assert_eq!(found.holds[OBSERVE], 3);
        let text = found.text();
        assert!(text.contains("would have withdrawn 2 times:"), "{text}");
        assert!(text.contains("web: dead"), "{text}");
    }

    #[test]
    fn what_was_done_lasts_until_the_next_decision() {
        let found = summary(&[
            r#""event":"decision","prefix":"192.0.2.0/24","level":"degraded","sentence":"grey""#,
            r#""event":"decision","prefix":"192.0.2.0/24","level":"withdrawn","sentence":"dead""#,
            r#""event":"decision","prefix":"2001:db8::/48","level":"full","sentence":"up""#,
            r#""event":"decision","prefix":"192.0.2.0/24","level":"full","sentence":"well""#,
            r#""event":"held","prefix":"192.0.2.0/24","level":"withdrawn","guard":"second_leg","sentence":"x""#,
        ]);
        let lasted: Vec<_> = found
            .done
            .iter()
            .map(|lowering| (lowering.level, lowering.seconds))
            .collect();
        assert_eq!(
            lasted,
            [
                (Level::Degraded, Some(10.0)),
                (Level::Withdrawn, Some(20.0))
            ]
        );
        assert!(found.would_have.is_empty());
        assert_eq!(found.holds["second_leg"], 1);
    }
}
