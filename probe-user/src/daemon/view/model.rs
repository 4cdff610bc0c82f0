//! The metrics of one moment.

use std::{collections::BTreeMap, time::SystemTime};

use probe_common::{ABI_VERSION, latency::Histogram, trial::Kind};
use probe_core::status::{PrefixStatus, ServiceStatus};

use super::{Sources, View, document::frozen};
use crate::{
    datapath::Attachment,
    metrics::{self, Model},
};

impl View {
    /// What cannot be read this time keeps its old value: a counter that falls to
    /// zero would look like a restart.
    pub(super) fn model(
        &self,
        sources: Sources<'_>,
        latencies: &[BTreeMap<Kind, Histogram>],
        attachments: &[Attachment],
        services: &[ServiceStatus],
        prefixes: &[PrefixStatus],
        health: Result<(), String>,
    ) -> Model {
        let daemon = self.daemon(&sources);
        let Sources {
            datapath,
            traffic,
            counters,
            bird,
            ..
        } = sources;
        Model {
            health,
            daemon: Some(daemon),
            abi: ABI_VERSION,
            configuration: metrics::Configuration {
                successful: self.refused.is_none(),
                read_at: self
                    .read
                    .1
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default(),
            },
            services: services
                .iter()
                .zip(&self.settings.core.services)
                .map(|(status, config)| {
                    let index = status.service.0 as usize;
                    metrics::Service {
                        name: config.name.clone(),
                        protocol: config.endpoint.protocol,
                        application: config.application,
                        traffic: traffic.get(index).copied().unwrap_or_default(),
                        counters: counters.get(index).copied().unwrap_or_default(),
                        latencies: latencies.get(index).cloned().unwrap_or_default(),
                        status: status.clone(),
                    }
                })
                .collect(),
            prefixes: self
                .settings
                .core
                .prefixes
                .iter()
                .zip(prefixes)
                .map(|(config, status)| metrics::Prefix {
                    prefix: config.prefix,
                    status: status.clone(),
                })
                .collect(),
            attachments: self
                .places
                .iter()
                .map(|place| metrics::Attachment {
                    interface: place.interface.clone(),
                    hook: place.hook.name().to_owned(),
                    mode: place.mode.name().to_owned(),
                    attached: attachments.contains(place),
                })
                .collect(),
            uplinks: datapath.uplinks(),
            skips: datapath.skips(),
            programs: datapath
                .program_runs()
                .into_iter()
                .map(|program| metrics::Program {
                    name: program.program.to_owned(),
                    runs: program.runs,
                    run_time: program.run_time,
                })
                .collect(),
            tally: self.tally.clone(),
            bird,
        }
    }

    fn daemon(&self, sources: &Sources<'_>) -> metrics::Daemon {
        metrics::Daemon {
            site: self.settings.daemon.site.clone(),
            host: self.settings.daemon.host.clone(),
            mode: self.settings.core.mode,
            frozen: sources
                .engine
                .orders()
                .into_iter()
                .find_map(frozen)
                .is_some(),
            blind: sources.engine.is_blind(),
            journal_failing: sources.journal_trouble.is_some(),
            process: self.meter.and_then(|meter| meter.read().ok()),
        }
    }
}
