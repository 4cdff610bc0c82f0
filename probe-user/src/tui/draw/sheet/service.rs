//! All about a service.

use probe_common::trial::Kind;

use super::{Fact, prefix::wrong};
use crate::{
    status::{ServiceView, troubles::Subject},
    tui::{
        draw::{pen::Piece, services},
        look::Tone,
        state::Known,
        words::{percent, rate, time},
    },
};

/// The facts, if there still is such a service.
pub fn facts(known: &Known, name: &str) -> Option<Vec<Fact>> {
    let document = &known.told.document;
    let service = document
        .services
        .iter()
        .find(|service| service.name == name)?;
    let state = services::held_to_be(service, known.worst(Subject::Service, name));
    let mut facts = vec![
        Fact::new("Endpoint", &*service.endpoint),
        Fact::shown("State", state),
    ];
    facts.extend(wrong(known, Subject::Service, name));
    facts.push(Fact::shown("Probe", services::probe(service)));
    facts.push(Fact::new(
        "Trials",
        format!("{} a second", rate(service.recent.trials_per_second)),
    ));
    facts.push(Fact::shown("Failing", services::failing(service)));
    facts.push(Fact::new(
        "Normal",
        if service.armed {
            format!("at most {}", services::normal(service))
        } else {
            services::normal(service)
        },
    ));
    facts.push(Fact::new("Called broken", percent(service.p1)));
    facts.push(Fact::new(
        "Score",
        format!("{}, alarm at 100 %", percent(service.score_ratio)),
    ));
    if let Some(expected) = service.expected_per_second {
        let text = format!("{} successes a second", rate(expected));
        facts.push(Fact::new("Expected", text));
    }
    facts.extend(service.trials.keys().map(|kind| of_kind(service, *kind)));
    let prefixes: Vec<&str> = document
        .prefixes
        .iter()
        .filter(|prefix| prefix.services.iter().any(|service| service == name))
        .map(|prefix| &*prefix.prefix)
        .collect();
    if !prefixes.is_empty() {
        facts.push(Fact::new("Prefixes", prefixes.join(", ")));
    }
    Some(facts)
}

/// "succeeded 1, failed 2, late 3, abandoned 7; armed, score 0 %, normal 0.5 %; …".
fn of_kind(service: &ServiceView, kind: Kind) -> Fact {
    let totals = service.trials.get(&kind).copied().unwrap_or_default();
    let mut text = format!(
        "succeeded {}, failed {}, late {}, abandoned {}",
        totals.succeeded, totals.failed, totals.late, totals.abandoned
    );
    if let Some(status) = service.kinds.get(&kind) {
        text += &format!(
            "; {}, score {}, normal {}",
            status.state.name(),
            percent(status.score_ratio),
            percent(status.p0)
        );
    }
    if let Some(latency) = service.latencies.get(&kind) {
        text += &format!(
            "; half within {}, 99 % within {}",
            time(latency.p50_seconds),
            time(latency.p99_seconds)
        );
    }
    let judged = if service.judged == Some(kind) {
        " (judged)"
    } else {
        ""
    };
    let label = format!("{}{judged}", kind.name());
    Fact::shown(label, Piece::new(text, Tone::Plain))
}
