//! What the journal knows to tell. Ids of the core become the operator's names, and
//! every duration is in nanoseconds.

mod closed_loop;

use std::time::Duration;

use ipnet::IpNet;
use probe_common::trial::Kind;
use probe_core::{
    Config, Level, Reason,
    command::{Cause, Class, Event, Guard, SecondLeg, TrialEvidence},
    config::{Mode, PrefixId, ServiceId},
    input::{Directive, Order, ProbeFailure, Sample},
    uplinks::LossyUplink,
    witness::Other,
};
use serde::Serialize;

use super::chain::Hash;
use crate::{
    announce::{
        self,
        conflict::{Conflict, ConflictKind},
    },
    follow::AlertKind,
};

pub use closed_loop::{RouteFollowed, SessionRecord, TrafficFollowed};

/// The names behind the core's ids.
#[derive(Clone, Debug, Default)]
pub struct Names {
    services: Vec<String>,
    prefixes: Vec<IpNet>,
    config: String,
}

impl Names {
    /// The names of a configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            services: config
                .services
                .iter()
                .map(|service| service.name.clone())
                .collect(),
            prefixes: config.prefixes.iter().map(|prefix| prefix.prefix).collect(),
            config: config_hash(config),
        }
    }

    /// By which configuration is decided.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// A service's name.
    pub fn service(&self, id: ServiceId) -> String {
        self.services
            .get(id.0 as usize)
            .cloned()
            .unwrap_or_else(|| format!("service {}", id.0))
    }

    /// A prefix as text.
    pub fn prefix(&self, id: PrefixId) -> String {
        self.prefixes
            .get(id.0 as usize)
            .map_or_else(|| format!("prefix {}", id.0), ToString::to_string)
    }
}

/// One record, without number, time and place.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Record {
    /// The daemon runs.
    Started {
        /// Its version.
        version: &'static str,
        /// Whether it changes routes.
        mode: Mode,
        /// By which configuration it decides, see [`config_hash`].
        config: String,
        /// What it measures.
        services: Vec<String>,
        /// What it announces.
        prefixes: Vec<String>,
    },
    /// A hook is in place.
    Attached {
        /// On which interface.
        interface: String,
        /// Ingress or egress.
        hook: &'static str,
        /// How.
        mode: &'static str,
    },
    /// A detector may now speak.
    Armed {
        /// Which service's.
        service: String,
        /// For which kind of trials.
        kind: Kind,
        /// After so many trials.
        trials: u64,
        /// With this success ratio.
        success_ratio: f64,
    },
    /// Live trials say that a service may be dead.
    Suspected {
        /// Which.
        service: String,
        /// When the first of the failed trials started.
        #[serde(skip_serializing_if = "Option::is_none")]
        first_failure_mono_ns: Option<u64>,
        /// In one sentence.
        sentence: String,
        /// In numbers.
        reason: ReasonRecord,
    },
    /// Trials are late after another time than before.
    Deadline {
        /// Of which service.
        service: String,
        /// The time.
        deadline_ns: u64,
    },
    /// A suspicion ended without an action.
    Cleared {
        /// About which service.
        service: String,
        /// About which kind of trials.
        kind: Kind,
        /// How long it stood.
        stood_ns: u64,
    },
    /// The verdict about a service changed.
    Verdict {
        /// Which.
        service: String,
        /// Whether it is held to be dead.
        failed: bool,
        /// In one sentence.
        sentence: String,
        /// In numbers.
        reason: ReasonRecord,
    },
    /// A service began or ceased to be impaired, which at most degrades.
    Impaired {
        /// Which.
        service: String,
        /// Whether it is held to be impaired.
        impaired: bool,
        /// In one sentence.
        sentence: String,
        /// In numbers.
        reason: ReasonRecord,
    },
    /// A prefix was withdrawn so often that it stays so.
    LockedOut {
        /// Which.
        prefix: String,
        /// Withdraws within the last quarter of an hour.
        withdrawals: u32,
        /// How long it stays.
        hold_ns: u64,
    },
    /// The operator gave an order, took it back, or it expired.
    Ordered {
        /// What is so now.
        order: &'static str,
        /// Which prefix, if it is about one.
        #[serde(skip_serializing_if = "Option::is_none")]
        prefix: Option<String>,
        /// The level of a pin.
        #[serde(skip_serializing_if = "Option::is_none")]
        level: Option<Level>,
        /// Who, why, how long.
        #[serde(skip_serializing_if = "Option::is_none")]
        directive: Option<Directive>,
        /// Whether an order ended by itself.
        expired: bool,
    },
    /// A level change was due and was held.
    Held {
        /// Of which prefix.
        prefix: String,
        /// To which level.
        level: Level,
        /// By whom.
        guard: Guard,
        /// In one sentence.
        sentence: String,
        /// In numbers.
        reason: ReasonRecord,
    },
    /// A probe changed its mind.
    ProbeChanged {
        /// Of which service.
        service: String,
        /// Whether it passes now.
        passes: bool,
        /// The last failure, if it does not.
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<ProbeFailure>,
    },
    /// The sensor went blind or sees again.
    Blind {
        /// Whether it is blind now.
        blind: bool,
        /// Why.
        why: String,
    },
    /// Somebody else changed the table.
    RouteDiffers {
        /// For which prefix.
        prefix: String,
        /// What should stand there.
        wanted: Level,
        /// What stands there.
        observed: Level,
    },
    /// A level was decided.
    Decision {
        /// Of which prefix.
        prefix: String,
        /// The new level.
        level: Level,
        /// What kind of finding led to it.
        cause: Cause,
        /// When the first of the failed trials started.
        #[serde(skip_serializing_if = "Option::is_none")]
        first_failure_mono_ns: Option<u64>,
        /// In one sentence.
        sentence: String,
        /// In numbers.
        reason: ReasonRecord,
        /// By which configuration, see [`config_hash`].
        config: String,
    },
    /// The kernel acknowledged a decided level.
    RouteSet {
        /// Of which prefix.
        prefix: String,
        /// Which level.
        level: Level,
        /// From the decision to the acknowledgement.
        took_ns: u64,
    },
    /// The kernel refused a decided level.
    RouteFailed {
        /// Of which prefix.
        prefix: String,
        /// Which level.
        level: Level,
        /// Why.
        error: String,
    },
    /// What stands in the table.
    RouteObserved {
        /// For which prefix.
        prefix: String,
        /// Which level.
        level: Level,
    },
    /// Something began to stand against a wanted level, or no longer does.
    RouteConflict {
        /// Of which prefix.
        prefix: String,
        /// What kind of thing.
        conflict: ConflictKind,
        /// Whether it stands now.
        stands: bool,
        /// All of it in words.
        sentence: String,
    },
    /// BIRD began or ceased to answer.
    Bird {
        /// Whether it does.
        up: bool,
        /// In words.
        sentence: String,
    },
    /// A change was followed through BIRD to its BGP sessions.
    RouteFollowed(RouteFollowed),
    /// BIRD had not learned a change and was told to read its kernel table again.
    BirdReloaded {
        /// Which prefix it had not as it should.
        prefix: String,
        /// Which of BIRD's protocols.
        protocol: String,
        /// Why it would not.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// Something began to be wrong with a prefix beyond the kernel, or no longer is.
    ExportAlert {
        /// Which prefix.
        prefix: String,
        /// What kind of thing.
        alert: AlertKind,
        /// Whether it stands now.
        stands: bool,
        /// All of it in words.
        sentence: String,
    },
    /// What clients did after a change.
    TrafficFollowed(TrafficFollowed),
    /// Another configuration is in force.
    Reloaded {
        /// Who asked for it.
        by: String,
        /// Whether routes are changed from now on.
        mode: Mode,
        /// By which configuration it is decided, see [`config_hash`].
        config: String,
        /// What is other than before, a line each.
        changes: Vec<String>,
    },
    /// Another configuration was asked for; the one in force stays.
    ReloadRefused {
        /// Who asked for it.
        by: String,
        /// Why, and what to do.
        why: String,
    },
    /// The daemon ends by request.
    Stopped {
        /// What happens to its routes.
        on_exit: &'static str,
    },
    /// The daemon does not start any more, and the last resort has begun.
    LastResort {
        /// What is to be done then.
        on_watchdog: &'static str,
        /// What is done.
        sentence: String,
        /// By which configuration it is decided, see [`config_hash`].
        config: String,
    },
}

/// A [`Reason`] with names instead of ids.
#[derive(Clone, Debug, Serialize)]
pub struct ReasonRecord {
    cause: Cause,
    class: Option<Class>,
    kind: Kind,
    service: String,
    trials: TrialEvidence,
    second_leg: Option<SecondLeg>,
    probe_failures: u32,
    probe_failure: Option<ProbeFailure>,
    first_failure_mono_ns: Option<u64>,
    stood_ns: u64,
    failed_services: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Sample>,
    /// Through which interfaces clients are lost, if some stand out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    uplinks: Vec<LossyUplink>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    guards: Vec<Guard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Directive>,
    /// Who else announced the prefix, where that was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<Other>,
}

impl ReasonRecord {
    /// The record of `reason`.
    pub fn new(reason: &Reason, names: &Names) -> Self {
        let Reason {
            cause,
            class,
            kind,
            service: _,
            service_name,
            trials,
            second_leg,
            probe_failures,
            probe_failure,
            first_failure,
            stood,
            failed_services,
            evidence,
            uplinks,
            guards,
            order,
            others,
        } = reason;
        Self {
            cause: *cause,
            class: *class,
            kind: *kind,
            service: service_name.clone(),
            trials: *trials,
            second_leg: *second_leg,
            probe_failures: *probe_failures,
            probe_failure: probe_failure.clone(),
            first_failure_mono_ns: first_failure.map(probe_core::Timestamp::as_nanos),
            stood_ns: nanoseconds(*stood),
            failed_services: failed_services
                .iter()
                .map(|service| names.service(*service))
                .collect(),
            evidence: evidence.clone(),
            uplinks: uplinks.clone(),
            guards: guards.clone(),
            order: order.clone(),
            others: others.clone(),
        }
    }
}

impl ReasonRecord {
    /// What kind of finding.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// What kind of fault, if it is about one.
    pub fn class(&self) -> Option<Class> {
        self.class
    }
}

impl Record {
    /// The record of an event of the core.
    pub fn of_event(event: &Event, names: &Names) -> Self {
        match event {
            Event::Armed {
                service,
                kind,
                trials,
                success_ratio,
            } => Self::Armed {
                service: names.service(*service),
                kind: *kind,
                trials: *trials,
                success_ratio: *success_ratio,
            },
            Event::Deadline { service, deadline } => Self::Deadline {
                service: names.service(*service),
                deadline_ns: nanoseconds(*deadline),
            },
            Event::Suspected { service, reason } => Self::Suspected {
                service: names.service(*service),
                first_failure_mono_ns: reason.first_failure.map(probe_core::Timestamp::as_nanos),
                sentence: reason.sentence(),
                reason: ReasonRecord::new(reason, names),
            },
            Event::Cleared {
                service,
                kind,
                stood,
            } => Self::Cleared {
                service: names.service(*service),
                kind: *kind,
                stood_ns: nanoseconds(*stood),
            },
            Event::Verdict {
                service,
                failed,
                reason,
            } => Self::Verdict {
                service: names.service(*service),
                failed: *failed,
                sentence: reason.sentence(),
                reason: ReasonRecord::new(reason, names),
            },
            Event::Impaired {
                service,
                impaired,
                reason,
            } => Self::Impaired {
                service: names.service(*service),
                impaired: *impaired,
                sentence: reason.sentence(),
                reason: ReasonRecord::new(reason, names),
            },
            Event::LockedOut {
                prefix,
                withdrawals,
                hold,
            } => Self::LockedOut {
                prefix: names.prefix(*prefix),
                withdrawals: *withdrawals,
                hold_ns: nanoseconds(*hold),
            },
            Event::Ordered { order, expired } => Self::of_order(order, *expired, names),
            Event::Held {
                prefix,
                level,
                guard,
                reason,
            } => Self::Held {
                prefix: names.prefix(*prefix),
                level: *level,
                guard: *guard,
                sentence: reason.sentence(),
                reason: ReasonRecord::new(reason, names),
            },
            Event::ProbeChanged {
                service,
                passes,
                failure,
            } => Self::ProbeChanged {
                service: names.service(*service),
                passes: *passes,
                failure: failure.clone(),
            },
            Event::Blind { blind, why } => Self::Blind {
                blind: *blind,
                why: why.clone(),
            },
            Event::RouteDiffers {
                prefix,
                wanted,
                observed,
            } => Self::RouteDiffers {
                prefix: names.prefix(*prefix),
                wanted: *wanted,
                observed: *observed,
            },
        }
    }

    fn of_order(order: &Order, expired: bool, names: &Names) -> Self {
        let (name, prefix, level, directive) = match order {
            Order::Pin {
                prefix,
                level,
                directive,
            } => ("pin", Some(prefix), Some(*level), Some(directive)),
            Order::Unpin { prefix } => ("unpin", Some(prefix), None, None),
            Order::Drain { prefix, directive } => ("drain", Some(prefix), None, Some(directive)),
            Order::Undrain { prefix } => ("undrain", Some(prefix), None, None),
            Order::Freeze { directive } => ("freeze", None, None, Some(directive)),
            Order::Thaw => ("thaw", None, None, None),
        };
        Self::Ordered {
            order: name,
            prefix: prefix.map(|prefix| names.prefix(*prefix)),
            level,
            directive: directive.cloned(),
            expired,
        }
    }

    /// The record of a conflict that began or ended.
    pub fn of_conflict(conflict: Conflict, stands: bool, names: &Names) -> Self {
        let Conflict {
            prefix,
            kind,
            sentence,
        } = conflict;
        Self::RouteConflict {
            prefix: names.prefix(prefix),
            conflict: kind,
            stands,
            sentence,
        }
    }

    /// The record of a decision.
    pub fn of_decision(prefix: PrefixId, level: Level, reason: &Reason, names: &Names) -> Self {
        Self::Decision {
            prefix: names.prefix(prefix),
            level,
            cause: reason.cause,
            first_failure_mono_ns: reason.first_failure.map(probe_core::Timestamp::as_nanos),
            sentence: reason.sentence(),
            reason: ReasonRecord::new(reason, names),
            config: names.config.clone(),
        }
    }

    /// The record of the end of a level change that took so long.
    pub fn of_set(
        prefix: String,
        level: Level,
        took: Duration,
        result: Result<(), announce::Error>,
    ) -> Self {
        match result {
            Ok(()) => Self::RouteSet {
                prefix,
                level,
                took_ns: nanoseconds(took),
            },
            Err(error) => Self::RouteFailed {
                prefix,
                level,
                error: error.to_string(),
            },
        }
    }
}

/// Names what is decided by: the configuration of the decision core with all defaults,
/// as `lapwing check` prints it too. Comments and the order of keys do not matter.
pub fn config_hash(config: &Config) -> String {
    let text = serde_json::to_vec(config).expect("a configuration is plain data");
    Hash::of(&text).to_string()
}

/// Nanoseconds as a number; 584 years are enough.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
