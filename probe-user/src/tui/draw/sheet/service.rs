//! All about a service.

use probe_common::trial::Kind;
use probe_core::status::TrialTotals;

use super::{Fact, prefix::wrong};
use crate::{
    status::{ServiceView, troubles::Subject},
    tui::{
        draw::services,
        known::Known,
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
    let kinds = service.trials.iter();
    facts.extend(kinds.filter_map(|(kind, totals)| of_kind(service, *kind, totals)));
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

/// "1 succeeded, 2 failed; armed, score 0 %, normal 0.5 %; half within 80 µs, …"; nothing of a
/// kind that never came.
fn of_kind(service: &ServiceView, kind: Kind, totals: &TrialTotals) -> Option<Fact> {
    let outcomes: Vec<String> = [
        (totals.succeeded, "succeeded"),
        (totals.failed, "failed"),
        (totals.late, "late"),
        (totals.abandoned, "abandoned"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, outcome)| format!("{number} {outcome}"))
    .collect();
    if outcomes.is_empty() {
        return None;
    }
    let mut parts = vec![outcomes.join(", ")];
    parts.extend(service.kinds.get(&kind).map(|status| {
        format!(
            "{}, score {}, normal {}",
            status.state.name(),
            percent(status.score_ratio),
            percent(status.p0)
        )
    }));
    parts.extend(service.latencies.get(&kind).map(|latency| {
        format!(
            "half within {}, 99 % within {}",
            time(latency.p50_seconds),
            time(latency.p99_seconds)
        )
    }));
    let judged = if service.judged == Some(kind) {
        " (judged)"
    } else {
        ""
    };
    let label = format!("{}{judged}", kind.name());
    Some(Fact::new(label, parts.join("; ")))
}
