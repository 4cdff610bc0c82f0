//! Deadlines that follow the answers: latencies to the core now and then, and what it
//! makes of them to the kernel side.

use std::time::Duration;

use probe_core::{Input, Timestamp, config::ServiceId, input::Latencies};

use super::{Daemon, Pace};

/// Latencies are learned from so often.
const PERIOD: Duration = Duration::from_secs(10);

impl Daemon {
    /// Tells the core how long answers take.
    pub(super) fn learn_deadlines(&mut self, now: Timestamp) {
        if now < self.latencies_due {
            return;
        }
        self.latencies_due = now.after(PERIOD);
        let latencies = (0..)
            .map(ServiceId)
            .zip(self.datapath.latencies())
            .zip(&self.settings.core.services)
            .filter(|(_, service)| service.detect.learns_deadline)
            .filter_map(|((id, mut kinds), service)| {
                let histogram = kinds.remove(&service.judged_kind())?;
                Some(Latencies {
                    service: id,
                    buckets: histogram.buckets.to_vec(),
                })
            })
            .collect();
        self.engine.handle(Input::Latencies(latencies), now);
    }

    /// Makes the kernel side call trials of a service late after another time.
    pub(super) fn set_deadline(&mut self, service: ServiceId, deadline: Duration) {
        let Some(config) = self.settings.core.services.get_mut(service.0 as usize) else {
            return;
        };
        config.detect.deadline = deadline;
        if let Err(error) = self.datapath.set_deadline(service, deadline) {
            tracing::error!("{}: cannot change the deadline: {error}", config.name);
        }
        let services = &self.settings.core.services;
        self.reader
            .set_pace(Pace::new(services, &self.settings.measure.deadlines));
        // What was undecided when the rings changed is told by nobody.
        self.reader.rung();
    }
}
