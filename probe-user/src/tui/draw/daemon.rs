//! The pane of the daemon itself: whether it sees, is obeyed and remembers.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{
    pen::{self, Piece},
    row,
};
use crate::{
    status::{BirdView, Document, troubles::Severity},
    tui::{
        known::Known,
        look::{Tone, mark},
        words::span,
    },
};

/// One of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub name: &'static str,
    /// How bad it is, if it is.
    pub severity: Option<Severity>,
    /// What there is to say.
    pub text: String,
}

/// All of them.
pub fn lines(document: &Document) -> [Line; 5] {
    let line = |name, severity, text| Line {
        name,
        severity,
        text,
    };
    let read = span(document.configuration.read_seconds_ago);
    [
        match &document.sensor.trouble {
            Some(why) => line("Sensor", Some(Severity::Fault), format!("blind: {why}")),
            None => line("Sensor", None, hooks(document)),
        },
        bird(&document.bird),
        match &document.configuration.refused {
            None => line("Configuration", None, format!("read {read} ago")),
            Some(refused) => line(
                "Configuration",
                Some(Severity::Warning),
                format!(
                    "read {read} ago; a newer one was refused {} ago ({}): {}",
                    span(refused.seconds_ago),
                    refused.by,
                    refused.why
                ),
            ),
        },
        match &document.journal_trouble {
            None => line("Journal", None, "written".to_owned()),
            Some(why) => line(
                "Journal",
                Some(Severity::Warning),
                format!("records go to the log only: {why}"),
            ),
        },
        match &document.frozen {
            None => line("Orders", None, "not frozen".to_owned()),
            Some(order) => line(
                "Orders",
                Some(Severity::Warning),
                format!("frozen by {}{}", order.by, because(&order.why)),
            ),
        },
    ]
}

/// ": reason", if one was given.
pub fn because(why: &str) -> String {
    if why.is_empty() {
        String::new()
    } else {
        format!(": {why}")
    }
}

fn hooks(document: &Document) -> String {
    let hooks: Vec<String> = document
        .sensor
        .attachments
        .iter()
        .map(|hook| format!("{} {} ({})", hook.interface, hook.hook, hook.mode))
        .collect();
    if hooks.is_empty() {
        "no hooks".to_owned()
    } else {
        hooks.join(", ")
    }
}

fn bird(bird: &BirdView) -> Line {
    let sessions: Vec<String> = bird
        .sessions
        .iter()
        .map(|session| {
            let state = if session.established { "up" } else { "DOWN" };
            let error = session
                .last_error
                .as_deref()
                .map(|error| format!(" ({error})"));
            format!("{} {state}{}", session.name, error.unwrap_or_default())
        })
        .collect();
    let (severity, text) = match (&bird.trouble, bird.up) {
        (Some(why), _) => (Some(Severity::Fault), why.clone()),
        (None, None | Some(false)) => (
            Some(Severity::Advice),
            "not asked, so exports are not verified".to_owned(),
        ),
        (None, Some(true)) => {
            let version = bird.version.as_deref().unwrap_or_default();
            if sessions.is_empty() {
                (Some(Severity::Fault), format!("{version}, no BGP session"))
            } else {
                let is_down = bird.sessions.iter().any(|session| !session.established);
                let severity = is_down.then_some(Severity::Warning);
                (severity, format!("{version}, {}", sessions.join(", ")))
            }
        }
    };
    Line {
        name: "BIRD",
        severity,
        text,
    }
}

/// The parts in a line: names and marks.
pub fn summary(document: &Document) -> Vec<Piece> {
    lines(document)
        .into_iter()
        .map(|Line { name, severity, .. }| {
            Piece::new(format!("  {} {name}", mark(severity)), Tone::of(severity))
        })
        .collect()
}

/// Draws it.
pub fn draw(page: &mut Buffer, area: Rect, known: &Known) {
    for (index, line) in (0..).zip(lines(&known.told.document)) {
        let pieces = [
            Piece::new(format!("{} ", mark(line.severity)), Tone::of(line.severity)),
            Piece::new(format!("{:14}", line.name), Tone::Soft),
            Piece::new(line.text, Tone::Plain),
        ];
        pen::line(page, row(area, index), &pieces);
    }
}
