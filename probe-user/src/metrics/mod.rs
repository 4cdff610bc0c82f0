//! What Prometheus sees.
//!
//! In flows a [`Model`], one consistent picture of everything that is shown; out
//! flows the `OpenMetrics` text of it. The values come from the kernel and the core
//! as absolutes, so there is no registry of live counters here that could disagree
//! with them. What only the daemon knows (how often it decided what) is kept in a
//! [`Tally`]. Labels are names of the configuration and of our own enums: bounded,
//! and never an address of a client.

mod families;
mod format;
mod process;

use core::time::Duration;
use std::{collections::BTreeMap, sync::Arc};

use ipnet::IpNet;
use probe_common::{
    counters::{Counters, Traffic},
    latency::{self, Histogram},
    skip::Skip,
    trial::Kind,
};
use probe_core::{
    Level, Renumbering,
    command::{Cause, Guard},
    config::{Application, Mode, PrefixId, Protocol},
    input::UplinkReading,
    status::{PrefixStatus, ServiceStatus},
};
use prometheus_client::{encoding::text, registry::Registry};

pub use self::{
    format::Format,
    process::{Meter, Process},
};
use crate::{announce::conflict::ConflictKind, follow::Picture};

/// Everything that one scrape shows.
#[derive(Clone, Debug)]
pub struct Model {
    /// Why the daemon is not well, if it is not.
    pub health: Result<(), String>,
    /// The daemon; none where none runs, as in a replay.
    pub daemon: Option<Daemon>,
    /// The version of the layout shared with the kernel side.
    pub abi: u32,
    /// The configuration.
    pub configuration: Configuration,
    /// The services, in the order of their ids.
    pub services: Vec<Service>,
    /// The prefixes, in the order of their ids.
    pub prefixes: Vec<Prefix>,
    /// Where the sensor is, or should be.
    pub attachments: Vec<Attachment>,
    /// What became of connections by interface.
    pub uplinks: Vec<UplinkReading>,
    /// Packets passed unmeasured, by [`Skip`].
    pub skips: [u64; Skip::COUNT],
    /// Our own programs' cost.
    pub programs: Vec<Program>,
    /// What the daemon counted itself.
    pub tally: Tally,
    /// What is known of BIRD; nothing of what nobody needs to know.
    pub bird: Arc<Picture>,
}

impl Model {
    /// A daemon that has not measured anything yet.
    pub fn new(abi: u32) -> Self {
        Self {
            health: Ok(()),
            daemon: None,
            abi,
            configuration: Configuration {
                successful: true,
                read_at: Duration::ZERO,
            },
            services: Vec::new(),
            prefixes: Vec::new(),
            attachments: Vec::new(),
            uplinks: Vec::new(),
            skips: [0; Skip::COUNT],
            programs: Vec::new(),
            tally: Tally::default(),
            bird: Arc::default(),
        }
    }
}

/// The daemon itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// The site's name in the configuration.
    pub site: String,
    /// The host's.
    pub host: String,
    /// Whether decisions change routes.
    pub mode: Mode,
    /// Whether the operator has frozen the host.
    pub frozen: bool,
    /// Whether the sensor cannot be believed.
    pub blind: bool,
    /// Whether journal records go to the log only.
    pub journal_failing: bool,
    /// What its process uses; none where `/proc` does not say.
    pub process: Option<Process>,
}

/// Which configuration is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Whether the last one that was asked for is.
    pub successful: bool,
    /// When the one in force was read, since 1970.
    pub read_at: Duration,
}

/// One service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name in the configuration.
    pub name: String,
    /// Its IP protocol.
    pub protocol: Protocol,
    /// What it speaks.
    pub application: Application,
    /// Its packets and bytes, summed over CPUs.
    pub traffic: Traffic,
    /// What some of them were, summed over CPUs.
    pub counters: Counters,
    /// Time from the start of a trial to its success, by kind.
    pub latencies: BTreeMap<Kind, Histogram>,
    /// What the core makes of it.
    pub status: ServiceStatus,
}

/// One prefix.
#[derive(Clone, Debug)]
pub struct Prefix {
    /// The network.
    pub prefix: IpNet,
    /// What the core makes of it.
    pub status: PrefixStatus,
}

/// A place where packets are, or should be, measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The interface's name.
    pub interface: String,
    /// The hook: ingress or egress.
    pub hook: String,
    /// How the program is attached there.
    pub mode: String,
    /// Whether it is.
    pub attached: bool,
}

/// One of our programs in the kernel. The kernel counts only while
/// `kernel.bpf_stats_enabled` is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// For how long, in all.
    pub run_time: Duration,
}

/// A part of the time from the first failure to a withdrawn route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Phase {
    /// From the first failed trial to the decision.
    Decided = 0,
    /// From the decision to the kernel's acknowledgement.
    Kernel = 1,
    /// From there until BIRD's table says so.
    Rib = 2,
    /// ... until all BGP sessions do.
    Export = 3,
    /// ... until clients follow.
    Traffic = 4,
}

impl Phase {
    /// How many phases there are.
    pub const COUNT: usize = 5;

    /// All of them, in order of time.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Decided,
        Self::Kernel,
        Self::Rib,
        Self::Export,
        Self::Traffic,
    ];

    /// The name used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Kernel => "kernel",
            Self::Rib => "rib",
            Self::Export => "export",
            Self::Traffic => "traffic",
        }
    }
}

/// What the daemon counts while it carries out the core's commands.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    decisions: BTreeMap<(PrefixId, Level, Cause), u64>,
    holds: BTreeMap<(PrefixId, Guard), u64>,
    route_differences: BTreeMap<PrefixId, u64>,
    route_conflicts: BTreeMap<(PrefixId, ConflictKind), u32>,
    withdraws: [Histogram; Phase::COUNT],
    announces: [Histogram; Phase::COUNT],
    bird_reloads: u64,
}

impl Tally {
    /// A level was decided.
    pub fn decided(&mut self, prefix: PrefixId, level: Level, cause: Cause) {
        *self.decisions.entry((prefix, level, cause)).or_default() += 1;
    }

    /// A level change was held.
    pub fn held(&mut self, prefix: PrefixId, guard: Guard) {
        *self.holds.entry((prefix, guard)).or_default() += 1;
    }

    /// Somebody else changed the route.
    pub fn route_differed(&mut self, prefix: PrefixId) {
        *self.route_differences.entry(prefix).or_default() += 1;
    }

    /// Something stands against the wanted level.
    pub fn conflict_began(&mut self, prefix: PrefixId, kind: ConflictKind) {
        *self.route_conflicts.entry((prefix, kind)).or_default() += 1;
    }

    /// It no longer does.
    pub fn conflict_ended(&mut self, prefix: PrefixId, kind: ConflictKind) {
        let standing = self.route_conflicts.entry((prefix, kind)).or_default();
        *standing = standing.saturating_sub(1);
    }

    /// BIRD was told to read its kernel table again.
    pub fn reloaded(&mut self) {
        self.bird_reloads += 1;
    }

    /// The prefixes have other numbers. What was counted of one that is gone is forgotten.
    pub fn renumber(&mut self, numbers: &Renumbering) {
        fn keys<K: Ord, V>(counts: &mut BTreeMap<K, V>, number: impl Fn(K) -> Option<K>) {
            *counts = core::mem::take(counts)
                .into_iter()
                .filter_map(|(key, count)| Some((number(key)?, count)))
                .collect();
        }
        let new = |prefix| numbers.prefix(prefix);
        keys(&mut self.decisions, |(prefix, level, cause)| {
            Some((new(prefix)?, level, cause))
        });
        keys(&mut self.holds, |(prefix, guard)| {
            Some((new(prefix)?, guard))
        });
        keys(&mut self.route_differences, new);
        keys(&mut self.route_conflicts, |(prefix, kind)| {
            Some((new(prefix)?, kind))
        });
    }

    /// A phase of the change to a level took so long.
    pub fn took(&mut self, level: Level, phase: Phase, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let histograms = match level {
            Level::Withdrawn => &mut self.withdraws,
            Level::Degraded | Level::Full => &mut self.announces,
        };
        let histogram = &mut histograms[phase as usize];
        histogram.sum_ns = histogram.sum_ns.saturating_add(ns);
        histogram.buckets[latency::bucket(ns)] += 1;
    }
}

/// The model as text.
pub fn encode(model: Arc<Model>, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(model));
    let mut text = String::new();
    if text::encode(&mut text, &registry).is_err() {
        // Writing to a String cannot fail, and our encoder adds no error of its own.
        tracing::error!("the metrics cannot be encoded");
    }
    match format {
        Format::OpenMetrics => text,
        Format::Classic => format::classic(&text),
    }
}

#[cfg(test)]
mod tests;
