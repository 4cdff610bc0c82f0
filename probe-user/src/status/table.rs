//! The document for people: a head with everything that is wrong and shows in no row, in
//! the words of [`troubles`], then a row for each prefix and each service.

use std::time::Duration;

use probe_core::{Level, config::Mode, witness::Other};

use super::{
    Document, PrefixView, SensorView, ServiceView,
    troubles::{Subject, Trouble, troubles},
};
use crate::follow::AlertKind;

impl Document {
    /// The document for people.
    pub fn table(&self) -> String {
        let mut parts = vec![self.head()];
        if !self.prefixes.is_empty() {
            parts.push(columns(
                &[
                    "",
                    "PREFIX",
                    "WANTED",
                    "TABLE",
                    "STANDING",
                    "HELD BY",
                    "HOLD LEFT",
                    "WITHDRAWN",
                    "EXPORT",
                    "SERVICES",
                ],
                self.prefixes.iter().map(PrefixView::row),
            ));
        }
        if self.services.is_empty() {
            parts.push("no services: nothing listens here but on loopback\n".to_owned());
        } else {
            parts.push(columns(
                &[
                    "", "SERVICE", "ENDPOINT", "STATE", "TRIALS/S", "FAILING", "NORMAL", "SCORE",
                    "PROBE",
                ],
                self.services.iter().map(ServiceView::row),
            ));
        }
        parts.join("\n")
    }

    /// Who this is, what is wrong beside the rows, worst first, and what is seen.
    fn head(&self) -> String {
        let troubles = troubles(self);
        let mut lines = vec![format!(
            "lapwing {}   site {}   host {}   mode {}   up {}",
            self.version,
            self.site,
            self.host,
            mode_words(self.mode),
            seconds(self.uptime_seconds)
        )];
        lines.extend(troubles.iter().filter_map(|trouble| {
            let label = label(trouble)?;
            Some(format!("! {label}: {}", trouble.sentence))
        }));
        let is_told = |wanted: &str| {
            troubles
                .iter()
                .any(|trouble| label(trouble) == Some(wanted))
        };
        if !is_told("sensor") {
            lines.push(self.sensor.line());
        }
        if !self.prefixes.is_empty() && !is_told("bird") {
            lines.push(self.bird.line());
        }
        for prefix in self
            .prefixes
            .iter()
            .filter(|prefix| !prefix.others.is_empty())
        {
            let is_alone = troubles.iter().any(|trouble| {
                trouble.name == prefix.prefix
                    && ["last_site", "witness_stale"].contains(&&*trouble.kind)
            });
            lines.push(format!(
                "{}{}",
                if is_alone { "! " } else { "" },
                prefix.others_words()
            ));
        }
        lines.join("\n") + "\n"
    }
}

/// What a trouble is about, for the head; none if a row shows it, or the line of the
/// sessions.
fn label(trouble: &Trouble) -> Option<&'static str> {
    match (trouble.subject, &*trouble.kind) {
        (Subject::Sensor, _) => Some("sensor"),
        (Subject::Route, _) => Some("route"),
        (Subject::Uplink, _) => Some("uplink"),
        (Subject::Daemon, "frozen") => Some("frozen"),
        (Subject::Daemon, "refused") => Some("configuration"),
        (Subject::Daemon, _) => Some("journal"),
        (Subject::Bird, "session_down") | (Subject::Service, _) => None,
        (Subject::Bird, _) => Some("bird"),
        (Subject::Prefix, "unwitnessed") => Some("last site"),
        (Subject::Prefix, kind) => AlertKind::ALL
            .iter()
            .any(|alert| alert.name() == kind)
            .then_some("export"),
    }
}

impl SensorView {
    /// The hooks, for people.
    fn line(&self) -> String {
        let hooks: Vec<String> = self
            .attachments
            .iter()
            .map(|hook| format!("{} {} ({})", hook.interface, hook.hook, hook.mode))
            .collect();
        if hooks.is_empty() {
            "sensor: no hooks".to_owned()
        } else {
            format!("sensor: {}", hooks.join(", "))
        }
    }
}

impl PrefixView {
    fn row(&self) -> Vec<String> {
        let healthy = self.wanted == Some(Level::Full)
            && self.observed == Some(Level::Full)
            && self.held_by.is_none()
            && self.export.verified != Some(false);
        vec![
            mark(healthy),
            self.prefix.clone(),
            or_dash(self.wanted),
            or_dash(self.observed),
            self.standing_words(),
            or_dash(self.held_by),
            self.hold_left_seconds.map_or_else(dash, seconds),
            times(self.withdrawals),
            self.export.words().to_owned(),
            self.services.join(" "),
        ]
    }
}

impl PrefixView {
    /// Who else announces it.
    fn others_words(&self) -> String {
        let others: Vec<String> = self.others.iter().map(Other::sentence).collect();
        format!("others with {}: {}", self.prefix, others.join(", "))
    }

    /// Why it stands where it does; an order says more than what it led to.
    fn standing_words(&self) -> String {
        if self.is_pinned() {
            "pinned"
        } else {
            self.standing.name()
        }
        .to_owned()
    }
}

impl ServiceView {
    fn row(&self) -> Vec<String> {
        vec![
            mark(self.is_well()),
            self.name.clone(),
            self.endpoint.clone(),
            self.state.name().to_owned(),
            if self.recent.trials_per_second >= 100.0 {
                format!("{:.0}", self.recent.trials_per_second)
            } else {
                format!("{:.1}", self.recent.trials_per_second)
            },
            self.recent.failure_ratio.map_or_else(dash, percent),
            // Before arming there is no learned ratio worth showing.
            if self.armed { percent(self.p0) } else { dash() },
            percent(self.score_ratio),
            match self.probe_passes {
                None => dash(),
                Some(true) => "passes".to_owned(),
                Some(false) => "fails".to_owned(),
            },
        ]
    }
}

/// The mode for people.
pub(crate) fn mode_words(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe (changes no route)",
        Mode::Enforce => "enforce",
    }
}

/// A row that asks for attention begins with "!".
fn mark(healthy: bool) -> String {
    if healthy { " " } else { "!" }.to_owned()
}

fn dash() -> String {
    "-".to_owned()
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(dash, |value| value.to_string())
}

fn percent(ratio: f64) -> String {
    format!("{:.1} %", ratio * 100.0)
}

/// "never", "once", "3 times".
pub(crate) fn times(number: u64) -> String {
    match number {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        times => format!("{times} times"),
    }
}

/// "3h 12m": whole seconds, at most two units.
pub(crate) fn seconds(seconds: f64) -> String {
    let whole =
        Duration::from_secs(Duration::try_from_secs_f64(seconds).map_or(0, |d| d.as_secs()));
    humantime::format_duration(whole)
        .to_string()
        .split(' ')
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Left-aligned columns, two spaces apart.
pub(crate) fn columns(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines: Vec<Vec<String>> = vec![header.iter().map(ToString::to_string).collect()];
    lines.extend(rows);
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text += cells.join("  ").trim_end();
        text += "\n";
    }
    text
}
