//! What flows into the core: readings of the kernel's maps, probe results, route
//! and sensor events. Inputs serialise, so an incident can be recorded and
//! replayed to the same commands.

use core::{fmt, time::Duration};

use ipnet::IpNet;
use probe_common::trial::Kind;
use serde::{Deserialize, Serialize};

use crate::{
    config::{Config, PrefixId, ServiceId},
    level::Level,
    time::Timestamp,
    witness::Other,
};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The maps were read.
    Reading(Reading),
    /// The answers' latencies were read: now and then, of every service.
    Latencies(Vec<Latencies>),
    /// What became of connections by interface was read: about once a second, of every
    /// interface.
    Uplinks(Vec<UplinkReading>),
    /// The flows were read whose trials failed lately.
    Evidence(Evidence),
    /// A probe ended.
    Probe(ProbeResult),
    /// What the kernel's table holds for a prefix: at start, and after each change
    /// by anybody.
    Route {
        /// Which prefix.
        prefix: PrefixId,
        /// What stands in the table.
        observed: Level,
    },
    /// Who else announces a prefix, or may: all of them, after each change.
    Witness {
        /// Which prefix.
        prefix: PrefixId,
        /// The other hosts.
        others: Vec<Other>,
    },
    /// The sensor gained or lost its eyes.
    Sensor(Sensor),
    /// The operator wants something.
    Operator(Order),
    /// Another configuration is in force from now on; services and prefixes have the
    /// numbers that they have there. To be handed in when all commands were taken.
    Configuration(Box<Config>),
    /// The time of [`Engine::poll_timeout`](crate::Engine::poll_timeout) has come.
    Wake,
}

/// One read of the kernel's maps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// One per service, in any order; a service that is not read keeps its values.
    pub services: Vec<ServiceReading>,
    /// Services of which nothing has changed since all kinds of trials were read last.
    #[serde(default)]
    pub unchanged: Vec<ServiceId>,
}

/// One service's maps as they were read. All counters are cumulative and wrap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceReading {
    /// Which service.
    pub service: ServiceId,
    /// The cohort rings of the trial kinds that were read: the judged one, and now and
    /// then the others.
    pub trials: Vec<TrialReading>,
    /// Verified handshakes by a hash of the client's network (/24, /48):
    /// [`probe_common::address::NETWORK_BUCKETS`] of them.
    pub verified: Vec<u32>,
    /// Trials `request` that began, by network as above; none where only the judged kind
    /// was read.
    #[serde(default)]
    pub requests: Vec<u32>,
    /// Trials `finish`, as much.
    #[serde(default)]
    pub finishes: Vec<u32>,
    /// SERVFAIL responses by a hash of the name that was asked for; as many.
    pub servfails: Vec<u32>,
}

pub use crate::window::longest_gap;

/// The trials of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialReading {
    /// What they ask.
    pub kind: Kind,
    /// How they went.
    pub ring: CohortReading,
}

/// A cohort ring as it was read: [`probe_common::cohort::BUCKETS`] buckets, a trial
/// belongs to bucket `(start_ns >> width_shift) % BUCKETS`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CohortReading {
    /// Bucket width as a power of two of nanoseconds.
    pub width_shift: u32,
    /// The deadline the kernel used.
    pub deadline: Duration,
    /// Outcomes that came after the deadline and are in no bucket.
    pub after_deadline: u32,
    /// The buckets, by index.
    pub buckets: Vec<Bucket>,
}

/// Trials that started in one bucket's span of time, on any lap: cumulative, wrapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Trials started.
    pub started: u32,
    /// ... of which succeeded in time.
    pub succeeded: u32,
    /// ... of which failed at once.
    pub failed: u32,
    /// ... of which nobody can say.
    pub abandoned: u32,
}

/// How long a service took to answer, of the kind of trials on which it is judged
/// first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies {
    /// Which service.
    pub service: ServiceId,
    /// Answers by bucket of [`probe_common::latency`]: cumulative.
    pub buckets: Vec<u64>,
}

/// What became of connections by one interface, of all services. All counters are
/// cumulative.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkReading {
    /// The interface's name.
    pub interface: String,
    /// Its index: another one if it was made anew.
    pub index: u32,
    /// Connections whose SYN came in by it.
    pub came: HandshakeCounts,
    /// Connections whose SYN-ACK left by it.
    pub left: HandshakeCounts,
    /// Trials `deliver` that started on it.
    pub spans: u64,
    /// ... of which failed.
    pub spans_failed: u64,
}

/// Handshakes, up to our answer and to their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandshakeCounts {
    /// Answered by a SYN-ACK.
    pub answered: u64,
    /// ... and completed by the client.
    pub completed: u64,
}

/// A sample of the flows whose trials of one kind failed lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Which service.
    pub service: ServiceId,
    /// Which kind.
    pub kind: Kind,
    /// The sample.
    pub sample: Sample,
}

/// Where failing flows came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// So many were found.
    pub flows: u32,
    /// From so many networks.
    pub networks: u32,
    /// The networks (/24, /48) with most of them, and how many each.
    pub busiest: Vec<(IpNet, u32)>,
}

/// The end of one active probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Which service was asked.
    pub service: ServiceId,
    /// The burst it belongs to, from [`Command::Probe`](crate::Command::Probe).
    pub burst: u64,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub outcome: Result<(), ProbeFailure>,
}

/// Why a probe failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeFailure {
    /// Nobody listens: RST.
    Refused,
    /// No answer within the timeout.
    Timeout,
    /// An HTTP status that was not expected.
    Status(u16),
    /// An HTTP body without the expected text.
    Body,
    /// No TLS handshake, in words: not TLS, no common version, a bad certificate.
    Tls(String),
    /// A program ended with another exit code than 0.
    Exit {
        /// This one.
        code: i32,
        /// The last line that it wrote.
        said: String,
    },
    /// A program was ended by a signal.
    Killed {
        /// This one.
        signal: i32,
        /// The last line that it wrote.
        said: String,
    },
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Status(status) => write!(f, "HTTP status {status}"),
            Self::Body => f.write_str("the body lacks the expected text"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Exit { code, said } => {
                write!(f, "exit code {code}")?;
                tell(said, f)
            }
            Self::Killed { signal, said } => {
                write!(f, "ended by signal {signal}")?;
                tell(said, f)
            }
            Self::Other(why) => f.write_str(why),
        }
    }
}

/// What a program said, if anything.
fn tell(said: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if said.is_empty() {
        return Ok(());
    }
    write!(f, ": {said}")
}

/// An order of the operator's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// The prefix is to stay at this level, whatever is found.
    Pin {
        /// Which prefix.
        prefix: PrefixId,
        /// The level.
        level: Level,
        /// Who, why, how long.
        directive: Directive,
    },
    /// What is found decides again.
    Unpin {
        /// Which prefix.
        prefix: PrefixId,
    },
    /// The prefix is to be degraded, and after its drain time withdrawn.
    Drain {
        /// Which prefix.
        prefix: PrefixId,
        /// Who, why, how long.
        directive: Directive,
    },
    /// The prefix may be announced again.
    Undrain {
        /// Which prefix.
        prefix: PrefixId,
    },
    /// No level is to change, whatever is found.
    Freeze {
        /// Who, why, how long.
        directive: Directive,
    },
    /// What is found decides again.
    Thaw,
}

impl Order {
    /// The prefix that it is about; none if it is about the host.
    pub fn prefix(&self) -> Option<PrefixId> {
        match self {
            Self::Pin { prefix, .. }
            | Self::Unpin { prefix }
            | Self::Drain { prefix, .. }
            | Self::Undrain { prefix } => Some(*prefix),
            Self::Freeze { .. } | Self::Thaw => None,
        }
    }

    /// Whether it keeps a prefix at a level.
    pub fn is_pin(&self) -> bool {
        match self {
            Self::Pin { .. } => true,
            Self::Unpin { .. }
            | Self::Drain { .. }
            | Self::Undrain { .. }
            | Self::Freeze { .. }
            | Self::Thaw => false,
        }
    }
}

/// Who ordered something, why, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Directive {
    /// Who.
    pub by: String,
    /// Why, in the operator's words.
    pub why: String,
    /// When it expires by itself; never if none.
    pub until: Option<Timestamp>,
    /// Whether a drain withdraws a prefix that nobody else announces.
    #[serde(default)]
    pub force: bool,
}

/// Whether the sensor sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensor {
    /// Every configured interface has both hooks.
    Attached,
    /// A hook is missing or its maps cannot be read; why, in words.
    Detached(String),
}
