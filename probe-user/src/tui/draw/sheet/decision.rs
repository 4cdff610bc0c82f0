//! All about a decision.

use super::Fact;
use crate::{
    journal::recent::What,
    tui::{
        draw::{decisions::weight, pen::Piece},
        known::Known,
        look::{Tone, mark},
        words::{date, plain},
    },
};

/// The facts, if the daemon still tells of it.
pub fn facts(known: &Known, number: u64) -> Option<Vec<Fact>> {
    let mut all = known.told.decisions.iter();
    let decision = all.find(|decision| decision.seq == number)?;
    let severity = weight(decision);
    let what = match decision.event {
        What::Decision => format!("{} {}", mark(severity), decision.level),
        What::Held => format!(
            "{} not {}: held by guard {}",
            mark(severity),
            decision.level,
            plain(decision.guard.as_deref().unwrap_or("?"))
        ),
    };
    let mut facts = vec![
        Fact::new("Prefix", &*decision.prefix),
        Fact::shown("Level", Piece::new(what, Tone::of(severity))),
        Fact::new("When", date(&decision.time)),
        Fact::new("Reason", &*decision.sentence),
    ];
    let named = [
        ("Cause", &decision.cause),
        ("Class of fault", &decision.class),
    ];
    facts.extend(
        named
            .into_iter()
            .filter_map(|(label, name)| Some(Fact::new(label, plain(name.as_deref()?)))),
    );
    facts.push(Fact::new("All of it", format!("lapwing explain {number}")));
    Some(facts)
}
