//! The pane of the services.

use probe_core::status::ServiceState;
use ratatui::{buffer::Buffer, layout::Rect};

use super::{
    pen::{self, Piece},
    row,
    table::{Column, Sight, table},
};
use crate::{
    status::{
        ServiceView,
        troubles::{Severity, Subject},
    },
    tui::{
        known::Known,
        look::{Tone, mark},
        panes::{Pane, Rows},
        state::State,
        words::{percent, rate, time, width},
    },
};

/// So many cells of the bar are the threshold of the alarm.
const BAR: u8 = 14;

#[derive(Clone, Copy)]
enum Field {
    Name,
    Endpoint,
    State,
    Probe,
    Trials,
    Failing,
    Normal,
    Score,
    Bar,
    Half,
    Most,
}

/// Draws it.
pub fn draw(page: &mut Buffer, area: Rect, state: &State, known: &Known, rows: &Rows) {
    let all = &known.told.document.services;
    if rows.places.is_empty() {
        let sentence = if all.is_empty() {
            "Nothing listens here but on loopback."
        } else if state.filter.text.is_empty() {
            "No service needs attention."
        } else {
            "No service is like that."
        };
        pen::line(page, row(area, 0), &[Piece::new(sentence, Tone::Soft)]);
        return;
    }
    let sight = Sight {
        rows,
        is_chosen: state.pane == Pane::Services,
    };
    table(
        page,
        area,
        &columns(all, area.width),
        sight,
        |place, field| {
            let service = &all[place];
            match field {
                Field::Name => Piece::new(&*service.name, Tone::Plain),
                Field::Endpoint => Piece::new(&*service.endpoint, Tone::Soft),
                Field::State => held_to_be(service, known.worst(Subject::Service, &service.name)),
                Field::Probe => probe(service),
                Field::Trials => Piece::new(rate(service.recent.trials_per_second), Tone::Plain),
                Field::Failing => failing(service),
                Field::Normal => Piece::new(normal(service), Tone::Plain),
                Field::Score => Piece::new(percent(service.score_ratio), alarm(service)),
                Field::Bar => Piece::new(bar(service.score_ratio), alarm(service)),
                Field::Half => latency(service, |view| view.p50_seconds),
                Field::Most => latency(service, |view| view.p99_seconds),
            }
        },
    );
}

fn columns(all: &[ServiceView], width: u16) -> [Column<Field>; 11] {
    let text = |field, title, width, from| Column {
        field,
        title,
        width: Some(width),
        is_number: false,
        from,
    };
    let number = |field, title, width, from| Column {
        is_number: true,
        ..text(field, title, width, from)
    };
    let longest = |texts: &dyn Fn(&ServiceView) -> u16, least: u16, most: u16| {
        all.iter().map(texts).max().unwrap_or(0).clamp(least, most)
    };
    // What the other columns leave, and no more than the names need.
    let most = match width {
        160.. => 40,
        100.. => 24,
        _ => 17,
    };
    let names = longest(&|service| self::width(&service.name), 8, most);
    let endpoints = longest(&|service| self::width(&service.endpoint), 8, most.min(30));
    [
        text(Field::Name, "SERVICE", names, 0),
        text(Field::Endpoint, "ENDPOINT", endpoints, 120),
        text(Field::State, "STATE", 11, 0),
        text(Field::Probe, "PROBE", 8, 64),
        number(Field::Trials, "TRIALS/S", 8, 46),
        number(Field::Failing, "FAILING", 9, 36),
        number(Field::Normal, "NORMAL", 8, 74),
        number(Field::Score, "SCORE", 6, 54),
        text(Field::Bar, "ALARM AT 100 %", u16::from(BAR), 140),
        number(Field::Half, "P50", 7, 96),
        number(Field::Most, "P99", 7, 80),
    ]
}

/// What it is held to be, with the mark of what is wrong with it.
pub fn held_to_be(service: &ServiceView, worst: Option<Severity>) -> Piece {
    let name = service.state.name();
    let (mark, tone) = match (worst, service.state) {
        (Some(Severity::Fault | Severity::Warning), _) => (mark(worst), Tone::of(worst)),
        // Nothing speaks against these, but live trials do not guard them (yet).
        (_, ServiceState::Unknown) => ('?', Tone::Plain),
        (_, ServiceState::Unguarded) => ('i', Tone::Plain),
        (_, ServiceState::Learning) => ('…', Tone::Plain),
        (
            _,
            ServiceState::Armed
            | ServiceState::Impaired
            | ServiceState::Suspect
            | ServiceState::Failed,
        ) => ('✓', Tone::Good),
    };
    Piece::new(format!("{mark} {name}"), tone)
}

/// What its probe says.
pub fn probe(service: &ServiceView) -> Piece {
    match service.probe_passes {
        None => Piece::new("none yet", Tone::Plain),
        Some(true) => Piece::new("✓ passes", Tone::Plain),
        Some(false) => Piece::new("✕ fails", Tone::Fault),
    }
}

/// How many of its trials failed in the last seconds.
pub fn failing(service: &ServiceView) -> Piece {
    let Some(ratio) = service.recent.failure_ratio else {
        return Piece::new("no trials", Tone::Soft);
    };
    let is_unusual = service.armed && ratio > service.p0 * 2.0 && ratio > 0.01;
    let tone = if is_unusual {
        Tone::Warning
    } else {
        Tone::Plain
    };
    Piece::new(percent(ratio), tone)
}

/// How many fail normally, at most; before arming, no learned ratio is worth showing.
pub fn normal(service: &ServiceView) -> String {
    if service.armed {
        percent(service.p0)
    } else {
        "learning".to_owned()
    }
}

fn alarm(service: &ServiceView) -> Tone {
    if service.score_ratio >= 1.0 {
        Tone::Fault
    } else {
        Tone::Plain
    }
}

fn bar(ratio: f64) -> String {
    let cells = (0..BAR).map(|cell| {
        // Full from its middle on; the last one, only at the threshold.
        let end = if cell + 1 == BAR {
            1.0
        } else {
            (f64::from(cell) + 0.5) / f64::from(BAR)
        };
        if ratio >= end { '█' } else { '░' }
    });
    cells.collect()
}

fn latency(service: &ServiceView, part: impl Fn(&crate::status::LatencyView) -> f64) -> Piece {
    let judged = service.judged.and_then(|kind| service.latencies.get(&kind));
    match judged {
        Some(view) => Piece::new(time(part(view)), Tone::Plain),
        None => Piece::new("–", Tone::Soft),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_alarm_fills_the_bar() {
        for (ratio, expected) in [
            (0.0, "░░░░░░░░░░░░░░"),
            (0.5, "███████░░░░░░░"),
            (0.999, "█████████████░"),
            (1.0, "██████████████"),
            (7.0, "██████████████"),
        ] {
            assert_eq!(bar(ratio), expected, "{ratio}");
        }
    }
}
