//! What the API shows, and what it does not.

use std::{collections::BTreeSet, sync::Arc};

use probe_core::{
    Level,
    command::Guard,
    config::PrefixId,
    input::Order,
    status::{KindState, KindStatus},
    witness::{Heard, Other},
};
use serde_json::Value;

use super::*;
use crate::{
    follow::AlertKind,
    journal::recent::tests::decision,
    metrics::Model,
    status::{AlertView, RefusedView, tests::document},
};

fn directive() -> Directive {
    Directive {
        by: "root".into(),
        why: "maintenance".into(),
        until: None,
        force: false,
    }
}

/// A document in which every field has something.
fn full() -> Document {
    let mut document = document();
    document.sensor.trouble = Some("eth0 has no egress hook".into());
    document.frozen = Some(directive());
    document.journal_trouble = Some("no space left".into());
    document.bird.trouble = Some("BIRD does not answer".into());
    document.configuration.refused = Some(RefusedView {
        seconds_ago: 1.0,
        by: "SIGHUP".into(),
        why: "error: unknown key\n  | secret = 1".into(),
    });
    document.conflicts = vec!["somebody's route hides ours".into()];
    let prefix = &mut document.prefixes[0];
    prefix.held_by = Some(Guard::LastSite);
    prefix.orders = vec![Order::Drain {
        prefix: PrefixId(0),
        directive: directive(),
    }];
    prefix.others = vec![Other {
        site: "ams1".into(),
        host: "edge1".into(),
        is_neighbour: false,
        heard: Heard::Level(Level::Full),
    }];
    prefix.export.exported_to = vec!["up4".into()];
    prefix.export.alerts = vec![AlertView {
        alert: AlertKind::Covered,
        sentence: "192.0.0.0/16 is exported".into(),
    }];
    let kind = KindStatus {
        state: KindState::Armed,
        score_ratio: 0.0,
        p0: 0.005,
        p1: 0.5,
        trials_per_second: 1000.0,
    };
    let kinds = document.services[0].trials.keys();
    document.services[0].kinds = kinds.map(|name| (*name, kind)).collect();
    document
}

fn picture(age: Duration) -> Picture {
    Picture {
        document: Arc::new(full()),
        age,
        decisions: Arc::new([1, 2, 3].map(|seq| Arc::new(decision(seq))).into()),
        model: Arc::new(Model::new(1)),
    }
}

fn ask(path: &str, query: Option<&str>, age: Duration) -> (u16, Value) {
    let (status, body) = answer(path, query, &picture(age));
    (status.as_u16(), serde_json::from_slice(&body).unwrap())
}

/// The path of every field.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                fields(value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(values) => {
            for value in values {
                fields(value, path, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.insert(path.to_owned());
        }
    }
}

/// A field that is not in this list is not shown: whoever adds one to the status decides
/// here whether everybody on the host may see it.
const SHOWN: &str = "
age_seconds bird.sessions.established bird.sessions.last_error bird.sessions.name
bird.sessions.neighbor bird.trouble bird.up bird.version configuration.read_seconds_ago
configuration.refused.by configuration.refused.seconds_ago configuration.refused.why
conflicts frozen.by frozen.force frozen.until frozen.why host journal_trouble mode
prefixes.export.alerts.alert prefixes.export.alerts.sentence prefixes.export.exported_to
prefixes.export.last_change.export_seconds prefixes.export.last_change.kernel_seconds
prefixes.export.last_change.level prefixes.export.last_change.rib_seconds
prefixes.export.last_change.sessions.seconds prefixes.export.last_change.sessions.session
prefixes.export.verified prefixes.held_by prefixes.hold_left_seconds prefixes.last_site
prefixes.observed prefixes.orders.directive.by prefixes.orders.directive.force
prefixes.orders.directive.until prefixes.orders.directive.why prefixes.orders.order
prefixes.orders.prefix prefixes.others.heard.level prefixes.others.host
prefixes.others.is_neighbour prefixes.others.site prefixes.prefix prefixes.services
prefixes.standing prefixes.waits_for prefixes.wanted prefixes.withdrawals
sensor.attachments.hook sensor.attachments.interface sensor.attachments.mode
sensor.trouble services.armed services.endpoint services.expected_per_second
services.judged services.kinds.connect.p0 services.kinds.connect.p1 services.kinds.connect.score_ratio
services.kinds.connect.state services.kinds.connect.trials_per_second
services.kinds.request.p0 services.kinds.request.p1 services.kinds.request.score_ratio services.kinds.request.state
services.kinds.request.trials_per_second services.latencies.connect.p50_seconds
services.latencies.connect.p99_seconds services.name services.p0 services.p1
services.probe_passes services.recent.failure_ratio services.recent.trials_per_second
services.score_ratio services.state services.totals.abandoned services.totals.failed
services.totals.late services.totals.succeeded services.trials.connect.abandoned
services.trials.connect.failed services.trials.connect.late
services.trials.connect.succeeded services.trials.request.abandoned
services.trials.request.failed services.trials.request.late
services.trials.request.succeeded site troubles.kind troubles.name troubles.sentence
troubles.severity troubles.subject uptime_seconds version";

#[test]
fn the_status_shows_what_is_listed_and_nothing_else() {
    let (status, shown) = ask("/api/v1/status", None, Duration::ZERO);
    assert_eq!(status, 200);
    let mut found = BTreeSet::new();
    fields(&shown, "", &mut found);
    let found: Vec<&str> = found.iter().map(|path| &path[1..]).collect();
    let listed: Vec<&str> = SHOWN.split_whitespace().collect();
    assert_eq!(found, listed);
    assert_eq!(
        shown["configuration"]["refused"]["why"],
        "error: unknown key"
    );
}

#[test]
fn decisions_are_newest_first_and_without_evidence() {
    let seqs = |query| {
        let (status, found) = ask("/api/v1/decisions", query, Duration::ZERO);
        let decisions = found["decisions"].as_array().cloned().unwrap_or_default();
        let seqs: Vec<u64> = decisions
            .iter()
            .map(|decision| decision["seq"].as_u64().unwrap())
            .collect();
        (status, seqs)
    };
    for (query, expected) in [
        (None, (200, vec![3, 2, 1])),
        (Some(""), (200, vec![3, 2, 1])),
        (Some("limit=2"), (200, vec![3, 2])),
        (Some("limit=0"), (200, vec![])),
        (Some("limit=-1"), (400, vec![])),
        (Some("limit"), (400, vec![])),
        (Some("since=3"), (400, vec![])),
    ] {
        assert_eq!(seqs(query), expected, "{query:?}");
    }
    let (_, found) = ask("/api/v1/decisions", None, Duration::ZERO);
    let mut shown = BTreeSet::new();
    fields(&found, "", &mut shown);
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    let fields = [
        "cause", "class", "event", "guard", "level", "prefix", "sentence", "seq", "time",
    ];
    assert_eq!(shown, fields.map(|field| format!(".decisions.{field}")));
}

#[test]
fn what_is_old_is_not_shown_as_new() {
    for path in ["/api/v1/status", "/api/v1/decisions"] {
        assert_eq!(
            ask(path, None, Duration::from_millis(4900)).0,
            200,
            "{path}"
        );
        let (status, answer) = ask(path, None, Duration::from_secs(7));
        assert_eq!(status, 503, "{path}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains("has told nothing for 7 s"), "{error}");
    }
    assert_eq!(ask("/api/v1/", None, Duration::from_secs(7)).0, 200);
}
