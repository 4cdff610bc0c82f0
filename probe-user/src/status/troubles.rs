//! What is wrong, worst first: a status document flows in, sentences flow out that a
//! person understands who was just woken.

use probe_core::{
    Level,
    config::{LastSite, Mode},
    status::{ServiceState, Standing},
    uplinks,
    witness::Refuge,
};
use serde::{Deserialize, Serialize};

use super::{Document, PrefixView, ServiceView, seconds, waiting};

/// How bad it is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Clients, a route or the sensor are affected now.
    Fault,
    /// Something protects less than it should, or may soon be a fault.
    Warning,
    /// It works, and could be safer.
    Advice,
}

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The hooks.
    Sensor,
    /// A prefix, by its name.
    Prefix,
    /// A route of somebody else.
    Route,
    /// An interface, by its name.
    Uplink,
    /// The routing daemon, or a session of it by its name.
    Bird,
    /// A service, by its name.
    Service,
    /// The daemon itself: its journal, its configuration, its orders.
    Daemon,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Trouble {
    /// How bad.
    pub severity: Severity,
    /// About what kind of thing.
    pub subject: Subject,
    /// Which one, as the status calls it; empty if there is only one.
    pub name: String,
    /// What kind of trouble; stays the same while figures in the sentence change.
    pub kind: String,
    /// All of it in words.
    pub sentence: String,
}

/// Everything that is wrong, worst first.
pub fn troubles(document: &Document) -> Vec<Trouble> {
    let mut all = of_daemon(document);
    all.extend(of_uplinks(document));
    all.extend(of_bird(document));
    for prefix in &document.prefixes {
        all.extend(of_prefix(prefix, document));
    }
    all.extend(document.services.iter().filter_map(of_service));
    // Stable: prefixes stay before services, each in the order of the configuration.
    all.sort_by_key(|trouble| trouble.severity);
    all
}

fn trouble(
    severity: Severity,
    (subject, name): (Subject, &str),
    kind: &str,
    sentence: String,
) -> Trouble {
    Trouble {
        severity,
        subject,
        name: name.to_owned(),
        kind: kind.to_owned(),
        sentence,
    }
}

fn of_daemon(document: &Document) -> Vec<Trouble> {
    let daemon = (Subject::Daemon, "");
    let mut found = Vec::new();
    if let Some(why) = &document.sensor.trouble {
        found.push(trouble(
            Severity::Fault,
            (Subject::Sensor, ""),
            "blind",
            format!("Lapwing is blind, and lowers no level meanwhile: {why}"),
        ));
    }
    found.extend(document.conflicts.iter().map(|sentence| {
        trouble(
            Severity::Fault,
            (Subject::Route, ""),
            "conflict",
            sentence.clone(),
        )
    }));
    if let Some(directive) = &document.frozen {
        found.push(trouble(
            Severity::Warning,
            daemon,
            "frozen",
            format!(
                "{} froze this host{}: no level changes until `lapwing thaw`",
                directive.by,
                in_parentheses(&directive.why)
            ),
        ));
    }
    if let Some(why) = &document.journal_trouble {
        found.push(trouble(
            Severity::Warning,
            daemon,
            "journal",
            format!("The journal cannot be written, its records go to the log only: {why}"),
        ));
    }
    if let Some(refused) = &document.configuration.refused {
        found.push(trouble(
            Severity::Warning,
            daemon,
            "refused",
            format!(
                "The file was refused {} ago ({}), what was read {} ago is in force: {}",
                seconds(refused.seconds_ago),
                refused.by,
                seconds(document.configuration.read_seconds_ago),
                refused.summary()
            ),
        ));
    }
    found
}

fn of_bird(document: &Document) -> Vec<Trouble> {
    let bird = &document.bird;
    let mut found = Vec::new();
    // Without prefixes nobody needs it.
    if document.prefixes.is_empty() {
        return found;
    }
    if let Some(why) = &bird.trouble {
        found.push(trouble(
            Severity::Fault,
            (Subject::Bird, ""),
            "down",
            why.clone(),
        ));
    } else if bird.up == Some(true) && bird.sessions.is_empty() {
        found.push(trouble(
            Severity::Fault,
            (Subject::Bird, ""),
            "no_session",
            "BIRD has no BGP session: nobody hears of any prefix".to_owned(),
        ));
    }
    let down = bird.sessions.iter().filter(|session| !session.established);
    found.extend(down.map(|session| {
        trouble(
            Severity::Warning,
            (Subject::Bird, &session.name),
            "session_down",
            format!(
                "BGP session {} is down{}",
                session.name,
                in_parentheses(session.last_error.as_deref().unwrap_or_default())
            ),
        )
    }));
    found
}

fn of_prefix(prefix: &PrefixView, document: &Document) -> Vec<Trouble> {
    let name = (Subject::Prefix, &*prefix.prefix);
    let mut found = Vec::new();
    found.extend(of_level(prefix, document));
    if let (Some(wanted), Some(observed)) = (prefix.wanted, prefix.observed)
        && wanted != observed
    {
        found.push(trouble(
            Severity::Fault,
            name,
            "differs",
            format!(
                "{} should be {wanted}, and is {observed} in the kernel's table",
                prefix.prefix
            ),
        ));
    }
    if let Some(guard) = prefix.held_by {
        let stays = prefix.observed.map_or_else(
            || "stays as it is".to_owned(),
            |level| format!("stays {level}"),
        );
        found.push(trouble(
            Severity::Fault,
            name,
            "held",
            format!(
                "{} {stays} although a change is due, held by guard {guard}: {}",
                prefix.prefix,
                waiting::guard_words(guard)
            ),
        ));
    } else if prefix.is_pinned() {
        found.push(trouble(
            Severity::Warning,
            name,
            "pinned",
            format!(
                "{} is pinned: its level does not change until `lapwing unpin`",
                prefix.prefix
            ),
        ));
    }
    found.extend(prefix.export.alerts.iter().map(|alert| {
        trouble(
            Severity::Fault,
            name,
            alert.alert.name(),
            alert.sentence.clone(),
        )
    }));
    if document.mode == Mode::Enforce {
        found.extend(of_last_site(prefix));
    }
    found
}

/// That it is not announced at level full, if it is not.
fn of_level(prefix: &PrefixView, document: &Document) -> Option<Trouble> {
    let (severity, kind, level) = match (prefix.wanted?, prefix.standing) {
        (Level::Full, _) => return None,
        (Level::Degraded, Standing::Drained) => (Severity::Warning, "drained", "being drained"),
        (Level::Withdrawn, Standing::Drained) => {
            (Severity::Warning, "drained", "drained and withdrawn")
        }
        (Level::Withdrawn, Standing::Waiting | Standing::Unread) => {
            (Severity::Warning, "waiting", "not announced yet")
        }
        (Level::Withdrawn, Standing::LockedOut) => (
            Severity::Fault,
            "withdrawn",
            "WITHDRAWN, and locked out after too many withdraws",
        ),
        (
            Level::Withdrawn,
            Standing::Announced | Standing::Impaired | Standing::Canary | Standing::Withdrawn,
        ) => (Severity::Fault, "withdrawn", "WITHDRAWN"),
        (Level::Degraded, Standing::Canary) => {
            (Severity::Warning, "canary", "degraded on its way back")
        }
        (
            Level::Degraded,
            Standing::Unread
            | Standing::Waiting
            | Standing::Announced
            | Standing::Impaired
            | Standing::Withdrawn
            | Standing::LockedOut,
        ) => (Severity::Fault, "degraded", "DEGRADED"),
    };
    // A guard has a sentence of its own.
    let waits = prefix
        .held_by
        .is_none()
        .then(|| waiting::waits_for(prefix, document))
        .flatten();
    let waits = waits.map_or_else(String::new, |waits| format!("; it waits for {waits}"));
    Some(trouble(
        severity,
        (Subject::Prefix, &prefix.prefix),
        kind,
        format!("{} is {level}{waits}", prefix.prefix),
    ))
}

fn of_uplinks(document: &Document) -> Vec<Trouble> {
    let lossy = document.lossy_uplinks();
    let clauses = uplinks::clauses(&lossy).into_iter();
    clauses
        .map(|(interface, clause)| {
            let (first, rest) = clause.split_at(1);
            trouble(
                Severity::Warning,
                (Subject::Uplink, interface),
                "lossy",
                format!("{}{rest}", first.to_uppercase()),
            )
        })
        .collect()
}

fn of_last_site(prefix: &PrefixView) -> Option<Trouble> {
    let (severity, kind, sentence) = match prefix.last_site {
        LastSite::Allow => return None,
        LastSite::Unwitnessed => (
            Severity::Advice,
            "unwitnessed",
            format!(
                "{} may be withdrawn where nobody else announces it: configure a [[witness]], or say last_site = \"allow\"",
                prefix.prefix
            ),
        ),
        LastSite::Hold(_) => match Refuge::among(&prefix.others) {
            Refuge::Site | Refuge::Neighbour => return None,
            Refuge::Nowhere => (
                Severity::Warning,
                "last_site",
                format!(
                    "{} is announced in full nowhere else, so this host will not withdraw it",
                    prefix.prefix
                ),
            ),
            Refuge::Unknown => (
                Severity::Warning,
                "witness_stale",
                format!(
                    "Nobody can say who else announces {}, so this host will not withdraw it",
                    prefix.prefix
                ),
            ),
        },
    };
    let name = (Subject::Prefix, &*prefix.prefix);
    Some(trouble(severity, name, kind, sentence))
}

fn of_service(service: &ServiceView) -> Option<Trouble> {
    let (severity, kind, words) = match (service.state, service.probe_passes) {
        (ServiceState::Failed, _) => (Severity::Fault, "failed", "is held to be dead"),
        (ServiceState::Suspect, _) => (
            Severity::Warning,
            "suspect",
            "may be dead: its live trials fail",
        ),
        (ServiceState::Impaired, _) => (
            Severity::Warning,
            "impaired",
            "is impaired: a part of what it does fails, or the way to it",
        ),
        (
            ServiceState::Unknown
            | ServiceState::Unguarded
            | ServiceState::Learning
            | ServiceState::Armed,
            Some(false),
        ) => (Severity::Warning, "probe_fails", "fails its probe"),
        (ServiceState::Unguarded, _) => (
            Severity::Advice,
            "unguarded",
            "has no probe, and live trials alone withdraw nothing: nothing guards it",
        ),
        (ServiceState::Unknown | ServiceState::Learning | ServiceState::Armed, _) => return None,
    };
    Some(trouble(
        severity,
        (Subject::Service, &service.name),
        kind,
        format!("{} {words}", service.name),
    ))
}

fn in_parentheses(words: &str) -> String {
    match words {
        "" => String::new(),
        words => format!(" ({words})"),
    }
}

#[cfg(test)]
mod tests;
