//! What the operator wants, validated and resolved: no defaults left to fill in,
//! no text left to parse. Reading TOML is the user side's work.

use core::{fmt, net::IpAddr, time::Duration};

use ipnet::IpNet;
use probe_common::{service::ANY_PORT, trial::Kind};
use serde::{Deserialize, Serialize};

pub use crate::probe::{DnsRecord, DnsTransport, Probe, ProbeKind, Tls};

/// Index of a service in [`Config::services`], in the kernel's tables and in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceId(pub u32);

/// Index of a prefix in [`Config::prefixes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct PrefixId(pub u32);

/// The whole configuration of the core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Whether decisions change routes or are only recorded.
    pub mode: Mode,
    /// The false-alarm budget of the whole host: the mean time between two false
    /// alarms of all passive detectors together is at least this long.
    pub false_alarm_period: Duration,
    /// What is done about each class of fault.
    pub classify: Classify,
    /// Bounds that hold for the whole host.
    pub guards: Guards,
    /// How a withdrawn prefix returns.
    pub recover: Recover,
    /// Every measured service; the position is the [`ServiceId`].
    pub services: Vec<Service>,
    /// Every announced prefix; the position is the [`PrefixId`]. May be empty.
    pub prefixes: Vec<Prefix>,
}

/// Whether decisions change routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Decide and record, change nothing (shadow mode). The default.
    #[default]
    Observe,
    /// Decide and act.
    Enforce,
}

impl Mode {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Observe, Self::Enforce];

    /// The name used in the configuration and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// What is done about each class of fault.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classify {
    /// A service is dead.
    pub service: Action,
    /// Most services of the host are, at once.
    pub host: Action,
    /// The way between clients and server fails: at most degrade.
    pub path: Action,
    /// A part of what a service does fails: at most degrade.
    pub grey: Action,
    /// No live traffic, and the probe falls.
    pub quiet: Action,
    /// Much more than usual arrives, and a part of the usual is served.
    pub overload: Absorb,
    /// How much more than usual that is: arrivals as a multiple of their baseline.
    pub overload_factor: f64,
}

impl Default for Classify {
    fn default() -> Self {
        Self {
            service: Action::Withdraw,
            host: Action::Withdraw,
            path: Action::Degrade,
            grey: Action::Degrade,
            quiet: Action::Withdraw,
            overload: Absorb::Hold,
            overload_factor: 3.0,
        }
    }
}

/// What is done about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Nothing; it is shown and journalled.
    Hold,
    /// Degrade.
    Degrade,
    /// Withdraw.
    Withdraw,
}

/// What is done about an overloaded service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Absorb {
    /// Hold and say so. The default.
    Hold,
    /// Treat it like any other.
    Ignore,
}

/// Bounds that hold for the whole host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guards {
    /// The most lowerings of prefixes within an hour.
    pub lowerings_per_hour: u32,
}

impl Guards {
    /// Enough for every prefix to go down and up a few times, and not to flap.
    pub fn for_prefixes(count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            lowerings_per_hour: count.saturating_mul(4).max(10),
        }
    }
}

/// How a withdrawn prefix returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recover {
    /// Probes must pass for this long before the first return; doubles per flap.
    pub hold: Duration,
    /// The longest hold; also the wait before the one retry after a fault that the
    /// probes did not see.
    pub hold_max: Duration,
    /// Whether a withdrawn prefix returns as degraded first.
    pub canary: bool,
}

/// A prefix and the services that must live behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prefix {
    /// The announced network.
    pub prefix: IpNet,
    /// How many dead services withdraw it.
    pub withdraw_when: WithdrawWhen,
    /// Its services.
    pub services: Vec<ServiceId>,
    /// How long a drain degrades it before it withdraws it.
    pub drain: Duration,
    /// Whether it may be withdrawn where nobody else announces it.
    pub last_site: LastSite,
}

/// Whether a prefix may be withdrawn where nobody else announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LastSite {
    /// It may: the operator said so.
    Allow,
    /// It may, for want of a witness that tells who else announces it.
    Unwitnessed,
    /// It may not.
    Hold(Race),
}

/// How hosts that fail at the same instant settle who may withdraw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Race {
    /// Whether this one, and no other of all hosts, withdraws without waiting.
    pub goes_first: bool,
    /// How long the others wait: longer than twice what a change of level needs from
    /// one host to another.
    pub round: Duration,
}

/// How many of a prefix's services must have failed before it is withdrawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawWhen {
    /// One is enough. The default.
    #[default]
    Any,
    /// Every one.
    All,
    /// At least so many.
    AtLeast(u32),
}

/// One measured service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The operator's name for it, unique on this host.
    pub name: String,
    /// Where it answers.
    pub endpoint: Endpoint,
    /// What it speaks.
    pub application: Application,
    /// How its live trials are judged.
    pub detect: Detect,
    /// The active probe.
    pub probe: Probe,
}

/// A service's address, port and IP protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// The (anycast) address.
    pub address: IpAddr,
    /// The port; [`ANY_PORT`] for all that no other service has.
    pub port: u16,
    /// The IP protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}:")?,
            IpAddr::V6(address) => write!(f, "[{address}]:")?,
        }
        match self.port {
            ANY_PORT => write!(f, "any/{}", self.protocol),
            port => write!(f, "{port}/{}", self.protocol),
        }
    }
}

/// The IP protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// What a service speaks, as far as the sensor can tell its messages apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Application {
    /// Anything.
    #[default]
    Any,
    /// RFC 1035, over UDP or TCP.
    Dns,
    /// RFC 9000.
    Quic,
    /// RFC 9112, in plaintext.
    Http,
}

impl Application {
    /// The name used in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Dns => "dns",
            Self::Quic => "quic",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl Protocol {
    /// The kind of trials on which a service is judged dead or alive.
    pub fn judged_kind(self, application: Application) -> Kind {
        match (self, application) {
            (Self::Tcp, _) => Kind::Connect,
            (Self::Udp, Application::Quic) => Kind::Quic,
            (Self::Udp, Application::Any | Application::Dns | Application::Http) => Kind::Answer,
        }
    }

    /// Whether a service of this protocol and application can have trials of `kind`.
    pub fn has_trials(self, application: Application, kind: Kind) -> bool {
        match (self, kind) {
            (Self::Tcp, Kind::Status) => application == Application::Http,
            (
                Self::Tcp,
                Kind::Connect
                | Kind::Greet
                | Kind::Handshake
                | Kind::Request
                | Kind::Finish
                | Kind::Deliver,
            ) => true,
            (Self::Udp, Kind::Answer) => application != Application::Quic,
            (Self::Udp, Kind::Resolve) => application == Application::Dns,
            (Self::Udp, Kind::Quic) => application == Application::Quic,
            (Self::Tcp | Self::Udp, _) => false,
        }
    }
}

impl Service {
    /// The kind of trials on which the service is judged dead or alive.
    pub fn judged_kind(&self) -> Kind {
        self.endpoint.protocol.judged_kind(self.application)
    }
}

/// How a service's live trials are judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detect {
    /// The failure ratio that the operator calls broken (p1), in (0.1, 1).
    pub broken: f64,
    /// How long a suspicion must stand before it acts. Zero in profile `fast`.
    pub patience: Duration,
    /// How long a suspicion that at most degrades must stand before it acts.
    pub grey_patience: Duration,
    /// When an unanswered trial is late.
    pub deadline: Duration,
    /// Whether that is only where to begin: the answers say what is late.
    pub learns_deadline: bool,
    /// Trials with a success ratio of at least 95 % that arm the detector.
    pub arm_after: u32,
    /// After a level change the rate leg is void for this long: traffic that has
    /// left, or has not come back yet, is not failure.
    pub settle: Duration,
}
