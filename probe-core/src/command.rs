//! What flows out of the core: commands, each with its reason.

use core::{fmt, time::Duration};

use probe_common::trial::Kind;
use serde::{Deserialize, Serialize};

use crate::{
    config::{PrefixId, ServiceId},
    input::{Directive, Order, ProbeFailure, Sample},
    level::Level,
    time::Timestamp,
    uplinks::LossyUplink,
    witness::Other,
};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Make the route of `prefix` be at `level`.
    SetLevel {
        /// Which prefix.
        prefix: PrefixId,
        /// The new level.
        level: Level,
        /// Why.
        reason: Box<Reason>,
    },
    /// Launch `count` probes at once; answer each with `Input::Probe` and this `burst`.
    Probe {
        /// Whom to probe.
        service: ServiceId,
        /// Names this burst in the results.
        burst: u64,
        /// How many at once.
        count: u32,
        /// What for.
        purpose: ProbePurpose,
    },
    /// From now on, unanswered trials of a service are late after this time.
    SetDeadline {
        /// Which service.
        service: ServiceId,
        /// The time.
        deadline: Duration,
    },
    /// Read some of the flows whose trials failed lately, and answer with
    /// `Input::Evidence`.
    CollectEvidence {
        /// Of which service.
        service: ServiceId,
        /// Of which kind.
        kind: Kind,
    },
    /// Look whether every hook is in place, now, and answer with `Input::Sensor`.
    ///
    /// A hook that somebody took away looks like silence: replies are no longer
    /// seen, and successes fall. Asked before the rate leg may withdraw anything.
    CheckSensor,
    /// Journal and log this.
    Record(Event),
}

/// What a burst of probes is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbePurpose {
    /// The service's regular probe.
    Regular,
    /// The second leg of a suspicion: three at once.
    SecondLeg,
}

/// Something worth a line in the journal that changes no route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Enough good trials: the detector may now speak.
    Armed {
        /// Which service.
        service: ServiceId,
        /// For which kind of trials.
        kind: Kind,
        /// After so many trials.
        trials: u64,
        /// With this success ratio.
        success_ratio: f64,
    },
    /// The detector's score reached its threshold.
    Suspected {
        /// Which service.
        service: ServiceId,
        /// The reason so far.
        reason: Box<Reason>,
    },
    /// Trials are late after another time than before, as the answers say.
    Deadline {
        /// Of which service.
        service: ServiceId,
        /// The time.
        deadline: Duration,
    },
    /// The suspicion is over without an action.
    Cleared {
        /// Which service.
        service: ServiceId,
        /// The kind of trials it was about.
        kind: Kind,
        /// How long it stood.
        stood: Duration,
    },
    /// The verdict about a service changed.
    Verdict {
        /// Which service.
        service: ServiceId,
        /// Whether it is held to be dead.
        failed: bool,
        /// Why.
        reason: Box<Reason>,
    },
    /// A service is held to be impaired, which at most degrades, or is not any more.
    Impaired {
        /// Which service.
        service: ServiceId,
        /// Whether it is held to be impaired.
        impaired: bool,
        /// Why.
        reason: Box<Reason>,
    },
    /// A prefix was withdrawn so often that it stays so for the longest hold, or until
    /// an operator pins it.
    LockedOut {
        /// Which prefix.
        prefix: PrefixId,
        /// Withdraws within the last quarter of an hour.
        withdrawals: u32,
        /// How long it stays.
        hold: Duration,
    },
    /// The operator gave an order, took it back, or it expired.
    Ordered {
        /// What is so now.
        order: Order,
        /// Whether it expired.
        expired: bool,
    },
    /// A level change was due and a guard held it. Recorded once per cause.
    Held {
        /// Which prefix.
        prefix: PrefixId,
        /// The level that was due.
        level: Level,
        /// Who held it.
        guard: Guard,
        /// Why it was due.
        reason: Box<Reason>,
    },
    /// The regular probe changed its mind.
    ProbeChanged {
        /// Which service.
        service: ServiceId,
        /// Whether it passes now.
        passes: bool,
        /// The last failure, if it does not.
        failure: Option<ProbeFailure>,
    },
    /// The sensor went blind or sees again.
    Blind {
        /// Whether it is blind now.
        blind: bool,
        /// Why, in words.
        why: String,
    },
    /// The table did not hold what was decided (someone else changed it).
    RouteDiffers {
        /// Which prefix.
        prefix: PrefixId,
        /// What should stand there.
        wanted: Level,
        /// What stands there.
        observed: Level,
    },
}

/// What holds a level change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Shadow mode: decide, do not act.
    Observe,
    /// The detector has not seen enough good trials.
    NotArmed,
    /// Passive evidence stands alone.
    SecondLeg,
    /// The sensor cannot be believed.
    Blind,
    /// Much more than usual arrives: moving it elsewhere cascades.
    Overload,
    /// The configuration says to hold faults of this class.
    Policy,
    /// Too many lowerings on this host within an hour.
    BudgetLocal,
    /// Nobody else announces the prefix at level full.
    LastSite,
    /// Nobody can say who else announces the prefix.
    WitnessStale,
    /// The operator pinned the prefix.
    Pinned,
    /// The operator froze the host.
    Frozen,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Observe,
        Self::NotArmed,
        Self::SecondLeg,
        Self::Blind,
        Self::Overload,
        Self::Policy,
        Self::BudgetLocal,
        Self::LastSite,
        Self::WitnessStale,
        Self::Pinned,
        Self::Frozen,
    ];

    /// The name used in the journal, in metrics and on screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::NotArmed => "not_armed",
            Self::SecondLeg => "second_leg",
            Self::Blind => "blind",
            Self::Overload => "overload",
            Self::Policy => "policy",
            Self::BudgetLocal => "budget_local",
            Self::LastSite => "last_site",
            Self::WitnessStale => "witness_stale",
            Self::Pinned => "pinned",
            Self::Frozen => "frozen",
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A service is dead.
    Service,
    /// Most services of the host are, at once.
    Host,
    /// The way between clients and server fails.
    Path,
    /// A part of what the service does fails.
    Grey,
    /// No live traffic: the probe decides.
    Quiet,
}

impl Class {
    /// The name used in the journal, in metrics and on screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Host => "host",
            Self::Path => "path",
            Self::Grey => "grey",
            Self::Quiet => "quiet",
        }
    }
}

/// What kind of finding led to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Live trials fail and a second leg agrees.
    LiveTrials,
    /// The active probe failed `fall` times in a row.
    Probe,
    /// The probes of all needed services pass: the first announcement.
    FirstAnnouncement,
    /// The probes passed for the whole hold.
    Recovered,
    /// One retry at the longest hold after a fault that the probes did not see.
    Retry,
    /// The canary's time was good.
    Canary,
    /// It was withdrawn, and nobody else announces it any more.
    LastSite,
    /// The operator drains the prefix, or has ended that.
    Drain,
    /// The operator pinned the prefix, or has ended that.
    Pin,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::LiveTrials,
        Self::Probe,
        Self::FirstAnnouncement,
        Self::Recovered,
        Self::Retry,
        Self::Canary,
        Self::LastSite,
        Self::Drain,
        Self::Pin,
    ];

    /// The name used in the journal, in metrics and on screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::LiveTrials => "live_trials",
            Self::Probe => "probe",
            Self::FirstAnnouncement => "first_announcement",
            Self::Recovered => "recovered",
            Self::Retry => "retry",
            Self::Canary => "canary",
            Self::LastSite => "last_site",
            Self::Drain => "drain",
            Self::Pin => "pin",
        }
    }
}

/// Everything that led to a command: enough to argue with it at 3 a.m.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// What kind of finding.
    pub cause: Cause,
    /// What kind of fault, if it is about one.
    pub class: Option<Class>,
    /// The kind of trials that the evidence is of.
    pub kind: Kind,
    /// The deciding service.
    pub service: ServiceId,
    /// Its name, for readers without the config.
    pub service_name: String,
    /// The live evidence at that moment.
    pub trials: TrialEvidence,
    /// The second leg, if one agreed.
    pub second_leg: Option<SecondLeg>,
    /// The probe's last failures in a row, and the last of them.
    pub probe_failures: u32,
    /// The last probe failure.
    pub probe_failure: Option<ProbeFailure>,
    /// When the first of the failed trials behind this started (bucket start), if any.
    pub first_failure: Option<Timestamp>,
    /// How long the suspicion stood, or the hold lasted.
    pub stood: Duration,
    /// The services of the prefix that are held to be dead.
    pub failed_services: Vec<ServiceId>,
    /// A sample of the failing flows, if one was taken.
    pub evidence: Option<Sample>,
    /// The interfaces through which clients are lost, if it is about the way to them and
    /// some stand out.
    #[serde(default)]
    pub uplinks: Vec<LossyUplink>,
    /// The guards that were asked and did not hold it. None are asked of a raise or an
    /// order.
    #[serde(default)]
    pub guards: Vec<Guard>,
    /// What the operator said, if it is an order.
    pub order: Option<Directive>,
    /// Who else announced the prefix, where that was asked.
    pub others: Vec<Other>,
}

/// The detector's view at the moment of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrialEvidence {
    /// The score as a part of its threshold: 1 = alarm.
    pub score_ratio: f64,
    /// The score, in nats.
    pub score: f64,
    /// The threshold h, in nats.
    pub threshold: f64,
    /// The learned failure ratio (upper confidence bound).
    pub p0: f64,
    /// The failure ratio that is looked for.
    pub p1: f64,
    /// Failed at once since the suspicion's first failure.
    pub failed: u64,
    /// Late since the suspicion's first failure.
    pub late: u64,
    /// Succeeded since the suspicion's first failure.
    pub succeeded: u64,
    /// Learned trials per second.
    pub trials_per_second: f64,
    /// Whether the detector was armed.
    pub armed: bool,
}

/// Which second leg agreed with the live trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondLeg {
    /// All of the probes launched at suspicion failed.
    Probes {
        /// How many.
        failed: u32,
        /// Of how many.
        of: u32,
    },
    /// Some of the recent probes failed like the trials do.
    SomeProbes {
        /// How many.
        failed: u32,
        /// Of how many.
        of: u32,
    },
    /// More fails than the four busiest client networks could make fail.
    Spread {
        /// The failure ratio.
        failing: f64,
        /// Their part of the verified handshakes.
        busiest_networks: f64,
    },
    /// SERVFAIL for many names.
    Names {
        /// For how many.
        names: u32,
        /// The part of it for the busiest one.
        busiest_name: f64,
    },
    /// Successes fell far below what is expected.
    Rate {
        /// Expected successes per second.
        expected_per_second: f64,
        /// The Poisson CUSUM as a part of its threshold.
        score_ratio: f64,
    },
}
