//! All about one thing, in lines: its name and facts, each with a label.

mod decision;
mod prefix;
mod service;

use super::{daemon, pen::Piece};
use crate::tui::{
    keys::HELP,
    known::Known,
    look::{Tone, mark},
    opened::Sheet,
    state::State,
    words::wrap,
};

/// Columns of the labels.
const LABEL: u16 = 18;

/// A fact: label and text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    label: String,
    text: Piece,
}

impl Fact {
    fn new(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self::shown(label, Piece::new(text, Tone::Plain))
    }

    fn shown(label: impl Into<String>, text: Piece) -> Self {
        Self {
            label: label.into(),
            text,
        }
    }
}

/// The name of a sheet, and its lines.
pub fn lines(state: &State, sheet: &Sheet, width: u16) -> (String, Vec<Vec<Piece>>) {
    let known = state.known.as_ref();
    let (name, facts) = match sheet {
        Sheet::Help => ("Keys and marks".to_owned(), help()),
        Sheet::Prefix(name) => (
            format!("Prefix {name}"),
            about(known, |known| prefix::facts(known, name)),
        ),
        Sheet::Service(name) => (
            format!("Service {name}"),
            about(known, |known| service::facts(known, name)),
        ),
        Sheet::Decision(number) => (
            format!("Decision {number}"),
            about(known, |known| decision::facts(known, *number)),
        ),
        Sheet::Daemon => (
            "Daemon".to_owned(),
            about(known, |known| Some(of_daemon(known))),
        ),
    };
    (name, layout(&facts, width))
}

/// The facts, if the thing is still there.
fn about(known: Option<&Known>, facts: impl Fn(&Known) -> Option<Vec<Fact>>) -> Vec<Fact> {
    known
        .and_then(facts)
        .unwrap_or_else(|| vec![Fact::new("", "It is not there any more.")])
}

/// Labels at the left, texts in as many lines as they need; below each other where the
/// screen is narrow.
fn layout(facts: &[Fact], width: u16) -> Vec<Vec<Piece>> {
    let label = if width >= 50 { LABEL } else { 0 };
    let indent = " ".repeat(usize::from(label));
    let mut lines = Vec::new();
    for fact in facts {
        let mut start = fact.label.clone();
        if label == 0 && !start.is_empty() {
            lines.push(vec![Piece::new(std::mem::take(&mut start), Tone::Soft)]);
        }
        let mut texts = wrap(&fact.text.text, width.saturating_sub(label));
        if texts.is_empty() {
            texts.push(String::new());
        }
        for (index, text) in texts.into_iter().enumerate() {
            let start = if index == 0 {
                format!("{start:<0$}", usize::from(label))
            } else {
                indent.clone()
            };
            lines.push(vec![
                Piece::new(start, Tone::Soft),
                Piece {
                    text,
                    style: fact.text.style,
                },
            ]);
        }
    }
    lines
}

fn of_daemon(known: &Known) -> Vec<Fact> {
    let document = &known.told.document;
    let mut facts: Vec<Fact> = daemon::lines(document)
        .into_iter()
        .map(|line| {
            let text = format!("{} {}", mark(line.severity), line.text);
            let tone = match line.severity {
                None => Tone::Plain,
                worst => Tone::of(worst),
            };
            Fact::shown(line.name, Piece::new(text, tone))
        })
        .collect();
    facts.extend(
        document
            .conflicts
            .iter()
            .map(|conflict| Fact::shown("Routes of others", Piece::new(conflict, Tone::Fault))),
    );
    facts.push(Fact::new("Process", document.pid.to_string()));
    facts
}

fn help() -> Vec<Fact> {
    let keys = HELP.map(|(key, what)| Fact::new(key, what));
    let marks = [
        (
            "✕",
            "a fault: clients, a route or the sensor are affected now",
        ),
        (
            "!",
            "a warning: something protects less than it should, or may soon be a fault",
        ),
        ("i", "advice: it works, and could be safer"),
        ("✓", "all is well with it"),
        (
            "…",
            "live trials do not guard the service yet: the detector is learning",
        ),
    ]
    .map(|(mark, what)| Fact::new(mark, what));
    let columns = [
        (
            "TRIALS/S, FAILING",
            "trials of the last ten seconds, and how many of them failed",
        ),
        (
            "NORMAL",
            "how many fail normally, at most, as the service's detector has learned",
        ),
        (
            "SCORE",
            "the detector's score; it raises the alarm at 100 %",
        ),
        (
            "P50, P99",
            "half, and 99 %, of the answers of the last seconds came within this time",
        ),
    ]
    .map(|(title, what)| Fact::new(title, what));
    let gap = [Fact::new("", "")];
    [&keys[..], &gap, &marks, &gap, &columns].concat()
}
