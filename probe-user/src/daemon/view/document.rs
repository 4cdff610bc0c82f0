//! The parts of the status document.

use std::collections::BTreeMap;

use probe_common::{latency::Histogram, trial::Kind};
use probe_core::{
    config::{Config, Endpoint, LastSite, Service, ServiceId},
    input::{Directive, Order},
    status::{PrefixStatus, ServiceStatus},
};

use super::View;
use crate::{
    config::Settings,
    datapath::Attachment,
    follow::{BirdState, Picture},
    status::{
        AttachmentView, BirdView, ConfigurationView, Document, ExportView, PrefixView, SensorView,
        ServiceView,
    },
};

impl View {
    pub(super) fn service_view(
        &self,
        status: &ServiceStatus,
        latencies: &[BTreeMap<Kind, Histogram>],
    ) -> ServiceView {
        let ServiceStatus {
            service,
            state,
            detector,
            totals,
            trials,
            kinds,
            expected_per_second,
            probe_passes,
        } = status;
        let index = service.0 as usize;
        let config = self.settings.core.services.get(index);
        let has_trials = |kind| {
            config.is_some_and(|config| {
                let Endpoint { protocol, .. } = config.endpoint;
                protocol.has_trials(config.application, kind)
            })
        };
        ServiceView {
            name: service_name(*service, &self.settings.core),
            endpoint: config.map_or_else(String::new, |service| service.endpoint.to_string()),
            state: *state,
            recent: self.history.recent(index),
            judged: config.map(Service::judged_kind),
            latencies: latencies.get(index).map_or_else(BTreeMap::new, |now| {
                let mut recent = self.latencies.recent(index, now);
                recent.retain(|kind, _| has_trials(*kind));
                recent
            }),
            armed: detector.armed,
            score_ratio: detector.score_ratio,
            p0: detector.p0,
            p1: detector.p1,
            totals: *totals,
            trials: trials
                .iter()
                .filter(|(kind, _)| has_trials(**kind))
                .map(|(kind, totals)| (*kind, *totals))
                .collect(),
            kinds: kinds.clone(),
            expected_per_second: *expected_per_second,
            probe_passes: *probe_passes,
        }
    }
}

pub(super) fn prefix_view(status: &PrefixStatus, core: &Config, bird: &Picture) -> PrefixView {
    let PrefixStatus {
        prefix,
        wanted,
        observed,
        standing,
        held_by,
        orders,
        hold_left,
        withdrawals,
        others,
    } = status;
    let config = core.prefixes.get(prefix.0 as usize);
    PrefixView {
        prefix: config.map_or_else(String::new, |config| config.prefix.to_string()),
        wanted: *wanted,
        observed: *observed,
        standing: *standing,
        held_by: *held_by,
        orders: orders.clone(),
        hold_left_seconds: hold_left.map(|left| left.as_secs_f64()),
        withdrawals: *withdrawals,
        export: ExportView::of(bird.prefixes.get(prefix.0 as usize)),
        others: others.clone(),
        last_site: config.map_or(LastSite::Unwitnessed, |config| config.last_site),
        services: config.map_or_else(Vec::new, |config| {
            config
                .services
                .iter()
                .map(|service| service_name(*service, core))
                .collect()
        }),
    }
}

/// What is wrong beyond the kernel, if something is.
pub(super) fn first_trouble(bird: &Picture) -> Option<&String> {
    match &bird.bird {
        BirdState::Down { sentence } => Some(sentence),
        BirdState::Unknown | BirdState::Up { .. } => bird
            .prefixes
            .iter()
            .find_map(|prefix| prefix.alerts.values().next()),
    }
}

fn service_name(id: ServiceId, core: &Config) -> String {
    core.services
        .get(id.0 as usize)
        .map_or_else(String::new, |service| service.name.clone())
}

pub(super) fn attachment_view(attachment: &Attachment) -> AttachmentView {
    AttachmentView {
        interface: attachment.interface.clone(),
        hook: attachment.hook.name().to_owned(),
        mode: attachment.mode.name().to_owned(),
    }
}

pub(super) fn frozen(order: Order) -> Option<Directive> {
    match order {
        Order::Freeze { directive } => Some(directive),
        Order::Pin { .. }
        | Order::Unpin { .. }
        | Order::Drain { .. }
        | Order::Undrain { .. }
        | Order::Thaw => None,
    }
}

/// Who we are, and nothing seen yet.
pub(super) fn empty_document(settings: &Settings) -> Document {
    Document {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        site: settings.daemon.site.clone(),
        host: settings.daemon.host.clone(),
        mode: settings.core.mode,
        uptime_seconds: 0.0,
        sensor: SensorView {
            trouble: None,
            attachments: Vec::new(),
        },
        uplinks: Vec::new(),
        frozen: None,
        journal_trouble: None,
        bird: BirdView::default(),
        configuration: ConfigurationView::default(),
        conflicts: Vec::new(),
        prefixes: Vec::new(),
        services: Vec::new(),
    }
}
