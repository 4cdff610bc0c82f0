//! The engine: takes inputs with the time at which they happened, lets each part
//! look at what is its own, and gives out their commands in the order in which they
//! were decided.

mod decide;
mod memory;
mod reading;
mod reconfigure;
mod roster;

pub use self::memory::Memory;
use self::roster::Roster;
use crate::{
    budget::Budget,
    command::{Command, Event},
    config::{Config, Mode, Prefix, PrefixId, Service, ServiceId},
    detector,
    input::{Input, Latencies, Order, ProbeResult, Sensor, UplinkReading},
    level::Level,
    operator::Orders,
    outbox::Outbox,
    prefix::{self, Announcement, Observed},
    status::{PrefixStatus, ServiceStatus},
    time::Timestamp,
    uplinks::{UplinkStatus, Uplinks},
    watch::{Attention, Moment, Watch},
    window::Blindness,
    witness::Other,
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
    roster: Roster,
    announcements: Vec<Announcement>,
    /// The positions of each service's prefixes.
    memberships: Vec<Vec<usize>>,
    /// Of each prefix whether there may be something to decide. Of ten thousand nearly all
    /// rest, at every input.
    awake: Vec<bool>,
    orders: Orders,
    budget: Budget,
    uplinks: Uplinks,
    /// When the uplinks were read last.
    uplinks_read: Timestamp,
    /// What is remembered of prefixes whose table was not read yet.
    remembered: Vec<Option<(prefix::Memory, core::time::Duration)>>,
    /// Why the sensor is detached, if it is.
    detached: Option<String>,
    /// When the sensor last said that the hooks are in place.
    hooks_seen: Option<Timestamp>,
    /// Why the last reading told nothing, if it did not.
    unread: Option<Blindness>,
    blind_recorded: bool,
    now: Timestamp,
    refreshed: Timestamp,
    /// When something is due that no input brings, as of the last decision: asked for
    /// more often than decided, and ten thousand prefixes may have something.
    due: Option<Timestamp>,
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
        let watches: Vec<Watch> = (0..)
            .zip(config.services)
            .map(|(index, service)| {
                let first_probe = first_probe(&service, index, count, now);
                let classify = config.classify;
                Watch::new(ServiceId(index), service, classify, threshold, first_probe)
            })
            .collect();
        let remembered = config.prefixes.iter().map(|_| None).collect();
        let announcements: Vec<Announcement> = (0..)
            .zip(config.prefixes)
            .map(|(index, prefix): (u32, Prefix)| {
                Announcement::new(PrefixId(index), prefix, config.mode, config.recover)
            })
            .collect();
        let mut engine = Self {
            mode: config.mode,
            false_alarm_seconds,
            awake: vec![true; announcements.len()],
            roster: Roster::new(&watches),
            watches,
            announcements,
            memberships,
            orders: Orders::default(),
            budget: Budget::new(config.guards),
            uplinks: Uplinks::default(),
            uplinks_read: now,
            remembered,
            detached: None,
            hooks_seen: None,
            unread: None,
            blind_recorded: false,
            now,
            refreshed: now,
            due: None,
            out: Outbox::default(),
        };
        engine.due = engine.next_due();
        engine
    }

    /// Takes one input that happened at `now`, and decides. Time that goes back is
    /// taken as time that stands still.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        self.handle_all([input], now);
    }

    /// Takes all that has happened until `now`, and decides once: a decision looks at
    /// every service and prefix, so that one for each of thousands of inputs would take
    /// the time in which more of them come.
    pub fn handle_all(&mut self, inputs: impl IntoIterator<Item = Input>, now: Timestamp) {
        self.now = now.max(self.now);
        for input in inputs {
            self.take(input);
        }
        self.decide();
        self.due = self.next_due();
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Reading(reading) => self.read(&reading),
            Input::Latencies(latencies) => self.learn_deadlines(&latencies),
            Input::Uplinks(readings) => self.read_uplinks(readings),
            Input::Evidence(evidence) => {
                if let Some(watch) = watch_mut(&mut self.watches, evidence.service) {
                    watch.take_evidence(evidence.kind, evidence.sample);
                }
            }
            Input::Probe(result) => self.probed(&result),
            Input::Route { prefix, observed } => self.observed(prefix, observed),
            Input::Witness { prefix, others } => self.witnessed(prefix, others),
            Input::Sensor(sensor) => self.sensed(sensor),
            Input::Operator(order) => self.ordered(order),
            Input::Configuration(config) => self.reconfigure(*config),
            Input::Wake => {}
        }
    }

    /// The next time at which something is due that no input brings.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.due
    }

    fn next_due(&self) -> Option<Timestamp> {
        let services = self.roster.next_due(self.now);
        let awake = self.awake.iter().zip(&self.announcements);
        let prefixes = awake
            .filter(|(awake, _)| **awake)
            .filter_map(|(_, announcement)| announcement.due());
        services
            .into_iter()
            .chain(prefixes)
            .chain(self.orders.due())
            .filter(|due| *due > self.now)
            .min()
    }

    /// How closely trials must be watched: whether the next reading may change a
    /// decision soon, because trials are undecided, failures are being weighed, or a
    /// suspicion stands.
    pub fn attention(&self) -> Attention {
        let watched = self.roster.watched_closely(&self.watches);
        let attentions = watched.map(|watch| watch.attention(self.now));
        attentions.max().unwrap_or(Attention::Calm)
    }

    /// The services whose trials are to be read while anything is undecided. Of the others
    /// nothing was undecided at their last reading, and nothing judged for a while.
    pub fn watched_closely(&self) -> Vec<ServiceId> {
        let watched = self.roster.watched_closely(&self.watches);
        watched.map(Watch::id).collect()
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
            .map(|announcement| announcement.status(&self.orders, self.now))
            .collect()
    }

    /// The interfaces, and what is lost on them.
    pub fn uplinks(&self) -> Vec<UplinkStatus> {
        self.uplinks.status()
    }

    /// The level that is to stand in the table although nothing was commanded in this
    /// life: it was found there, or remembered.
    pub fn kept(&self, prefix: PrefixId) -> Option<Level> {
        let index = usize::try_from(prefix.0).ok()?;
        self.announcements.get(index)?.kept()
    }

    /// The level that the verdicts about a prefix's services ask for, whatever holds it:
    /// in mode `observe`, what would stand in the table.
    pub fn asked_for(&self, prefix: PrefixId) -> Option<Level> {
        let index = usize::try_from(prefix.0).ok()?;
        Some(self.announcements.get(index)?.asked_for(&self.watches))
    }

    /// The operator's orders that hold now.
    pub fn orders(&self) -> Vec<Order> {
        self.orders.all()
    }

    fn ordered(&mut self, order: Order) {
        let known = |prefix: PrefixId| {
            usize::try_from(prefix.0).is_ok_and(|index| index < self.announcements.len())
        };
        if order.prefix().is_none_or(known) && self.orders.take(&order) {
            self.wake(order.prefix());
            self.out.record(Event::Ordered {
                order,
                expired: false,
            });
        }
    }

    fn learn_deadlines(&mut self, latencies: &[Latencies]) {
        for read in latencies {
            let moment = self.moment(read.service);
            if let Some(watch) = watch_mut(&mut self.watches, read.service) {
                watch.learn_deadline(&read.buckets, moment, &mut self.out);
            }
        }
    }

    fn read_uplinks(&mut self, readings: Vec<UplinkReading>) {
        let seconds = self.now.since(self.uplinks_read).as_secs();
        self.uplinks_read = self.now;
        let healthy = !self.is_blind() && !self.watches.iter().any(Watch::is_disturbed);
        self.uplinks.read(readings, seconds.max(1), healthy);
        let lossy = self.uplinks.lossy();
        for watch in &mut self.watches {
            watch.take_lossy_uplinks(&lossy);
        }
    }

    fn probed(&mut self, result: &ProbeResult) {
        let Some(watch) = watch_mut(&mut self.watches, result.service) else {
            return;
        };
        let recorded = watch.probed(result, self.now, &mut self.out);
        self.roster.touched(watch);
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
        self.awake[index] = true;
        let meaning = announcement.observe(observed, self.now, &mut self.out);
        if let Some((memory, ago)) = self.remembered.get_mut(index).and_then(Option::take) {
            announcement.recall(&memory, ago, self.now);
        }
        for service in announcement.services() {
            let Some(watch) = watch_mut(&mut self.watches, *service) else {
                continue;
            };
            match meaning {
                Observed::FoundWithdrawn => watch.launch_first(self.now, &mut self.out),
                Observed::Changed => watch.level_changed(self.now),
                Observed::Unchanged => continue,
            }
            self.roster.touched(watch);
        }
    }

    /// A change at another host moves traffic as one of ours does.
    fn witnessed(&mut self, prefix: PrefixId, others: Vec<Other>) {
        let index = usize::try_from(prefix.0).unwrap_or(usize::MAX);
        let Some(announcement) = self.announcements.get_mut(index) else {
            return;
        };
        if !announcement.hear(others, self.now) {
            return;
        }
        for service in announcement.services() {
            if let Some(watch) = watch_mut(&mut self.watches, *service) {
                watch.level_changed(self.now);
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
            self.forget_hooks();
        }
        self.detached = detached;
        self.record_blindness();
    }

    /// The hooks are others than those that what is known came from: the detectors may
    /// not speak before they have seen enough good trials.
    pub fn forget_hooks(&mut self) {
        for watch in &mut self.watches {
            watch.forget_hooks();
            self.roster.was_read(watch, self.now);
        }
    }

    /// Has every service asked by three probes at once, whatever the rhythm says.
    pub(crate) fn launch_all(&mut self, now: Timestamp) {
        for watch in &mut self.watches {
            watch.launch_first(now, &mut self.out);
            self.roster.touched(watch);
        }
    }

    /// Whether the sensor cannot be believed now.
    pub fn is_blind(&self) -> bool {
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
            host_wide: false,
        }
    }
}

fn watch_mut(watches: &mut [Watch], service: ServiceId) -> Option<&mut Watch> {
    watches.get_mut(usize::try_from(service.0).ok()?)
}

/// Spread over one interval, so that probes do not come in a burst.
fn first_probe(service: &Service, index: u32, count: u32, now: Timestamp) -> Timestamp {
    now.after(service.probe.interval.saturating_mul(index) / count)
}

fn prefixes_of(service: ServiceId, prefixes: &[Prefix]) -> Vec<usize> {
    (0..)
        .zip(prefixes)
        .filter(|(_, prefix)| prefix.services.contains(&service))
        .map(|(index, _)| index)
        .collect()
}
