//! The state of a running daemon as one document: built by the daemon once a second,
//! asked for over the control socket, shown as JSON or as a table.

mod closed_loop;
pub mod latency;
mod recent;
mod table;
pub mod troubles;
pub mod waiting;

use std::collections::BTreeMap;

use probe_common::trial::Kind;
use probe_core::{
    Level,
    command::Guard,
    config::{LastSite, Mode},
    input::{Directive, Order},
    status::{KindStatus, ServiceState, Standing, TrialTotals},
    uplinks::{self, LossyUplink, UplinkStatus},
    witness::Other,
};
use serde::{Deserialize, Serialize};

pub use self::{
    closed_loop::{AlertView, BirdView, ExportView, FollowedView, SessionTime, SessionView},
    latency::LatencyView,
    recent::{History, Recent},
};
pub(crate) use table::{columns, mode_words, seconds, times};

/// Everything `lapwing status` shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// What is lost on each interface now.
    #[serde(default)]
    pub uplinks: Vec<UplinkStatus>,
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

impl Document {
    /// The interfaces that lose clients. Whoever forges SYNs makes one look lossy, too, so
    /// they are named only while a service suspects the way to its clients.
    fn lossy_uplinks(&self) -> Vec<LossyUplink> {
        let suspects = |service: &ServiceView| {
            [Kind::Handshake, Kind::Deliver].iter().any(|kind| {
                let status = service.kinds.get(kind);
                status.is_some_and(|status| status.score_ratio >= 1.0)
            })
        };
        if self.services.iter().any(suspects) {
            uplinks::lossy(&self.uplinks)
        } else {
            Vec::new()
        }
    }
}

/// Which configuration is in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigurationView {
    /// When it was read.
    pub read_seconds_ago: f64,
    /// Why a newer one is not, if there was one.
    pub refused: Option<RefusedView>,
}

/// A configuration that was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SensorView {
    /// Why it does not see, if it does not.
    pub trouble: Option<String>,
    /// Its hooks.
    pub attachments: Vec<AttachmentView>,
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// Where it answers.
    pub endpoint: String,
    /// What it is held to be.
    pub state: ServiceState,
    /// What came in the last seconds.
    pub recent: Recent,
    /// The kind of trials on which it is judged before all others.
    #[serde(default)]
    pub judged: Option<Kind>,
    /// How long answers took in the last seconds, by kind; none of a kind without any.
    #[serde(default)]
    pub latencies: BTreeMap<Kind, LatencyView>,
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

impl RefusedView {
    /// The reason's first line: the others may show parts of the file.
    pub fn summary(&self) -> &str {
        self.why.lines().next().unwrap_or_default()
    }
}

impl PrefixView {
    /// Whether the operator pinned it.
    pub fn is_pinned(&self) -> bool {
        self.orders.iter().any(Order::is_pin)
    }
}

impl ServiceView {
    /// Whether nothing speaks against it.
    pub fn is_well(&self) -> bool {
        match self.state {
            ServiceState::Unknown
            | ServiceState::Unguarded
            | ServiceState::Learning
            | ServiceState::Armed => self.probe_passes != Some(false),
            ServiceState::Impaired | ServiceState::Suspect | ServiceState::Failed => false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
