//! What another configuration means for a service that stays: what was learned about
//! it, and what is being weighed, go on.

use probe_common::trial::Kind;

use super::Watch;
use crate::{
    config::{Classify, Service, ServiceId},
    deadline::Answers,
    judge::Judge,
    time::Timestamp,
};

impl Watch {
    /// It has another number.
    pub fn renumber(&mut self, id: ServiceId) {
        self.id = id;
        let alarms = self.judges.iter_mut().flat_map(|judge| &mut judge.alarms);
        let faults = alarms.filter_map(|alarm| alarm.fault.as_mut());
        for fault in faults.chain(&mut self.probe_fault) {
            fault.reason.failed_services = vec![id];
        }
        self.probing.renumber(id);
    }

    /// The operator wants something else from now on. A suspicion that stands keeps the
    /// patience with which it began. If it is asked another question, its first probe is
    /// due at `first`.
    pub fn reconfigure(
        &mut self,
        config: Service,
        classify: Classify,
        first: Timestamp,
        now: Timestamp,
    ) {
        self.classify = classify;
        self.keep_judges(&config);
        for judge in &mut self.judges {
            judge.reconfigure(&config.detect);
        }
        self.probing.reconfigure(config.probe.clone(), first, now);
        let learns = |service: &Service| service.detect.learns_deadline;
        if !learns(&self.config) || !learns(&config) {
            self.deadline = config.detect.deadline;
        }
        self.config = config;
    }

    /// Another application may have other kinds of trials; those that it has as before
    /// keep their judges.
    fn keep_judges(&mut self, config: &Service) {
        if self.config.application == config.application {
            return;
        }
        let threshold = self.primary().fast().threshold();
        let mut known = core::mem::take(&mut self.judges);
        self.judges = kinds_of(config)
            .map(|kind| {
                let place = known.iter().position(|judge| judge.kind == kind);
                place.map_or_else(
                    || Judge::new(kind, &config.detect, threshold),
                    |place| known.swap_remove(place),
                )
            })
            .collect();
        if self.config.judged_kind() != config.judged_kind() {
            self.tally.judge_by(config.judged_kind());
            self.answers = Answers::default();
            self.deadline = config.detect.deadline;
        }
    }
}

/// The kinds of trials that a service can have; the first one is that on which it is
/// judged before all others.
pub(super) fn kinds_of(config: &Service) -> impl Iterator<Item = Kind> + use<> {
    let primary = config.judged_kind();
    let (protocol, application) = (config.endpoint.protocol, config.application);
    let others = Kind::ALL
        .into_iter()
        .filter(move |kind| *kind != primary && protocol.has_trials(application, *kind));
    core::iter::once(primary).chain(others)
}
