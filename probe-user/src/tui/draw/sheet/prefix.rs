//! All about a prefix.

use probe_core::{
    config::LastSite,
    input::{Directive, Order},
    witness::Other,
};

use super::Fact;
use crate::{
    status::{FollowedView, PrefixView, times, troubles::Subject, waiting::waits_for},
    tui::{
        draw::{daemon::because, pen::Piece, prefixes},
        known::Known,
        look::{Tone, mark},
        words::{span, time},
    },
};

/// The facts, if it is still configured.
pub fn facts(known: &Known, name: &str) -> Option<Vec<Fact>> {
    let document = &known.told.document;
    let mut all = document.prefixes.iter();
    let prefix = all.find(|prefix| prefix.prefix == name)?;
    let mut facts = vec![
        Fact::shown("In the table", prefixes::level(prefix.observed)),
        Fact::new("Decided", prefixes::decided(prefix)),
    ];
    let waits = waits_for(prefix, document);
    facts.push(Fact::new(
        "It waits for",
        waits.unwrap_or_else(|| "nothing".to_owned()),
    ));
    if let Some(left) = prefix.hold_left_seconds {
        facts.push(Fact::new("Hold left", span(left)));
    }
    let orders = prefix.orders.iter().filter_map(ordered);
    facts.extend(orders.map(|order| Fact::shown("Order", Piece::new(order, Tone::Warning))));
    facts.extend(wrong(known, Subject::Prefix, name));
    facts.push(Fact::shown("Export", prefixes::export(prefix)));
    if !prefix.export.exported_to.is_empty() {
        facts.push(Fact::new(
            "Exported to",
            prefix.export.exported_to.join(", "),
        ));
    }
    if let Some(change) = &prefix.export.last_change {
        facts.push(Fact::new("Last change", followed(change)));
    }
    facts.push(Fact::new("Elsewhere", elsewhere(prefix)));
    facts.push(Fact::new("Last site", last_site(prefix.last_site)));
    facts.push(Fact::new("Withdrawn", times(prefix.withdrawals)));
    facts.push(Fact::new("Services", prefix.services.join(", ")));
    Some(facts)
}

/// What is wrong with it, in sentences.
pub fn wrong(known: &Known, subject: Subject, name: &str) -> impl Iterator<Item = Fact> {
    let all = known.troubles.iter();
    let its = all.filter(move |trouble| trouble.subject == subject && trouble.name == name);
    its.map(|trouble| {
        let severity = Some(trouble.severity);
        let text = format!("{} {}", mark(severity), trouble.sentence);
        Fact::shown("Wrong", Piece::new(text, Tone::of(severity)))
    })
}

fn ordered(order: &Order) -> Option<String> {
    let by = |what: String, directive: &Directive| {
        Some(format!(
            "{what} by {}{}",
            directive.by,
            because(&directive.why)
        ))
    };
    match order {
        Order::Pin {
            level, directive, ..
        } => by(format!("pinned at {level}"), directive),
        Order::Drain { directive, .. } => by("drained".to_owned(), directive),
        Order::Freeze { directive } => by("frozen".to_owned(), directive),
        Order::Unpin { .. } | Order::Undrain { .. } | Order::Thaw => None,
    }
}

/// "withdrawn: in the kernel after 80 µs, in BIRD's table 300 µs later".
fn followed(change: &FollowedView) -> String {
    let kernel = time(change.kernel_seconds);
    let mut parts = vec![format!("{}: in the kernel after {kernel}", change.level)];
    let later = [
        ("in BIRD's table", change.rib_seconds),
        ("at all sessions", change.export_seconds),
    ];
    parts.extend(
        later
            .into_iter()
            .filter_map(|(place, seconds)| Some(format!("{place} {} later", time(seconds?)))),
    );
    parts.join(", ")
}

fn elsewhere(prefix: &PrefixView) -> String {
    let others: Vec<String> = prefix.others.iter().map(Other::sentence).collect();
    if others.is_empty() {
        "not known".to_owned()
    } else {
        others.join(", ")
    }
}

fn last_site(guard: LastSite) -> &'static str {
    match guard {
        LastSite::Allow => "may be withdrawn where nobody else announces it",
        LastSite::Unwitnessed => {
            "may be withdrawn where nobody else announces it: there is no witness"
        }
        LastSite::Hold(_) => "is not withdrawn where nobody else announces it",
    }
}
