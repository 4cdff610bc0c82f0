//! What a replay found, as metrics, as a table, and as JSON.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use probe_common::{
    ABI_VERSION,
    counters::{Counters, Traffic},
    skip::Skip,
    trial::Kind,
};
use probe_core::{Level, config::ServiceId, status::TrialTotals};
use serde::Serialize;

use super::{
    Options,
    happening::{Happening, What},
    history::Levels,
    judge::Judgement,
    measurement::Totals,
    plan::{Plan, Probes},
};
use crate::{
    metrics::{self, Format, Model},
    status::columns,
};

/// Lines of the text; the rest is for JSON and the page.
const MOST_LINES: usize = 40;
/// Names of a list.
const MOST_NAMES: usize = 8;

/// How the services were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// By the operator, on the command line.
    Named,
    /// By the operator, in a configuration.
    Configured,
    /// Because they answer in the capture.
    Found,
}

/// The result of a replay.
pub struct Report {
    pub(super) capture: String,
    measured_by: &'static str,
    /// How the services were chosen.
    pub chosen: Chosen,
    pub(super) packets: Packets,
    pub(super) begin_ns: Option<u64>,
    pub(super) span: Duration,
    pub(super) model: Model,
    /// The prefixes, by id: what they are, and the services that stand in them.
    pub(super) prefixes: Vec<(String, Vec<usize>)>,
    pub(super) probes: Probes,
    pub(super) judgement: Judgement,
    /// What the numbers cannot tell.
    pub warnings: Vec<String>,
}

/// What a replay found, before it is put together.
pub struct Replayed {
    /// What became of the packets.
    pub packets: Packets,
    /// When the first packet came, in nanoseconds since 1970.
    pub begin_ns: Option<u64>,
    /// From the first packet to the last one.
    pub span: Duration,
    /// What the core made of it.
    pub judgement: Judgement,
    /// What was measured.
    pub totals: Totals,
    /// What the numbers cannot tell.
    pub warnings: Vec<String>,
}

/// What became of the capture's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Packets {
    /// Read from the file.
    pub read: u64,
    /// ... of which to a service.
    pub to_services: u64,
    /// ... from a service.
    pub from_services: u64,
    /// ... from a service to a service.
    pub between_services: u64,
    /// ... all others.
    pub other: u64,
}

/// One service in the summary.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServiceReport {
    /// Address, port and protocol.
    pub service: String,
    /// Packets in.
    pub packets_in: u64,
    /// Packets out.
    pub packets_out: u64,
    /// Trials by kind; those without any are left out.
    pub trials: BTreeMap<Kind, TrialTotals>,
}

/// The summary as JSON.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Summary<'a> {
    /// The file.
    capture: &'a str,
    /// Which build measured: `kernel` or `host`.
    measured_by: &'static str,
    /// From the first packet to the last.
    seconds: f64,
    /// What became of its packets.
    packets: Packets,
    /// The services.
    services: Vec<ServiceReport>,
    /// Packets that could not be measured.
    skipped: Vec<Skipped>,
    /// What was known of probes.
    probes: ProbesReport,
    /// The prefixes.
    prefixes: Vec<PrefixReport>,
    /// What would have happened, in order.
    happenings: &'a [Happening],
    /// What happened beyond the most that are kept.
    happenings_left_out: u64,
    /// What the numbers cannot tell.
    warnings: &'a [String],
}

/// What was known of probes.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ProbesReport {
    /// Whether probes are taken to have met what clients met.
    taken_to_meet_what_clients_met: bool,
    /// Those that would have been answered.
    answered: u64,
    /// Those that would have failed.
    failed: u64,
}

/// Packets that were not measured.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Skipped {
    /// Why.
    pub reason: &'static str,
    /// How many.
    pub packets: u64,
}

/// One prefix in the summary.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PrefixReport {
    /// The network.
    prefix: String,
    /// The services that stand in it.
    services: Vec<String>,
    /// How often it would have been withdrawn.
    withdrawals: u64,
    /// For how long in all.
    withdrawn_seconds: f64,
    /// For how long it would have been degraded.
    degraded_seconds: f64,
    /// The level that it would have at the end.
    level: Level,
}

impl Report {
    pub(super) fn new(options: &Options, chosen: Chosen, plan: Plan, found: Replayed) -> Self {
        let Replayed {
            packets,
            begin_ns,
            span,
            judgement,
            totals,
            warnings,
        } = found;
        let mut model = Model::new(ABI_VERSION);
        model.skips = totals.skips;
        let counts = totals.traffic.into_iter().zip(totals.counters);
        let measured = counts.zip(totals.latencies);
        model.services = plan
            .core
            .services
            .into_iter()
            .zip(judgement.services.iter().cloned().zip(measured))
            .map(
                |(service, (status, ((traffic, counters), latencies)))| metrics::Service {
                    name: service.name,
                    protocol: service.endpoint.protocol,
                    application: service.application,
                    traffic,
                    counters,
                    latencies,
                    status,
                },
            )
            .collect();
        let places = |services: Vec<ServiceId>| {
            let places = services.into_iter().map(|id| usize::try_from(id.0));
            places.filter_map(Result::ok).collect()
        };
        Self {
            capture: options.file.display().to_string(),
            measured_by: if options.host { "host" } else { "kernel" },
            chosen,
            packets,
            begin_ns,
            span,
            model,
            prefixes: plan
                .core
                .prefixes
                .into_iter()
                .map(|prefix| (prefix.prefix.to_string(), places(prefix.services)))
                .collect(),
            probes: options.probes,
            judgement,
            warnings,
        }
    }

    /// The names of the services, in order.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.model.services.iter().map(|service| &*service.name)
    }

    /// What was counted of each service: its name, what every packet adds to, and the rest.
    pub fn counts(&self) -> impl Iterator<Item = (&str, Traffic, Counters)> {
        self.model
            .services
            .iter()
            .map(|service| (&*service.name, service.traffic, service.counters))
    }

    /// The text that `/metrics` would show.
    pub fn metrics(self) -> String {
        metrics::encode(Arc::new(self.model), Format::OpenMetrics)
    }

    /// The summary for people.
    pub fn table(&self) -> String {
        let Packets {
            read,
            to_services,
            from_services,
            between_services,
            other,
        } = self.packets;
        let head = format!(
            "{}: {read} packets in {:.3} s, measured by the {}\n\
             {to_services} to services, {from_services} from services, \
             {between_services} between services, {other} others\n",
            self.capture,
            self.span.as_secs_f64(),
            match self.measured_by {
                "host" => "host build",
                _ => "object in the kernel",
            },
        );
        let services = columns(
            &[
                "SERVICE",
                "IN",
                "OUT",
                "TRIALS",
                "SUCCEEDED",
                "FAILED",
                "LATE",
                "ABANDONED",
            ],
            self.service_reports().iter().flat_map(ServiceReport::rows),
        );
        let skipped: Vec<String> = self
            .skipped()
            .map(|skipped| format!("{} {}", skipped.packets, skipped.reason))
            .collect();
        let skipped = if skipped.is_empty() {
            String::new()
        } else {
            format!("\nnot measured: {}\n", skipped.join(", "))
        };
        format!("{head}\n{services}{skipped}\n{}", self.story())
    }

    /// What would have been decided, when, and why, for people.
    fn story(&self) -> String {
        let happenings = &self.judgement.history.happenings;
        let worth = |happening: &&Happening| happening.what != What::Armed;
        let told: Vec<&Happening> = happenings.kept.iter().filter(worth).collect();
        let mut text = self.verdict() + "\n";
        for happening in told.iter().take(MOST_LINES) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:>12.3} s  {}", happening.seconds, happening.line());
        }
        let left_out = told.len().saturating_sub(MOST_LINES) as u64
            + happenings.decisions_left_out
            + happenings.others_left_out;
        if left_out > 0 {
            let _ = writeln!(
                text,
                "and {left_out} more; --json and --html tell more of them"
            );
        }
        if !told.is_empty() {
            text = text + self.about_probes() + "\n";
        }
        text
    }

    /// The result in one sentence.
    pub(super) fn verdict(&self) -> String {
        let prefixes = self.prefixes.iter().zip(&self.judgement.history.levels);
        let named = |is: fn(&Levels) -> bool| -> Vec<&str> {
            let chosen = prefixes.clone().filter(|(_, levels)| is(levels));
            chosen.map(|((prefix, _), _)| &**prefix).collect()
        };
        let withdrawn = named(|levels| levels.withdrawals > 0);
        let degraded = named(|levels| levels.withdrawals == 0 && levels.degraded_seconds > 0.0);
        match (&withdrawn[..], &degraded[..]) {
            ([], []) => "no prefix would have been withdrawn or degraded".to_owned(),
            (withdrawn, []) => format!("would have been withdrawn: {}", listed(withdrawn)),
            ([], degraded) => format!("would have been degraded: {}", listed(degraded)),
            (withdrawn, degraded) => format!(
                "would have been withdrawn: {}; degraded: {}",
                listed(withdrawn),
                listed(degraded)
            ),
        }
    }

    /// What is known of probes, and what follows from that.
    pub(super) fn about_probes(&self) -> &'static str {
        match self.probes {
            Probes::Unasked => {
                "nobody can be probed in the past: a daemon launches three probes at each suspicion and \
                 withdraws if all fail; here only a fall of the successes can agree with the trials. \
                 --assume-probes takes probes to meet what clients met"
            }
            Probes::LikeClients => {
                "probes are taken to meet what the clients of the same moment met"
            }
        }
    }

    fn prefix_reports(&self) -> Vec<PrefixReport> {
        self.prefixes
            .iter()
            .zip(&self.judgement.history.levels)
            .map(|((prefix, services), levels)| PrefixReport {
                prefix: prefix.clone(),
                services: services
                    .iter()
                    .map(|service| self.model.services[*service].name.clone())
                    .collect(),
                withdrawals: levels.withdrawals,
                withdrawn_seconds: levels.withdrawn_seconds,
                degraded_seconds: levels.degraded_seconds,
                level: levels.level(),
            })
            .collect()
    }

    /// The summary for programs.
    pub fn json(&self) -> serde_json::Result<String> {
        let happenings = &self.judgement.history.happenings;
        let summary = Summary {
            capture: &self.capture,
            measured_by: self.measured_by,
            seconds: self.span.as_secs_f64(),
            packets: self.packets,
            services: self.service_reports(),
            skipped: self.skipped().collect(),
            probes: ProbesReport {
                taken_to_meet_what_clients_met: self.probes == Probes::LikeClients,
                answered: self.judgement.probes.0,
                failed: self.judgement.probes.1,
            },
            prefixes: self.prefix_reports(),
            happenings: &happenings.kept,
            happenings_left_out: happenings.decisions_left_out + happenings.others_left_out,
            warnings: &self.warnings,
        };
        serde_json::to_string_pretty(&summary).map(|text| text + "\n")
    }

    fn service_reports(&self) -> Vec<ServiceReport> {
        self.model
            .services
            .iter()
            .map(|service| ServiceReport {
                service: service.name.clone(),
                packets_in: service.traffic.packets_in,
                packets_out: service.traffic.packets_out,
                trials: service
                    .status
                    .trials
                    .iter()
                    .filter(|(_, totals)| **totals != TrialTotals::default())
                    .map(|(kind, totals)| (*kind, *totals))
                    .collect(),
            })
            .collect()
    }

    pub(super) fn skipped(&self) -> impl Iterator<Item = Skipped> {
        Skip::ALL
            .into_iter()
            .map(|skip| Skipped {
                reason: skip.name(),
                packets: self.model.skips[skip as usize],
            })
            .filter(|skipped| skipped.packets > 0)
    }
}

/// Some names, and how many more there are.
fn listed(names: &[&str]) -> String {
    let shown = names[..names.len().min(MOST_NAMES)].join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl ServiceReport {
    /// A row for each kind of trial; the service and its packets stand in the first.
    fn rows(&self) -> Vec<Vec<String>> {
        let head = [
            self.service.clone(),
            self.packets_in.to_string(),
            self.packets_out.to_string(),
        ];
        if self.trials.is_empty() {
            return vec![head.into()];
        }
        let heads = std::iter::once(head).chain(std::iter::repeat_with(Default::default));
        self.trials
            .iter()
            .zip(heads)
            .map(|((kind, totals), head)| {
                let TrialTotals {
                    succeeded,
                    failed,
                    late,
                    abandoned,
                } = totals;
                let mut row = head.to_vec();
                row.push(kind.name().to_owned());
                row.extend([succeeded, failed, late, abandoned].map(ToString::to_string));
                row
            })
            .collect()
    }
}
