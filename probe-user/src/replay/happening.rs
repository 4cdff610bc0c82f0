//! What the core made of a capture, in words: its events flow in, lines with a time, a
//! name and a reason flow out.

use std::time::Duration;

use probe_core::{
    Level, Reason,
    command::{Event, Guard},
    config::ServiceId,
};
use serde::Serialize;

use crate::journal::record::Names;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// Enough good trials: live trials may now speak.
    Armed,
    /// Live trials say that something is wrong.
    Suspected {
        /// The part of them that fails if so.
        failing: f64,
    },
    /// A suspicion ended without an action.
    Cleared,
    /// A service is held to be dead, or not any more.
    Verdict {
        /// Whether it is.
        failed: bool,
    },
    /// A service is held to be impaired, or not any more.
    Impaired {
        /// Whether it is.
        impaired: bool,
    },
    /// A probe that is taken to meet what clients met changed its mind.
    Probe {
        /// Whether it would pass.
        passes: bool,
    },
    /// A prefix would have changed its level.
    Level {
        /// To this one.
        level: Level,
    },
    /// Another reason for the level at which a prefix would be already.
    Further {
        /// That level.
        level: Level,
    },
    /// A prefix would have changed its level, but for a guard.
    Held {
        /// To this one.
        level: Level,
        /// Which guard.
        guard: Guard,
    },
}

impl What {
    /// Whether it is about a prefix, and so a decision.
    pub fn is_decision(self) -> bool {
        match self {
            Self::Level { .. } | Self::Further { .. } | Self::Held { .. } => true,
            Self::Armed
            | Self::Suspected { .. }
            | Self::Cleared
            | Self::Verdict { .. }
            | Self::Impaired { .. }
            | Self::Probe { .. } => false,
        }
    }

    /// In a few words.
    pub fn words(self) -> String {
        match self {
            Self::Armed => "armed".to_owned(),
            Self::Suspected { failing } => {
                format!("suspected of failing by {:.0} %", failing * 100.0)
            }
            Self::Cleared => "no longer suspected".to_owned(),
            Self::Verdict { failed: true } => "held to be dead".to_owned(),
            Self::Verdict { failed: false } => "held to be alive".to_owned(),
            Self::Impaired { impaired: true } => "held to be impaired".to_owned(),
            Self::Impaired { impaired: false } => "no longer impaired".to_owned(),
            Self::Probe { passes: true } => "the probe would pass".to_owned(),
            Self::Probe { passes: false } => "the probe would fail".to_owned(),
            Self::Level { level: Level::Full } => "would be full again".to_owned(),
            Self::Level { level } => format!("would be {level}"),
            Self::Further { level } => format!("would be {level}, for another reason, too"),
            Self::Held { level, guard } => format!("would be {level}, but {guard} holds it"),
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Happening {
    /// Since the first packet.
    pub seconds: f64,
    /// What.
    #[serde(flatten)]
    pub what: What,
    /// To which service or prefix.
    pub about: String,
    /// Why.
    pub why: String,
    /// How long after the first failure behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_after_first_failure: Option<f64>,
}

impl Happening {
    /// Without a reason of the core's.
    pub fn new(seconds: f64, what: What, about: String, why: String) -> Self {
        Self {
            seconds,
            what,
            about,
            why,
            seconds_after_first_failure: None,
        }
    }

    /// Because of a reason that the core gave; `origin_ns` is the time of the first packet
    /// on the core's clock.
    pub fn because(
        seconds: f64,
        what: What,
        about: String,
        reason: &Reason,
        origin_ns: u64,
    ) -> Self {
        let first = reason.first_failure.map(|first| {
            let first = first.as_nanos().saturating_sub(origin_ns) as f64 / 1e9;
            (seconds - first).max(0.0)
        });
        let why = reason.sentence();
        let named = format!("{about}: ");
        Self {
            why: why.strip_prefix(&named).unwrap_or(&why).to_owned(),
            seconds_after_first_failure: first,
            ..Self::new(seconds, what, about, String::new())
        }
    }

    /// What an event about a service says; none of one about prefixes, whose levels tell
    /// more, nor of what cannot happen in a capture.
    pub fn of_service(event: &Event, seconds: f64, names: &Names, origin_ns: u64) -> Option<Self> {
        let because = |what, service: &ServiceId, reason: &Reason| {
            let about = names.service(*service);
            Some(Self::because(seconds, what, about, reason, origin_ns))
        };
        let plain = |what, service: &ServiceId, why| {
            Some(Self::new(seconds, what, names.service(*service), why))
        };
        match event {
            Event::Armed {
                service,
                kind,
                trials,
                success_ratio,
            } => plain(
                What::Armed,
                service,
                format!(
                    "for {}: {trials} trials, {:.1} % of them good",
                    kind.name(),
                    success_ratio * 100.0
                ),
            ),
            Event::Suspected { service, reason } => because(
                What::Suspected {
                    failing: reason.trials.p1,
                },
                service,
                reason,
            ),
            Event::Cleared {
                service,
                kind,
                stood,
            } => plain(
                What::Cleared,
                service,
                format!("for {}, after {}", kind.name(), seconds_of(*stood)),
            ),
            Event::Verdict {
                service,
                failed,
                reason,
            } => because(What::Verdict { failed: *failed }, service, reason),
            Event::Impaired {
                service,
                impaired,
                reason,
            } => because(
                What::Impaired {
                    impaired: *impaired,
                },
                service,
                reason,
            ),
            Event::ProbeChanged {
                service,
                passes,
                failure,
            } => plain(
                What::Probe { passes: *passes },
                service,
                failure
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string),
            ),
            Event::Held { .. }
            | Event::Deadline { .. }
            | Event::LockedOut { .. }
            | Event::Ordered { .. }
            | Event::Blind { .. }
            | Event::RouteDiffers { .. } => None,
        }
    }

    /// In one line, without the time.
    pub fn line(&self) -> String {
        let mut line = format!("{} {}", self.about, self.what.words());
        if !self.why.is_empty() {
            line = format!("{line}: {}", self.why);
        }
        if let Some(after) = self.after_first_failure() {
            line = format!("{line}; {after}");
        }
        line
    }

    /// How long it took, where it is worth telling: how quick a decision is.
    pub fn after_first_failure(&self) -> Option<String> {
        let seconds = self.seconds_after_first_failure?;
        match self.what {
            What::Level { .. } | What::Suspected { .. } => Some(format!(
                "{} after the first failure",
                seconds_of(Duration::from_secs_f64(seconds))
            )),
            What::Armed
            | What::Cleared
            | What::Verdict { .. }
            | What::Impaired { .. }
            | What::Probe { .. }
            | What::Further { .. }
            | What::Held { .. } => None,
        }
    }
}

/// A time for people.
pub fn seconds_of(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.0} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}
