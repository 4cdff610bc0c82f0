//! The engine: takes inputs with the time at which they happened, lets each part
//! look at what is its own, and gives out their commands in the order in which they
//! were decided.

use crate::{
    command::{Command, Event},
    config::{Config, Mode, Prefix, PrefixId, ServiceId},
    detector,
    input::{Input, ProbeResult, Reading, Sensor},
    level::Level,
    outbox::Outbox,
    prefix::{Announcement, Observed},
    status::{PrefixStatus, ServiceStatus},
    time::Timestamp,
    watch::{Moment, Watch},
    window::Blindness,
};

const SECOND: u64 = 1_000_000_000;

/// The decision core.
///
/// ```text
/// loop { handle(input, now); while let Some(command) = next_command() { do it } }
/// ```
///
/// The caller waits for the next input, but not longer than until
/// [`Engine::poll_timeout`]; then it hands in [`Input::Wake`].
#[derive(Clone, Debug)]
pub struct Engine {
    mode: Mode,
    false_alarm_seconds: f64,
    watches: Vec<Watch>,
    announcements: Vec<Announcement>,
    /// The positions of each service's prefixes.
    memberships: Vec<Vec<usize>>,
    /// Why the sensor is detached, if it is.
    detached: Option<String>,
    /// When the sensor last said that the hooks are in place.
    hooks_seen: Option<Timestamp>,
    /// Why the last reading told nothing, if it did not.
    unread: Option<Blindness>,
    blind_recorded: bool,
    now: Timestamp,
    refreshed: Timestamp,
    out: Outbox,
}

impl Engine {
    /// An engine that knows nothing yet, at `now`.
    pub fn new(config: Config, now: Timestamp) -> Self {
        let false_alarm_seconds = config.false_alarm_period.as_secs_f64();
        let threshold = detector::threshold(false_alarm_seconds, 0.0);
        let count = u32::try_from(config.services.len())
            .unwrap_or(u32::MAX)
            .max(1);
        let memberships = (0..)
            .zip(&config.services)
            .map(|(index, _)| prefixes_of(ServiceId(index), &config.prefixes))
            .collect();
        let watches = (0..)
            .zip(config.services)
            .map(|(index, service)| {
                // Spread over one interval, so that probes do not come in a burst.
                let offset = service.probe.interval.saturating_mul(index) / count;
                Watch::new(ServiceId(index), service, threshold, now.after(offset))
            })
            .collect();
        let announcements = (0..)
            .zip(config.prefixes)
            .map(|(index, mut prefix): (u32, Prefix)| {
                prefix.services.sort_unstable();
                prefix.services.dedup();
                Announcement::new(PrefixId(index), prefix, config.mode, config.recover)
            })
            .collect();
        Self {
            mode: config.mode,
            false_alarm_seconds,
            watches,
            announcements,
            memberships,
            detached: None,
            hooks_seen: None,
            unread: None,
            blind_recorded: false,
            now,
            refreshed: now,
            out: Outbox::default(),
        }
    }

    /// Takes one input that happened at `now`, and decides. Time that goes back is
    /// taken as time that stands still.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        self.now = now.max(self.now);
        match input {
            Input::Reading(reading) => self.read(&reading),
            Input::Probe(result) => self.probed(&result),
            Input::Route { prefix, observed } => self.observed(prefix, observed),
            Input::Sensor(sensor) => self.sensed(sensor),
            Input::Wake => {}
        }
        self.decide();
    }

    /// The next time at which something is due that no input brings.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let services = self.watches.iter().flat_map(Watch::due);
        let prefixes = self.announcements.iter().filter_map(Announcement::due);
        services.chain(prefixes).filter(|due| *due > self.now).min()
    }

    /// Whether the next reading may change a decision soon: judged trials are
    /// undecided, failures are being weighed, or a suspicion stands. Otherwise it is
    /// enough to read now and then, and when the kernel calls.
    pub fn is_restless(&self) -> bool {
        self.watches.iter().any(|watch| watch.is_restless(self.now))
    }

    /// Takes the next command, oldest first.
    pub fn next_command(&mut self) -> Option<Command> {
        self.out.pop()
    }

    /// The services, by id.
    pub fn services(&self) -> Vec<ServiceStatus> {
        self.watches.iter().map(Watch::status).collect()
    }

    /// The prefixes, by id.
    pub fn prefixes(&self) -> Vec<PrefixStatus> {
        self.announcements
            .iter()
            .map(|announcement| announcement.status(self.now))
            .collect()
    }

    fn read(&mut self, reading: &Reading) {
        let mut unread = None;
        let detached = self.detached.is_some();
        for service in &reading.services {
            let moment = self.moment(service.service);
            let Some(watch) = watch_mut(&mut self.watches, service.service) else {
                continue;
            };
            let blindness = watch.read(service, moment, detached, &mut self.out);
            unread = unread.or(blindness);
        }
        self.unread = unread;
        self.record_blindness();
    }

    fn probed(&mut self, result: &ProbeResult) {
        let Some(watch) = watch_mut(&mut self.watches, result.service) else {
            return;
        };
        let recorded = watch.probed(result, self.now, &mut self.out);
        if let Some(failed) = recorded.filter(|recorded| !recorded.passed) {
            for announcement in &mut self.announcements {
                announcement.probe_failed(result.service, failed.launched);
            }
        }
    }

    fn observed(&mut self, prefix: PrefixId, observed: Level) {
        let index = usize::try_from(prefix.0).unwrap_or(usize::MAX);
        let Some(announcement) = self.announcements.get_mut(index) else {
            return;
        };
        let meaning = announcement.observe(observed, self.now, &mut self.out);
        for service in announcement.services() {
            let Some(watch) = watch_mut(&mut self.watches, *service) else {
                continue;
            };
            match meaning {
                Observed::FoundWithdrawn => watch.launch_first(self.now, &mut self.out),
                Observed::Changed => watch.level_changed(self.now),
                Observed::Unchanged => {}
            }
        }
    }

    fn sensed(&mut self, sensor: Sensor) {
        let detached = match sensor {
            Sensor::Attached => {
                self.hooks_seen = Some(self.now);
                None
            }
            Sensor::Detached(why) => Some(why),
        };
        if detached.is_some() != self.detached.is_some() {
            for watch in &mut self.watches {
                watch.forget_hooks();
            }
        }
        self.detached = detached;
        self.record_blindness();
    }

    fn is_blind(&self) -> bool {
        self.detached.is_some() || self.unread.is_some()
    }

    fn record_blindness(&mut self) {
        let blind = self.is_blind();
        if core::mem::replace(&mut self.blind_recorded, blind) == blind {
            return;
        }
        let why = match (&self.detached, &self.unread) {
            (Some(why), _) => why.clone(),
            (None, Some(blindness)) => blindness.to_string(),
            (None, None) => "the sensor sees again".to_owned(),
        };
        self.out.record(Event::Blind { blind, why });
    }

    fn decide(&mut self) {
        self.refresh();
        for index in 0..self.watches.len() {
            let moment = self.moment(self.watches[index].id());
            self.watches[index].judge(moment, &mut self.out);
        }
        for announcement in &mut self.announcements {
            let Some(level) = announcement.decide(&self.watches, self.now, &mut self.out) else {
                continue;
            };
            for service in announcement.services() {
                if let Some(watch) = watch_mut(&mut self.watches, *service) {
                    watch.level_changed(self.now);
                    match level {
                        Level::Full => watch.start_again(&mut self.out),
                        Level::Degraded | Level::Withdrawn => {}
                    }
                }
            }
        }
        for watch in &mut self.watches {
            watch.launch_due(self.now, &mut self.out);
        }
    }

    /// About once a second: ages what was learned, and sets the thresholds from it.
    fn refresh(&mut self) {
        let elapsed = self.now.as_nanos() - self.refreshed.as_nanos();
        let seconds = elapsed / SECOND;
        if seconds == 0 {
            return;
        }
        self.refreshed = Timestamp::from_nanos(self.refreshed.as_nanos() + seconds * SECOND);
        for index in 0..self.watches.len() {
            let moment = self.moment(self.watches[index].id());
            self.watches[index].refresh(seconds, moment);
        }
        let trials_per_second = self.watches.iter().map(Watch::trials_per_second).sum();
        let threshold = detector::threshold(self.false_alarm_seconds, trials_per_second);
        for watch in &mut self.watches {
            watch.set_threshold(threshold);
        }
    }

    fn moment(&self, service: ServiceId) -> Moment {
        let index = usize::try_from(service.0).unwrap_or(usize::MAX);
        let prefixes = self.memberships.get(index).map_or(&[][..], Vec::as_slice);
        Moment {
            now: self.now,
            live: self.mode == Mode::Observe
                || prefixes.is_empty()
                || prefixes
                    .iter()
                    .any(|prefix| self.announcements[*prefix].is_live()),
            blind: self.is_blind(),
            hooks_seen: self.hooks_seen,
        }
    }
}

fn watch_mut(watches: &mut [Watch], service: ServiceId) -> Option<&mut Watch> {
    watches.get_mut(usize::try_from(service.0).ok()?)
}

fn prefixes_of(service: ServiceId, prefixes: &[Prefix]) -> Vec<usize> {
    (0..)
        .zip(prefixes)
        .filter(|(_, prefix)| prefix.services.contains(&service))
        .map(|(index, _)| index)
        .collect()
}
