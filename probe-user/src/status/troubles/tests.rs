//! What is said of which fault, and in which order.

use probe_common::trial::Kind;
use probe_core::{
    command::Guard,
    config::Race,
    input::{Directive, Order},
    status::{KindState, KindStatus},
    uplinks::{UplinkStatus, Way, WayStatus},
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

/// A service whose handshakes fail, and an interface on which they are lost.
fn lossy(document: &mut Document, score_ratio: f64) {
    let status = KindStatus {
        state: KindState::Armed,
        score_ratio,
        p0: 0.01,
        p1: 0.5,
        trials_per_second: 100.0,
    };
    document.services[0].kinds.insert(Kind::Handshake, status);
    let way = |way, lossy| WayStatus {
        way,
        tried: 310,
        lost: Some(0.92),
        normal: Some(0.01),
        elsewhere: Some(0.003),
        lossy,
    };
    document.uplinks = vec![UplinkStatus {
        interface: "eth1".into(),
        ways: vec![
            way(Way::Came, true),
            way(Way::Left, true),
            way(Way::Sent, false),
        ],
    }];
}

#[test]
fn an_interface_is_named_while_the_way_to_clients_is_suspected() {
    let sentence = "Clients are lost through eth1: 92.0 % of 310 handshakes there, normally 1.0 %, elsewhere 0.3 %";
    check(&[(
        |document| lossy(document, 1.0),
        Severity::Warning,
        "lossy",
        sentence,
    )]);
    let mut document = well();
    lossy(&mut document, 1.0);
    let table = document.table();
    let line = format!("! uplink: {sentence}");
    assert!(table.lines().any(|shown| shown == line), "{table}");
    // Spoofed SYNs that come by it: nobody suspects the way.
    lossy(&mut document, 0.3);
    assert_eq!(troubles(&document), []);
    assert!(!document.table().contains("uplink"));
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
            "The file was refused 1m 1s ago (SIGHUP), what was read 0s ago is in force: error: unknown key",
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
