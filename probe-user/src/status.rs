//! The state of a running daemon as one document: built by the daemon once a second,
//! asked for over the control socket, shown as JSON or as a table.

mod closed_loop;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use probe_common::trial::Kind;
use probe_core::{
    Level, Renumbering, Timestamp,
    command::Guard,
    config::{LastSite, Mode},
    input::{Directive, Order},
    status::{KindStatus, ServiceState, Standing, TrialTotals},
    witness::{Other, Refuge},
};
use serde::{Deserialize, Serialize};

pub use closed_loop::{AlertView, BirdView, ExportView, FollowedView, SessionTime, SessionView};

/// Everything `lapwing status` shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// The site.
    pub site: String,
    /// The host.
    pub host: String,
    /// Whether decisions change routes.
    pub mode: Mode,
    /// For how long it runs.
    pub uptime_seconds: f64,
    /// The sensor.
    pub sensor: SensorView,
    /// Who froze the host, if anybody did.
    pub frozen: Option<Directive>,
    /// Why journal records go to the log, if they do.
    pub journal_trouble: Option<String>,
    /// The routing daemon.
    pub bird: BirdView,
    /// The configuration.
    #[serde(default)]
    pub configuration: ConfigurationView,
    /// Routes of others that hide ours, in words.
    pub conflicts: Vec<String>,
    /// The prefixes.
    pub prefixes: Vec<PrefixView>,
    /// The services.
    pub services: Vec<ServiceView>,
}

/// Which configuration is in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationView {
    /// When it was read.
    pub read_seconds_ago: f64,
    /// Why a newer one is not, if there was one.
    pub refused: Option<RefusedView>,
}

/// A configuration that was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedView {
    /// When.
    pub seconds_ago: f64,
    /// Who asked for it.
    pub by: String,
    /// Why, and what to do.
    pub why: String,
}

/// The sensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SensorView {
    /// Why it does not see, if it does not.
    pub trouble: Option<String>,
    /// Its hooks.
    pub attachments: Vec<AttachmentView>,
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentView {
    /// Where.
    pub interface: String,
    /// Ingress or egress.
    pub hook: String,
    /// How.
    pub mode: String,
}

/// One prefix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrefixView {
    /// The network.
    pub prefix: String,
    /// What was decided last.
    pub wanted: Option<Level>,
    /// What stands in the table.
    pub observed: Option<Level>,
    /// Why it stands where it does.
    pub standing: Standing,
    /// Who holds a change that is due.
    pub held_by: Option<Guard>,
    /// The operator's orders for it: a pin, a drain.
    pub orders: Vec<Order>,
    /// While withdrawn: what is left of the hold.
    pub hold_left_seconds: Option<f64>,
    /// Withdraws since the daemon runs.
    pub withdrawals: u64,
    /// What became of it beyond the kernel.
    pub export: ExportView,
    /// Who else announces it, or may.
    pub others: Vec<Other>,
    /// Whether it may be withdrawn where nobody else announces it.
    pub last_site: LastSite,
    /// The names of its services.
    pub services: Vec<String>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// Where it answers.
    pub endpoint: String,
    /// What it is held to be.
    pub state: ServiceState,
    /// What came in the last seconds.
    pub recent: Recent,
    /// Whether live trials guard it: enough good ones were seen.
    pub armed: bool,
    /// The detector's score as a part of its threshold: 1 = alarm.
    pub score_ratio: f64,
    /// The learned failure ratio (upper bound).
    pub p0: f64,
    /// The failure ratio called broken.
    pub p1: f64,
    /// Trials judged since the daemon runs.
    pub totals: TrialTotals,
    /// Trials of every kind that the service has.
    pub trials: BTreeMap<Kind, TrialTotals>,
    /// What is known of every kind.
    pub kinds: BTreeMap<Kind, KindStatus>,
    /// Successes a second that the rate leg expects; none while it is still learning.
    pub expected_per_second: Option<f64>,
    /// Whether the regular probe passes; none before its first result.
    pub probe_passes: Option<bool>,
}

/// Trials of the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    /// Judged trials per second.
    pub trials_per_second: f64,
    /// Failed and late ones among them; none if there were no trials.
    pub failure_ratio: Option<f64>,
}

/// Totals of the last seconds, to tell what is happening now.
#[derive(Clone, Debug, Default)]
pub struct History {
    samples: VecDeque<(Timestamp, Vec<TrialTotals>)>,
}

impl History {
    /// "Recent" means so long ago.
    const SPAN: Duration = Duration::from_secs(10);

    /// Adds the present totals, one per service.
    pub fn push(&mut self, now: Timestamp, totals: Vec<TrialTotals>) {
        while self
            .samples
            .get(1)
            .is_some_and(|(at, _)| now.since(*at) >= Self::SPAN)
        {
            self.samples.pop_front();
        }
        self.samples.push_back((now, totals));
    }

    /// The services have other numbers; there are `count` of them now.
    pub fn renumber(&mut self, numbers: &Renumbering, count: usize) {
        for (_, totals) in &mut self.samples {
            let moved = numbers.move_services(core::mem::take(totals), count);
            *totals = moved.into_iter().map(Option::unwrap_or_default).collect();
        }
    }

    /// What came between the oldest and the newest sample.
    pub fn recent(&self, service: usize) -> Recent {
        let (Some((from, old)), Some((to, new))) = (self.samples.front(), self.samples.back())
        else {
            return Recent::default();
        };
        let (Some(old), Some(new)) = (old.get(service), new.get(service)) else {
            return Recent::default();
        };
        let good = new.succeeded.saturating_sub(old.succeeded);
        let bad = new.failed.saturating_sub(old.failed) + new.late.saturating_sub(old.late);
        let seconds = to.since(*from).as_secs_f64();
        Recent {
            trials_per_second: if seconds > 0.0 {
                (good + bad) as f64 / seconds
            } else {
                0.0
            },
            failure_ratio: (good + bad > 0).then(|| bad as f64 / (good + bad) as f64),
        }
    }
}

impl Document {
    /// The document for people.
    pub fn table(&self) -> String {
        let mut parts = vec![self.head()];
        if !self.prefixes.is_empty() {
            parts.push(columns(
                &[
                    "",
                    "PREFIX",
                    "WANTED",
                    "TABLE",
                    "STANDING",
                    "HELD BY",
                    "HOLD LEFT",
                    "WITHDRAWN",
                    "EXPORT",
                    "SERVICES",
                ],
                self.prefixes.iter().map(PrefixView::row),
            ));
        }
        if self.services.is_empty() {
            parts.push("no services: nothing listens here but on loopback\n".to_owned());
        } else {
            parts.push(columns(
                &[
                    "", "SERVICE", "ENDPOINT", "STATE", "TRIALS/S", "FAILING", "NORMAL", "SCORE",
                    "PROBE",
                ],
                self.services.iter().map(ServiceView::row),
            ));
        }
        parts.join("\n")
    }

    /// Who this is, and everything that is wrong with the daemon itself.
    fn head(&self) -> String {
        let hooks: Vec<String> = self
            .sensor
            .attachments
            .iter()
            .map(|hook| format!("{} {} ({})", hook.interface, hook.hook, hook.mode))
            .collect();
        let mut lines = vec![
            format!(
                "lapwing {}   site {}   host {}   mode {}   up {}",
                self.version,
                self.site,
                self.host,
                mode_words(self.mode),
                seconds(self.uptime_seconds)
            ),
            match &self.sensor.trouble {
                None if hooks.is_empty() => "sensor: no hooks".to_owned(),
                None => format!("sensor: {}", hooks.join(", ")),
                Some(why) => format!("! sensor: BLIND, {why}"),
            },
        ];
        if let Some(directive) = &self.frozen {
            lines.push(format!(
                "! frozen by {}: no level changes{}",
                directive.by,
                match &*directive.why {
                    "" => String::new(),
                    why => format!(" ({why})"),
                }
            ));
        }
        if let Some(why) = &self.journal_trouble {
            lines.push(format!("! journal: records go to the log only, {why}"));
        }
        if let Some(refused) = &self.configuration.refused {
            lines.push(format!(
                "! configuration: the file was refused {} ago ({}), what was read {} ago is in force: {}",
                seconds(refused.seconds_ago),
                refused.by,
                seconds(self.configuration.read_seconds_ago),
                refused.why.lines().next().unwrap_or_default()
            ));
        }
        if !self.prefixes.is_empty() {
            lines.push(self.bird.line());
        }
        if self.mode == Mode::Enforce {
            lines.extend(self.prefixes.iter().filter_map(PrefixView::unwitnessed));
        }
        lines.extend(self.prefixes.iter().filter_map(PrefixView::others_words));
        for conflict in &self.conflicts {
            lines.push(format!("! route: {conflict}"));
        }
        let alerts = self
            .prefixes
            .iter()
            .flat_map(|prefix| &prefix.export.alerts);
        lines.extend(alerts.map(|alert| format!("! export: {}", alert.sentence)));
        lines.join("\n") + "\n"
    }
}

impl PrefixView {
    fn row(&self) -> Vec<String> {
        let healthy = self.wanted == Some(Level::Full)
            && self.observed == Some(Level::Full)
            && self.held_by.is_none()
            && self.export.verified != Some(false);
        vec![
            mark(healthy),
            self.prefix.clone(),
            or_dash(self.wanted),
            or_dash(self.observed),
            self.standing_words(),
            or_dash(self.held_by),
            self.hold_left_seconds.map_or_else(dash, seconds),
            match self.withdrawals {
                0 => "never".to_owned(),
                1 => "once".to_owned(),
                times => format!("{times} times"),
            },
            self.export.words().to_owned(),
            self.services.join(" "),
        ]
    }
}

impl PrefixView {
    /// That nobody guards the last site, if nobody does and it was not asked for.
    fn unwitnessed(&self) -> Option<String> {
        (self.last_site == LastSite::Unwitnessed).then(|| {
            format!(
                "! last site: {} may be withdrawn where nobody else announces it: configure a [[witness]], or say last_site = \"allow\"",
                self.prefix
            )
        })
    }

    /// Who else announces it.
    fn others_words(&self) -> Option<String> {
        if self.others.is_empty() {
            return None;
        }
        let mark = match (Refuge::among(&self.others), self.last_site) {
            (Refuge::Nowhere | Refuge::Unknown, LastSite::Hold(_)) => "! ",
            (_, LastSite::Hold(_) | LastSite::Allow | LastSite::Unwitnessed) => "",
        };
        let others: Vec<String> = self.others.iter().map(Other::sentence).collect();
        Some(format!(
            "{mark}others with {}: {}",
            self.prefix,
            others.join(", ")
        ))
    }

    /// Why it stands where it does; an order says more than what it led to.
    fn standing_words(&self) -> String {
        let pinned = self.orders.iter().any(|order| match order {
            Order::Pin { .. } => true,
            Order::Unpin { .. }
            | Order::Drain { .. }
            | Order::Undrain { .. }
            | Order::Freeze { .. }
            | Order::Thaw => false,
        });
        if pinned {
            "pinned"
        } else {
            self.standing.name()
        }
        .to_owned()
    }
}

impl ServiceView {
    fn row(&self) -> Vec<String> {
        let healthy = match self.state {
            ServiceState::Unknown
            | ServiceState::Unguarded
            | ServiceState::Learning
            | ServiceState::Armed => self.probe_passes != Some(false),
            ServiceState::Impaired | ServiceState::Suspect | ServiceState::Failed => false,
        };
        vec![
            mark(healthy),
            self.name.clone(),
            self.endpoint.clone(),
            self.state.name().to_owned(),
            if self.recent.trials_per_second >= 100.0 {
                format!("{:.0}", self.recent.trials_per_second)
            } else {
                format!("{:.1}", self.recent.trials_per_second)
            },
            self.recent.failure_ratio.map_or_else(dash, percent),
            // Before arming there is no learned ratio worth showing.
            if self.armed { percent(self.p0) } else { dash() },
            percent(self.score_ratio),
            match self.probe_passes {
                None => dash(),
                Some(true) => "passes".to_owned(),
                Some(false) => "fails".to_owned(),
            },
        ]
    }
}

fn mode_words(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe (changes no route)",
        Mode::Enforce => "enforce",
    }
}

/// A row that asks for attention begins with "!".
fn mark(healthy: bool) -> String {
    if healthy { " " } else { "!" }.to_owned()
}

fn dash() -> String {
    "-".to_owned()
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(dash, |value| value.to_string())
}

fn percent(ratio: f64) -> String {
    format!("{:.1} %", ratio * 100.0)
}

/// "3h 12m": whole seconds, at most two units.
fn seconds(seconds: f64) -> String {
    let whole =
        Duration::from_secs(Duration::try_from_secs_f64(seconds).map_or(0, |d| d.as_secs()));
    humantime::format_duration(whole)
        .to_string()
        .split(' ')
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Left-aligned columns, two spaces apart.
pub(crate) fn columns(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines: Vec<Vec<String>> = vec![header.iter().map(ToString::to_string).collect()];
    lines.extend(rows);
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text += cells.join("  ").trim_end();
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
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

    fn document() -> Document {
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
            "! sensor: BLIND, eth0 has no egress hook",
            "! frozen by root: no level changes (maintenance)",
            "! journal: records go to the log only, no space left",
            "! configuration: the file was refused 12s ago (SIGHUP), what was read 1h 30m ago is in force: error: unknown key `colour`\n",
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
            text.contains(r#""trials":{"connect":{"succeeded":1,"failed":2,"late":3,"abandoned":7},"request":"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), document());
    }

    #[test]
    fn recent_means_the_last_ten_seconds() {
        let mut history = History::default();
        assert_eq!(history.recent(0), Recent::default());
        let at = |second: u64| Timestamp::from_nanos(second * 1_000_000_000);
        for second in 0..60 {
            history.push(at(second), vec![totals(second * 10, 0, 0)]);
        }
        history.push(at(60), vec![totals(590, 5, 5)]);
        let recent = history.recent(0);
        assert!((recent.trials_per_second - 10.0).abs() < 1e-9, "{recent:?}");
        assert!(
            (recent.failure_ratio.unwrap() - 0.1).abs() < 1e-9,
            "{recent:?}"
        );
        assert_eq!(history.recent(1), Recent::default());
    }
}
