//! What is wrong, worst first: a status document flows in, sentences flow out that a
//! person understands who was just woken.

use probe_core::{
    Level,
    config::{LastSite, Mode},
    status::{ServiceState, Standing},
    witness::Refuge,
};
use serde::{Deserialize, Serialize};

use super::{Document, PrefixView, ServiceView, seconds, waiting};

/// How bad it is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The hooks.
    Sensor,
    /// A prefix, by its name.
    Prefix,
    /// A route of somebody else.
    Route,
    /// The routing daemon, or a session of it by its name.
    Bird,
    /// A service, by its name.
    Service,
    /// The daemon itself: its journal, its configuration, its orders.
    Daemon,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
                "A new configuration was refused {} ago, the one before is in force: {}",
                seconds(refused.seconds_ago),
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
mod tests {
    use probe_core::{
        command::Guard,
        config::Race,
        input::{Directive, Order},
        witness::{Heard, Other},
    };

    use super::*;
    use crate::{
        follow::AlertKind,
        status::{AlertView, BirdView, RefusedView, tests::document},
    };

    /// A document of which nothing is wrong.
    fn well() -> Document {
        let mut document = document();
        let prefix = &mut document.prefixes[0];
        prefix.wanted = Some(Level::Full);
        prefix.observed = Some(Level::Full);
        prefix.standing = Standing::Announced;
        prefix.hold_left_seconds = None;
        document.services[0].state = ServiceState::Armed;
        document.services[0].probe_passes = Some(true);
        document.bird.sessions.retain(|session| session.established);
        document
    }

    fn directive() -> Directive {
        Directive {
            by: "root".into(),
            why: "maintenance".into(),
            until: None,
            force: false,
        }
    }

    #[test]
    fn nothing_is_said_of_what_is_well() {
        assert_eq!(troubles(&well()), []);
    }

    /// What is changed in a document of which nothing is wrong, and the trouble that is.
    type Case = (fn(&mut Document), Severity, &'static str, &'static str);

    fn check(cases: &[Case]) {
        for (change, severity, kind, sentence) in cases {
            let mut document = well();
            change(&mut document);
            let found = troubles(&document);
            let shown: Vec<(Severity, &str, &str)> = found
                .iter()
                .map(|trouble| (trouble.severity, &*trouble.kind, &*trouble.sentence))
                .collect();
            assert_eq!(shown, [(*severity, *kind, *sentence)]);
        }
    }

    #[test]
    fn what_is_wrong_with_the_daemon_and_bird_has_its_sentence() {
        use Severity::{Fault, Warning};
        check(&[
            (
                |d| d.sensor.trouble = Some("eth0 has no egress hook".into()),
                Fault,
                "blind",
                "Lapwing is blind, and lowers no level meanwhile: eth0 has no egress hook",
            ),
            (
                |d| d.conflicts = vec!["somebody's route hides ours".into()],
                Fault,
                "conflict",
                "somebody's route hides ours",
            ),
            (
                |d| d.frozen = Some(directive()),
                Warning,
                "frozen",
                "root froze this host (maintenance): no level changes until `lapwing thaw`",
            ),
            (
                |d| d.journal_trouble = Some("no space left".into()),
                Warning,
                "journal",
                "The journal cannot be written, its records go to the log only: no space left",
            ),
            (
                |d| {
                    d.configuration.refused = Some(RefusedView {
                        seconds_ago: 61.0,
                        by: "SIGHUP".into(),
                        why: "error: unknown key\n --> lapwing.toml".into(),
                    });
                },
                Warning,
                "refused",
                "A new configuration was refused 1m 1s ago, the one before is in force: error: unknown key",
            ),
            (
                |d| d.bird.trouble = Some("BIRD does not answer".into()),
                Fault,
                "down",
                "BIRD does not answer",
            ),
            (
                |d| d.bird.sessions.clear(),
                Fault,
                "no_session",
                "BIRD has no BGP session: nobody hears of any prefix",
            ),
            (
                |d| {
                    d.bird.sessions[0].established = false;
                    d.bird.sessions[0].last_error = Some("Hold timer expired".into());
                },
                Warning,
                "session_down",
                "BGP session up4 is down (Hold timer expired)",
            ),
        ]);
    }

    #[test]
    fn what_is_wrong_with_prefixes_and_services_has_its_sentence() {
        use Severity::{Advice, Fault, Warning};
        check(&[
            (
                |d| d.prefixes[0].observed = Some(Level::Degraded),
                Fault,
                "differs",
                "192.0.2.0/24 should be full, and is degraded in the kernel's table",
            ),
            (
                |d| d.prefixes[0].held_by = Some(Guard::LastSite),
                Fault,
                "held",
                "192.0.2.0/24 stays full although a change is due, held by guard last_site: nobody else announces it in full",
            ),
            (
                |d| {
                    d.prefixes[0].orders = vec![Order::Pin {
                        prefix: probe_core::config::PrefixId(0),
                        level: Level::Full,
                        directive: directive(),
                    }];
                },
                Warning,
                "pinned",
                "192.0.2.0/24 is pinned: its level does not change until `lapwing unpin`",
            ),
            (
                |d| {
                    d.prefixes[0].export.alerts = vec![AlertView {
                        alert: AlertKind::Covered,
                        sentence: "192.0.0.0/16 is exported".into(),
                    }];
                },
                Fault,
                "covered",
                "192.0.0.0/16 is exported",
            ),
            (
                |d| d.prefixes[0].last_site = LastSite::Unwitnessed,
                Advice,
                "unwitnessed",
                "192.0.2.0/24 may be withdrawn where nobody else announces it: configure a [[witness]], or say last_site = \"allow\"",
            ),
            (
                |d| d.services[0].state = ServiceState::Failed,
                Fault,
                "failed",
                "web is held to be dead",
            ),
            (
                |d| d.services[0].state = ServiceState::Suspect,
                Warning,
                "suspect",
                "web may be dead: its live trials fail",
            ),
            (
                |d| d.services[0].state = ServiceState::Impaired,
                Warning,
                "impaired",
                "web is impaired: a part of what it does fails, or the way to it",
            ),
            (
                |d| d.services[0].probe_passes = Some(false),
                Warning,
                "probe_fails",
                "web fails its probe",
            ),
            (
                |d| d.services[0].state = ServiceState::Unguarded,
                Advice,
                "unguarded",
                "web has no probe, and live trials alone withdraw nothing: nothing guards it",
            ),
        ]);
    }

    #[test]
    fn the_level_is_told_with_what_it_waits_for() {
        let found = |level, standing| {
            let mut document = well();
            let prefix = &mut document.prefixes[0];
            prefix.wanted = Some(level);
            prefix.observed = Some(level);
            prefix.standing = standing;
            prefix.hold_left_seconds = Some(42.0);
            let mut found = troubles(&document);
            assert_eq!(found.len(), 1, "{found:?}");
            let trouble = found.remove(0);
            (trouble.severity, trouble.sentence)
        };
        for (level, standing, severity, words) in [
            (
                Level::Withdrawn,
                Standing::Withdrawn,
                Severity::Fault,
                "WITHDRAWN; it waits for the hold: probes must pass for another 42s",
            ),
            (
                Level::Withdrawn,
                Standing::LockedOut,
                Severity::Fault,
                "WITHDRAWN, and locked out after too many withdraws; it waits for the end of the lock-out in 42s, or `lapwing pin` by the operator",
            ),
            (
                Level::Degraded,
                Standing::Impaired,
                Severity::Fault,
                "DEGRADED; it waits for its services to stay good for a while",
            ),
            (
                Level::Degraded,
                Standing::Canary,
                Severity::Warning,
                "degraded on its way back; it waits for a good time at level degraded",
            ),
            (
                Level::Degraded,
                Standing::Drained,
                Severity::Warning,
                "being drained; it waits for `lapwing undrain` by the operator",
            ),
            (
                Level::Withdrawn,
                Standing::Waiting,
                Severity::Warning,
                "not announced yet; it waits for the first passing probes of its services",
            ),
        ] {
            let expected = (severity, format!("192.0.2.0/24 is {words}"));
            assert_eq!(found(level, standing), expected);
        }
    }

    #[test]
    fn a_site_that_is_the_last_one_says_so() {
        for (heard, expected) in [
            (Heard::Level(Level::Full), None),
            (Heard::Level(Level::Degraded), Some("last_site")),
            (Heard::Stale("BIRD has died".into()), Some("witness_stale")),
        ] {
            let mut document = well();
            document.prefixes[0].last_site = LastSite::Hold(Race {
                goes_first: false,
                round: core::time::Duration::from_secs(1),
            });
            document.prefixes[0].others = vec![Other {
                site: "ams1".into(),
                host: "edge1".into(),
                is_neighbour: false,
                heard,
            }];
            let found = troubles(&document);
            assert_eq!(found.first().map(|trouble| &*trouble.kind), expected);
            document.mode = Mode::Observe;
            assert_eq!(troubles(&document), [], "nothing is withdrawn anyway");
        }
    }

    #[test]
    fn the_worst_comes_first_and_prefixes_before_services() {
        let mut document = document();
        document.journal_trouble = Some("no space left".into());
        document.prefixes[0].last_site = LastSite::Unwitnessed;
        let found = troubles(&document);
        let kinds: Vec<&str> = found.iter().map(|trouble| &*trouble.kind).collect();
        assert_eq!(
            kinds,
            [
                "withdrawn",
                "failed",
                "journal",
                "session_down",
                "unwitnessed"
            ]
        );
    }

    #[test]
    fn nobody_needs_bird_where_nothing_is_announced() {
        let mut document = well();
        document.prefixes.clear();
        document.bird = BirdView {
            up: Some(true),
            ..BirdView::default()
        };
        assert_eq!(troubles(&document), []);
    }
}
