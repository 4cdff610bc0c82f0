//! How services do: their trials, what the detectors make of them, and the verdict.

use std::fmt;

use probe_common::trial::Kind;
use probe_core::status::{KindState, KindStatus, ServiceState};
use prometheus_client::{encoding::DescriptorEncoder, registry::Unit};

use super::{Labels, counters, gauges, histograms};
use crate::metrics::Model;

impl Model {
    pub(super) fn encode_services(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        counters(
            encoder,
            "lapwing_trials",
            "Live trials by outcome; a late one was not answered by its deadline.",
            None,
            self.services.iter().flat_map(|service| {
                let kinds = Kind::ALL.into_iter();
                let kinds = kinds.filter(|kind| service.has_trials(*kind));
                kinds.flat_map(|kind| {
                    // At zero from the start: a rate has to see the first one.
                    let totals = service.status.trials.get(&kind);
                    let totals = totals.copied().unwrap_or_default();
                    [
                        ("succeeded", totals.succeeded),
                        ("failed", totals.failed),
                        ("late", totals.late),
                        ("abandoned", totals.abandoned),
                    ]
                    .map(|(outcome, value)| {
                        let labels = [
                            ("service", &*service.name),
                            ("kind", kind.name()),
                            ("outcome", outcome),
                        ];
                        (labels, value)
                    })
                })
            }),
        )?;
        histograms(
            encoder,
            "lapwing_response",
            "Time from the packet that starts a trial to its answer. Absent before the first one.",
            self.services.iter().flat_map(|service| {
                // Half of all lines are of these: those of kinds that a service never has, as
                // of a greeting where clients speak first, would be zeros only.
                let latencies = service.latencies.iter();
                let latencies = latencies
                    .filter(|(kind, latency)| service.has_trials(**kind) && !latency.is_empty());
                latencies.map(|(kind, latency)| {
                    let labels = [("service", &*service.name), ("kind", kind.name())];
                    (labels, latency)
                })
            }),
        )?;
        self.encode_detectors(encoder)?;
        gauges(
            encoder,
            "lapwing_service_state",
            "What the service is held to be: 1 for the present state, 0 for the others.",
            None,
            self.services.iter().flat_map(|service| {
                ServiceState::ALL.map(|state| {
                    let labels = [("service", &*service.name), ("state", state.name())];
                    (labels, u32::from(service.status.state == state))
                })
            }),
        )
    }

    fn encode_detectors(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let ratio = Unit::Other("ratio".to_owned());
        gauges(
            encoder,
            "lapwing_detector_score",
            "The highest detector's score as a part of its threshold: at 1 the service is \
             suspect.",
            Some(&ratio),
            self.kinds()
                .map(|(labels, kind)| (labels, kind.score_ratio)),
        )?;
        gauges(
            encoder,
            "lapwing_detector_normal",
            "The part of the trials that fails normally, as learned (upper bound). Absent while \
             it is being learned.",
            Some(&ratio),
            self.kinds().filter_map(|(labels, kind)| match kind.state {
                KindState::Learning => None,
                KindState::Armed | KindState::Unfit => Some((labels, kind.p0)),
            }),
        )?;
        gauges(
            encoder,
            "lapwing_detector_broken",
            "The part of failing trials that the fast detector calls broken.",
            Some(&ratio),
            self.kinds().map(|(labels, kind)| (labels, kind.p1)),
        )?;
        gauges(
            encoder,
            "lapwing_service_expected_per_second",
            "Successes a second that are usual now. Absent while that is being learned.",
            None,
            self.services.iter().filter_map(|service| {
                let expected = service.status.expected_per_second?;
                Some(([("service", &*service.name)], expected))
            }),
        )?;
        gauges(
            encoder,
            "lapwing_probe_passes",
            "Whether the regular probe passes. Absent before its first result.",
            None,
            self.services.iter().filter_map(|service| {
                let passes = service.status.probe_passes?;
                Some(([("service", &*service.name)], u32::from(passes)))
            }),
        )
    }

    /// What is known of every kind of every service.
    fn kinds(&self) -> impl Iterator<Item = (Labels<'_, 2>, &KindStatus)> {
        self.services.iter().flat_map(|service| {
            service.status.kinds.iter().map(|(kind, status)| {
                let labels = [("service", &*service.name), ("kind", kind.name())];
                (labels, status)
            })
        })
    }
}
