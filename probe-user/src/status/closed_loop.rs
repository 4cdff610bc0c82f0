//! What is shown of BIRD and of the prefixes in it.

use std::time::Duration;

use probe_core::Level;
use serde::{Deserialize, Serialize};

use crate::follow::{AlertKind, BirdState, Followed, Picture, PrefixPicture};

/// The routing daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BirdView {
    /// Whether it answers; none if it has no control socket, and none was named.
    pub up: Option<bool>,
    /// Its version.
    pub version: Option<String>,
    /// Why it does not answer.
    pub trouble: Option<String>,
    /// Its BGP sessions.
    pub sessions: Vec<SessionView>,
}

/// One BGP session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SessionView {
    /// Its name.
    pub name: String,
    /// Who is at the other end.
    pub neighbor: Option<String>,
    /// Whether it is established.
    pub established: bool,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// What became of a prefix beyond the kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExportView {
    /// Whether BIRD and its sessions are as the table says; none if nobody is asked.
    pub verified: Option<bool>,
    /// The established sessions that export it.
    pub exported_to: Vec<String>,
    /// What is wrong.
    pub alerts: Vec<AlertView>,
    /// The last change that was followed to its end.
    pub last_change: Option<FollowedView>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AlertView {
    /// What kind of thing.
    pub alert: AlertKind,
    /// All of it in words.
    pub sentence: String,
}

/// A change that was followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FollowedView {
    /// To which level.
    pub level: Level,
    /// From the decision to the kernel's acknowledgement.
    pub kernel_seconds: f64,
    /// From there until BIRD's table said so.
    pub rib_seconds: Option<f64>,
    /// ... until all BGP sessions did.
    pub export_seconds: Option<f64>,
    /// Each session.
    pub sessions: Vec<SessionTime>,
}

/// One session's part in a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SessionTime {
    /// Its name.
    pub session: String,
    /// Until it did as it should; none if that was not seen.
    pub seconds: Option<f64>,
}

impl BirdView {
    /// What is shown of a picture.
    pub fn of(picture: &Picture) -> Self {
        let (up, version, trouble) = match &picture.bird {
            BirdState::Unknown => (None, None, None),
            BirdState::Up { version } => (Some(true), Some(version.clone()), None),
            BirdState::Down { sentence } => (Some(false), None, Some(sentence.clone())),
        };
        let sessions = picture.sessions.iter().map(|session| SessionView {
            name: session.name.clone(),
            neighbor: session.neighbor.clone(),
            established: session.established,
            last_error: session.last_error.clone(),
        });
        Self {
            up,
            version,
            trouble,
            sessions: sessions.collect(),
        }
    }

    /// The line for people, where there is no trouble but sessions that are down.
    pub(super) fn line(&self) -> String {
        let sessions: Vec<String> = self
            .sessions
            .iter()
            .map(|session| {
                let state = if session.established { "up" } else { "DOWN" };
                format!("{} {state}", session.name)
            })
            .collect();
        match self.up {
            None | Some(false) => {
                "bird: not asked (no control socket), so exports are not verified".to_owned()
            }
            Some(true) => format!(
                "{}bird: {}, sessions {}",
                if self.sessions.iter().all(|session| session.established) {
                    ""
                } else {
                    "! "
                },
                self.version.as_deref().unwrap_or("-"),
                sessions.join(", ")
            ),
        }
    }
}

impl ExportView {
    /// What is shown of a prefix; of none while nothing is known.
    pub fn of(prefix: Option<&PrefixPicture>) -> Self {
        let Some(prefix) = prefix else {
            return Self::default();
        };
        Self {
            verified: prefix.verified,
            exported_to: prefix
                .sessions
                .iter()
                .filter(|(_, exported)| *exported)
                .map(|(session, _)| session.clone())
                .collect(),
            alerts: prefix
                .alerts
                .iter()
                .map(|(alert, sentence)| AlertView {
                    alert: *alert,
                    sentence: sentence.clone(),
                })
                .collect(),
            last_change: prefix.followed.as_ref().map(FollowedView::of),
        }
    }

    /// The cell for people.
    pub(super) fn words(&self) -> &'static str {
        match self.verified {
            None => "-",
            Some(true) => "verified",
            Some(false) => "NOT VERIFIED",
        }
    }
}

impl FollowedView {
    fn of(followed: &Followed) -> Self {
        let seconds = |took: Duration| took.as_secs_f64();
        Self {
            level: followed.level,
            kernel_seconds: followed.acknowledged.since(followed.decided).as_secs_f64(),
            rib_seconds: followed.learned.map(seconds),
            export_seconds: followed.exported.map(seconds),
            sessions: followed
                .sessions
                .iter()
                .map(|session| SessionTime {
                    session: session.session.clone(),
                    seconds: session.took.map(seconds),
                })
                .collect(),
        }
    }
}
