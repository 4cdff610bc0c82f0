//! One prefix: what it is to be, what was seen of it, when to look again, and when
//! to help or to raise an alert. Pure: judgements and the time flow in, findings out.
//!
//! ```text
//!  stands, ordered ─▶ chase ── looks, at growing pauses ──▶ settled ── every 10 s ─┐
//!                      ▲ │ 250 ms: have BIRD read its table again                  │
//!                      │ └ 3 s: alert                                              │
//!                      └──────────────── no longer so ────────────────────────────┘
//! ```

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use probe_core::{Level, Timestamp, config::PrefixId};

use super::{
    Alert, Change, Finding, Followed, SessionTime,
    judge::{AlertKind, Case, Judgement, Numbers},
};
use crate::bird::Name;

/// Between the first two looks.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// BIRD has had its chance: a message must have been lost.
const HELP_AFTER: Duration = Duration::from_millis(250);
/// Later helps come so many times later.
const HELP_GROWTH: u32 = 8;
/// What stands for so long is told.
const ALERT_AFTER: Duration = Duration::from_secs(3);
/// What stood is looked at again so often.
pub const RECHECK: Duration = Duration::from_secs(10);

/// What follows from a look.
#[derive(Debug, Default)]
pub struct Step {
    /// To tell the daemon.
    pub findings: Vec<Finding>,
    /// BIRD is to read its kernel table again.
    pub help: bool,
}

/// The chase after one prefix.
#[derive(Debug)]
pub struct Chase {
    id: PrefixId,
    prefix: IpNet,
    level: Option<Level>,
    since: Timestamp,
    settled: bool,
    order: Option<Pending>,
    followed: Option<Followed>,
    /// What the last look said.
    last: Option<Judgement>,
    carriers: BTreeSet<Name>,
    helps: u32,
    alerts: BTreeMap<AlertKind, String>,
    due: Option<Timestamp>,
}

/// An order whose end has not been seen.
#[derive(Debug)]
struct Pending {
    change: Change,
    learned: Option<Duration>,
    sessions: BTreeMap<Name, Option<Duration>>,
    helps: u32,
}

impl Chase {
    /// Nothing is known of the prefix yet.
    pub fn new(id: PrefixId, prefix: IpNet) -> Self {
        Self {
            id,
            prefix,
            level: None,
            since: Timestamp::default(),
            settled: false,
            order: None,
            followed: None,
            last: None,
            carriers: BTreeSet::new(),
            helps: 0,
            alerts: BTreeMap::new(),
            due: None,
        }
    }

    /// The kernel's table was seen to say `level`.
    pub fn stands(&mut self, level: Level, now: Timestamp) -> Vec<Finding> {
        if self.level == Some(level) {
            return Vec::new();
        }
        let superseded = self.supersede();
        self.level = Some(level);
        self.begin(now);
        superseded
    }

    /// The kernel acknowledged an order.
    pub fn ordered(&mut self, change: Change, now: Timestamp) -> Vec<Finding> {
        let superseded = self.supersede();
        self.level = Some(change.level);
        self.begin(now);
        self.order = Some(Pending {
            change,
            learned: None,
            sessions: BTreeMap::new(),
            helps: 0,
        });
        superseded
    }

    /// All that is known has to be seen again: BIRD was away.
    pub fn restart(&mut self, now: Timestamp) {
        if self.level.is_some() {
            self.begin(now);
        }
    }

    fn begin(&mut self, now: Timestamp) {
        self.since = now;
        self.settled = false;
        self.last = None;
        self.helps = 0;
        self.due = Some(now);
    }

    /// When to look.
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Whether something is waited for.
    pub fn is_pending(&self) -> bool {
        self.level.is_some() && !self.settled
    }

    /// Looks no more until BIRD is back.
    pub fn rest(&mut self) {
        self.due = None;
        self.last = None;
    }

    /// What is to be judged; none before anything is known of the prefix.
    pub fn case(&self, numbers: Numbers) -> Option<Case<'_>> {
        Some(Case {
            prefix: self.prefix,
            level: self.level?,
            numbers,
            carriers: &self.carriers,
        })
    }

    /// What is wrong now, and has been for a while.
    pub fn alerts(&self) -> &BTreeMap<AlertKind, String> {
        &self.alerts
    }

    /// The newest judgement; none while there is nobody to ask.
    pub fn judgement(&self) -> Option<&Judgement> {
        self.last.as_ref()
    }

    /// The last order that was seen to its end.
    pub fn followed(&self) -> Option<&Followed> {
        self.followed.as_ref()
    }

    /// Sessions that are no longer configured carry nothing.
    pub fn forget_sessions_but(&mut self, known: &BTreeSet<Name>) {
        self.carriers.retain(|carrier| known.contains(carrier));
    }

    /// Takes in what a look at `now` said. `recheck` is the pause while all is well.
    pub fn take(&mut self, judgement: Judgement, now: Timestamp, recheck: Duration) -> Step {
        let mut step = Step::default();
        if let Some(Level::Full | Level::Degraded) = self.level {
            let exporting = judgement.exported.iter().filter(|(_, exported)| *exported);
            self.carriers
                .extend(exporting.map(|(session, _)| session.clone()));
        }
        let settled = judgement.is_done();
        if self.settled && !settled {
            self.begin(now);
        }
        self.settled = settled;
        step.findings.extend(self.follow(&judgement, now));
        let age = now.since(self.since);
        self.tell(&judgement, age, &mut step.findings);
        if !judgement.learned && age >= help_at(self.helps) {
            self.helps += 1;
            if let Some(order) = &mut self.order {
                order.helps += 1;
            }
            step.help = true;
        }
        self.last = Some(judgement);
        let pause = if settled {
            recheck
        } else {
            // Neither a help nor an alert is to come late.
            let next = [help_at(self.helps), ALERT_AFTER]
                .into_iter()
                .filter_map(|at| at.checked_sub(age))
                .filter(|left| !left.is_zero());
            next.fold((age / 4).clamp(FIRST_PAUSE, recheck), Duration::min)
        };
        self.due = Some(now.after(pause));
        step
    }

    /// The phases of the order that is being followed; told once it has its end.
    fn follow(&mut self, judgement: &Judgement, now: Timestamp) -> Option<Finding> {
        let order = self.order.as_mut()?;
        let level = order.change.level;
        let took = now.since(order.change.acknowledged);
        if judgement.learned {
            order.learned.get_or_insert(took);
        }
        for (session, exported) in &judgement.exported {
            let seen = order.sessions.entry(session.clone()).or_default();
            if *exported != (level == Level::Withdrawn) {
                seen.get_or_insert(took);
            }
        }
        if !judgement.learned || !judgement.passed_on {
            return None;
        }
        let order = self.order.take()?;
        Some(self.end(order, Some(took)))
    }

    fn supersede(&mut self) -> Vec<Finding> {
        let order = self.order.take();
        order
            .into_iter()
            .map(|order| self.end(order, None))
            .collect()
    }

    fn end(&mut self, order: Pending, exported: Option<Duration>) -> Finding {
        let Pending {
            change,
            learned,
            sessions,
            helps,
        } = order;
        let followed = Followed {
            prefix: self.id,
            level: change.level,
            decided: change.decided,
            acknowledged: change.acknowledged,
            learned,
            exported,
            sessions: sessions
                .into_iter()
                .map(|(session, took)| SessionTime {
                    session: session.as_str().to_owned(),
                    took,
                })
                .collect(),
            helps,
        };
        self.followed = Some(followed.clone());
        Finding::Followed(followed)
    }

    /// Alerts that begin and end.
    fn tell(&mut self, judgement: &Judgement, age: Duration, findings: &mut Vec<Finding>) {
        let mut troubles: BTreeMap<AlertKind, Vec<&str>> = BTreeMap::new();
        for (kind, sentence) in &judgement.troubles {
            troubles.entry(*kind).or_default().push(sentence);
        }
        let ended: Vec<AlertKind> = self
            .alerts
            .keys()
            .filter(|kind| !troubles.contains_key(kind))
            .copied()
            .collect();
        for kind in ended {
            if let Some(sentence) = self.alerts.remove(&kind) {
                findings.push(self.alert(kind, false, sentence));
            }
        }
        for (kind, sentences) in troubles {
            let sentence = sentences.join("; ");
            if let Some(standing) = self.alerts.get_mut(&kind) {
                *standing = sentence;
            } else if age >= ALERT_AFTER {
                self.alerts.insert(kind, sentence.clone());
                findings.push(self.alert(kind, true, sentence));
            }
        }
    }

    fn alert(&self, kind: AlertKind, stands: bool, sentence: String) -> Finding {
        Finding::Alert(Alert {
            prefix: self.id,
            kind,
            stands,
            sentence,
        })
    }
}

/// When the next help is due, after `helps` of them.
fn help_at(helps: u32) -> Duration {
    HELP_AFTER.saturating_mul(HELP_GROWTH.saturating_pow(helps))
}

#[cfg(test)]
mod tests;
