//! What the closed loop has to tell.

use probe_core::Level;
use serde::Serialize;

use super::{Names, Record, nanoseconds};
use crate::follow::{Alert, Finding, Followed, traffic::Moved};

/// The way of a change.
#[derive(Clone, Debug, Serialize)]
pub struct RouteFollowed {
    /// Of which prefix.
    pub prefix: String,
    /// To which level.
    pub level: Level,
    /// Whether it was seen to arrive everywhere; else another change came first.
    pub verified: bool,
    /// When it was decided.
    pub decided_mono_ns: u64,
    /// From the decision to the kernel's acknowledgement.
    pub kernel_ns: u64,
    /// From there until BIRD's table said so.
    pub rib_ns: Option<u64>,
    /// ... until all BGP sessions did.
    pub export_ns: Option<u64>,
    /// Each session.
    pub sessions: Vec<SessionRecord>,
    /// How often BIRD was told to read its kernel table again.
    pub reloads: u32,
}

/// One session's part in it.
#[derive(Clone, Debug, Serialize)]
pub struct SessionRecord {
    /// Its name.
    pub session: String,
    /// From the kernel's acknowledgement until it did as it should.
    pub took_ns: Option<u64>,
}

/// What clients did after a change.
#[derive(Clone, Debug, Serialize)]
pub struct TrafficFollowed {
    /// Of which prefix.
    pub prefix: String,
    /// To which level.
    pub level: Level,
    /// What they did.
    pub outcome: &'static str,
    /// From the kernel's acknowledgement.
    pub took_ns: u64,
    /// New connections a second, before.
    pub before_per_second: f64,
    /// ... and at last.
    pub after_per_second: f64,
}

impl Record {
    /// The record of something the follower found.
    pub fn of_finding(finding: Finding, names: &Names) -> Self {
        match finding {
            Finding::BirdUp { version } => Self::Bird {
                up: true,
                sentence: format!("BIRD {version} answers"),
            },
            Finding::BirdDown { sentence } => Self::Bird {
                up: false,
                sentence,
            },
            Finding::Followed(followed) => Self::RouteFollowed(of_followed(followed, names)),
            Finding::Alert(alert) => Self::of_alert(alert, names),
            Finding::Helped {
                prefix,
                protocol,
                error,
            } => Self::BirdReloaded {
                prefix: names.prefix(prefix),
                protocol,
                error,
            },
        }
    }

    /// The record of an alert that began or ended.
    pub fn of_alert(alert: Alert, names: &Names) -> Self {
        let Alert {
            prefix,
            kind,
            stands,
            sentence,
        } = alert;
        Self::ExportAlert {
            prefix: names.prefix(prefix),
            alert: kind,
            stands,
            sentence,
        }
    }

    /// The record of what clients did.
    pub fn of_moved(moved: &Moved, names: &Names) -> Self {
        let Moved {
            change,
            outcome,
            took,
            before,
            after,
        } = moved;
        Self::TrafficFollowed(TrafficFollowed {
            prefix: names.prefix(change.prefix),
            level: change.level,
            outcome: outcome.name(),
            took_ns: nanoseconds(*took),
            before_per_second: *before,
            after_per_second: *after,
        })
    }
}

fn of_followed(followed: Followed, names: &Names) -> RouteFollowed {
    let Followed {
        prefix,
        level,
        decided,
        acknowledged,
        learned,
        exported,
        sessions,
        helps,
    } = followed;
    RouteFollowed {
        prefix: names.prefix(prefix),
        level,
        verified: exported.is_some(),
        decided_mono_ns: decided.as_nanos(),
        kernel_ns: nanoseconds(acknowledged.since(decided)),
        rib_ns: learned.map(nanoseconds),
        export_ns: exported.map(nanoseconds),
        sessions: sessions
            .into_iter()
            .map(|session| SessionRecord {
                session: session.session,
                took_ns: session.took.map(nanoseconds),
            })
            .collect(),
        reloads: helps,
    }
}
