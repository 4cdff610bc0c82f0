//! The table, and the document as JSON.

use std::time::Duration;

use probe_core::{config::Race, witness::Heard};

use super::*;
use crate::follow::AlertKind;

fn totals(succeeded: u64, failed: u64, late: u64) -> TrialTotals {
    TrialTotals {
        succeeded,
        failed,
        late,
        abandoned: 7,
    }
}

/// A service is dead and its prefix withdrawn.
pub(crate) fn document() -> Document {
    Document {
        version: "0.1.0".into(),
        pid: 1,
        site: "fra1".into(),
        host: "edge3".into(),
        mode: Mode::Enforce,
        uptime_seconds: 11_520.7,
        sensor: SensorView {
            trouble: None,
            attachments: vec![AttachmentView {
                interface: "eth0".into(),
                hook: "ingress".into(),
                mode: "native".into(),
            }],
        },
        uplinks: Vec::new(),
        frozen: None,
        journal_trouble: None,
        bird: bird(),
        configuration: ConfigurationView::default(),
        conflicts: Vec::new(),
        prefixes: vec![PrefixView {
            prefix: "192.0.2.0/24".into(),
            wanted: Some(Level::Withdrawn),
            observed: Some(Level::Withdrawn),
            standing: Standing::Withdrawn,
            held_by: None,
            orders: Vec::new(),
            hold_left_seconds: Some(42.9),
            withdrawals: 1,
            export: export(),
            others: Vec::new(),
            last_site: LastSite::Allow,
            services: vec!["web".into()],
        }],
        services: vec![ServiceView {
            name: "web".into(),
            endpoint: "192.0.2.10:443/tcp".into(),
            state: ServiceState::Failed,
            recent: Recent {
                trials_per_second: 1023.4,
                failure_ratio: Some(1.0),
            },
            judged: Some(Kind::Connect),
            latencies: BTreeMap::from([(
                Kind::Connect,
                LatencyView {
                    p50_seconds: 0.000_2,
                    p99_seconds: 0.003,
                },
            )]),
            armed: true,
            score_ratio: 1.0,
            p0: 0.005,
            p1: 0.5,
            totals: totals(1, 2, 3),
            trials: BTreeMap::from([
                (Kind::Connect, totals(1, 2, 3)),
                (Kind::Request, totals(4, 5, 6)),
            ]),
            kinds: BTreeMap::new(),
            expected_per_second: Some(1000.0),
            probe_passes: Some(false),
        }],
    }
}

fn bird() -> BirdView {
    BirdView {
        up: Some(true),
        version: Some("2.0.12".into()),
        trouble: None,
        sessions: [("up4", true), ("up6", false)]
            .map(|(name, established)| SessionView {
                name: name.into(),
                neighbor: Some("198.51.100.1".into()),
                established,
                last_error: None,
            })
            .to_vec(),
    }
}

fn export() -> ExportView {
    ExportView {
        verified: Some(true),
        exported_to: Vec::new(),
        alerts: Vec::new(),
        last_change: Some(FollowedView {
            level: Level::Withdrawn,
            kernel_seconds: 0.000_08,
            rib_seconds: Some(0.000_3),
            export_seconds: Some(0.000_4),
            sessions: vec![SessionTime {
                session: "up4".into(),
                seconds: Some(0.000_4),
            }],
        }),
    }
}

#[test]
fn the_table_shows_what_needs_attention() {
    let table = document().table();
    let expected = "\
lapwing 0.1.0   site fra1   host edge3   mode enforce   up 3h 12m
sensor: eth0 ingress (native)
! bird: 2.0.12, sessions up4 up, up6 DOWN

   PREFIX        WANTED     TABLE      STANDING   HELD BY  HOLD LEFT  WITHDRAWN  EXPORT    SERVICES
!  192.0.2.0/24  withdrawn  withdrawn  withdrawn  -        42s        once       verified  web

   SERVICE  ENDPOINT            STATE   TRIALS/S  FAILING  NORMAL  SCORE    PROBE
!  web      192.0.2.10:443/tcp  failed  1023      100.0 %  0.5 %   100.0 %  fails
";
    assert_eq!(table, expected, "\n{table}");
}

#[test]
fn trouble_is_shown_above_the_tables() {
    let mut document = document();
    document.sensor.trouble = Some("eth0 has no egress hook".into());
    document.frozen = Some(Directive {
        by: "root".into(),
        why: "maintenance".into(),
        until: None,
        force: false,
    });
    document.journal_trouble = Some("no space left".into());
    document.conflicts = vec!["192.0.2.0/24 metric 0 of protocol static hides ours".into()];
    document.configuration = ConfigurationView {
        read_seconds_ago: 5400.0,
        refused: Some(RefusedView {
            seconds_ago: 12.0,
            by: "SIGHUP".into(),
            why: "error: unknown key `colour`\n --> lapwing.toml".into(),
        }),
    };
    document.services.clear();
    document.bird = BirdView {
        up: Some(false),
        trouble: Some("nobody listens".into()),
        ..BirdView::default()
    };
    document.prefixes[0].export.verified = Some(false);
    document.prefixes[0].export.alerts = vec![AlertView {
        alert: AlertKind::Covered,
        sentence: "192.0.0.0/16 is exported".into(),
    }];
    document.prefixes[0].last_site = LastSite::Unwitnessed;
    let table = document.table();
    for line in [
        "! sensor: Lapwing is blind, and lowers no level meanwhile: eth0 has no egress hook",
        "! frozen: root froze this host (maintenance): no level changes until `lapwing thaw`",
        "! journal: The journal cannot be written, its records go to the log only: no space left",
        "! configuration: The file was refused 12s ago (SIGHUP), what was read 1h 30m ago is in force: error: unknown key `colour`\n",
        "! route: 192.0.2.0/24 metric 0",
        "! bird: nobody listens",
        "! export: 192.0.0.0/16 is exported",
        "NOT VERIFIED",
        "! last site: 192.0.2.0/24 may be withdrawn where nobody else announces it",
        "no services",
    ] {
        assert!(table.contains(line), "{line} in\n{table}");
    }
}

#[test]
fn a_bird_that_nobody_asks_is_no_trouble() {
    let mut document = document();
    document.bird = BirdView::default();
    let table = document.table();
    assert!(table.contains("\nbird: not asked"), "{table}");
    document.prefixes.clear();
    assert!(!document.table().contains("bird"), "nothing to announce");
}

#[test]
fn others_ask_for_attention_when_none_is_a_refuge() {
    let mut document = document();
    document.prefixes[0].last_site = LastSite::Hold(Race {
        goes_first: false,
        round: Duration::from_secs(1),
    });
    for (heard, line) in [
        (
            Heard::Level(Level::Full),
            "\nothers with 192.0.2.0/24: ams1/edge1 full\n",
        ),
        (
            Heard::Level(Level::Degraded),
            "\n! others with 192.0.2.0/24: ams1/edge1 degraded\n",
        ),
        (
            Heard::Stale("BIRD has died".into()),
            "\n! others with 192.0.2.0/24: ams1/edge1 stale (BIRD has died)\n",
        ),
    ] {
        document.prefixes[0].others = vec![Other {
            site: "ams1".into(),
            host: "edge1".into(),
            is_neighbour: false,
            heard,
        }];
        let table = document.table();
        assert!(table.contains(line), "{line} in\n{table}");
    }
}

#[test]
fn a_document_survives_json() {
    let text = serde_json::to_string(&document()).unwrap();
    assert!(
        text.contains(
            r#""trials":{"connect":{"succeeded":1,"failed":2,"late":3,"abandoned":7},"request":"#
        ),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), document());
}
