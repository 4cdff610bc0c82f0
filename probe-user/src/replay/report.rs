//! What a replay found, as metrics, as a table, and as JSON.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use probe_common::{ABI_VERSION, counters::Counters, skip::Skip, trial::Kind};
use probe_core::status::{ServiceStatus, TrialTotals};
use serde::Serialize;

use super::{Options, measurement::Totals, services::Service};
use crate::{
    metrics::{self, Format, Model},
    status::columns,
};

/// The result of a replay.
pub struct Report {
    capture: String,
    measured_by: &'static str,
    /// Whether the operator named the services; they were found otherwise.
    pub named: bool,
    packets: Packets,
    span: Duration,
    model: Model,
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
    /// What the numbers cannot tell.
    warnings: &'a [String],
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Skipped {
    /// Why.
    reason: &'static str,
    /// How many.
    packets: u64,
}

impl Report {
    pub(super) fn new(
        options: &Options,
        named: bool,
        packets: Packets,
        span: Duration,
        services: Vec<(Service, ServiceStatus)>,
        totals: Totals,
        warnings: Vec<String>,
    ) -> Self {
        let mut model = Model::new(ABI_VERSION);
        model.skips = totals.skips;
        model.services = services
            .into_iter()
            .zip(totals.counters.into_iter().zip(totals.latencies))
            .map(
                |((service, status), (counters, latencies))| metrics::Service {
                    name: service.endpoint.to_string(),
                    protocol: service.endpoint.protocol,
                    application: service.application,
                    counters,
                    latencies,
                    status,
                },
            )
            .collect();
        Self {
            capture: options.file.display().to_string(),
            measured_by: if options.host { "host" } else { "kernel" },
            named,
            packets,
            span,
            model,
            warnings,
        }
    }

    /// The names of the services, in order.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.model.services.iter().map(|service| &*service.name)
    }

    /// The counters of each service, by its name.
    pub fn counters(&self) -> impl Iterator<Item = (&str, &Counters)> {
        self.model
            .services
            .iter()
            .map(|service| (&*service.name, &service.counters))
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
        format!("{head}\n{services}{skipped}")
    }

    /// The summary for programs.
    pub fn json(&self) -> serde_json::Result<String> {
        let summary = Summary {
            capture: &self.capture,
            measured_by: self.measured_by,
            seconds: self.span.as_secs_f64(),
            packets: self.packets,
            services: self.service_reports(),
            skipped: self.skipped().collect(),
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
                packets_in: service.counters.packets_in,
                packets_out: service.counters.packets_out,
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

    fn skipped(&self) -> impl Iterator<Item = Skipped> {
        Skip::ALL
            .into_iter()
            .map(|skip| Skipped {
                reason: skip.name(),
                packets: self.model.skips[skip as usize],
            })
            .filter(|skipped| skipped.packets > 0)
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
