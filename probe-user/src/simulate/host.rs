//! One simulated host: the decision core, and everything that it talks to. In flow
//! inputs, out flow its commands, which come back as what they would bring about: a
//! probe's answer, a level in the table, a sensor in its place.

use std::{collections::BTreeMap, time::Duration};

use probe_core::{
    Command, Config, Engine, Input, Level, Reason, Timestamp,
    command::Event,
    config::{PrefixId, Probe, ServiceId},
    input::{ProbeResult, Reading, Sensor},
};

use super::{draw::Draw, kernel::Shape, script::Script, site::Site, trace::Trace};
use crate::{daemon::rhythm::Pace, datapath::Deadlines};

/// How long a probe takes that passes.
const PROBE_TAKES: Duration = Duration::from_micros(300);

/// When simulated time begins: midnight, on a host that is up for some days.
pub const MIDNIGHT: Timestamp = Timestamp::from_nanos(4 * 86_400_000_000_000);

/// The core and the world around it.
#[derive(Clone, Debug)]
pub struct Host {
    pub(super) engine: Engine,
    pub(super) now: Timestamp,
    pub(super) sites: Vec<Site>,
    pub(super) draw: Draw,
    pub(super) pace: Pace,
    /// The shape of the rings.
    pub(super) shape: Shape,
    /// Probe results on their way, in the order of their arrival.
    pub(super) results: BTreeMap<(Timestamp, u64), ProbeResult>,
    probes: Vec<Probe>,
    sent: u64,
    /// Levels that were set.
    pub changes: Vec<Change>,
    /// Suspicions that began.
    pub suspicions: u64,
    /// What happens to the first service, if somebody wants to see it.
    pub trace: Option<Trace>,
}

/// A level that was set.
#[derive(Clone, Debug)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// The prefix, and so the service: each has one.
    pub prefix: usize,
    /// The level.
    pub level: Level,
    /// Why.
    pub reason: Box<Reason>,
}

impl Host {
    /// A host at midnight whose prefixes are announced, and that knows nothing else.
    pub fn new(config: Config, scripts: Vec<Script>, draw: Draw) -> Self {
        let pace = Pace::new(&config.services, &Deadlines::default());
        let sites = scripts
            .into_iter()
            .zip(&config.services)
            .map(|(script, service)| Site::new(script, service.detect.deadline))
            .collect();
        let probes = config
            .services
            .iter()
            .map(|service| service.probe.clone())
            .collect();
        let prefixes = config.prefixes.len();
        let mut host = Self {
            engine: Engine::new(config, MIDNIGHT),
            now: MIDNIGHT,
            sites,
            draw,
            pace,
            shape: Shape::Fine,
            results: BTreeMap::new(),
            probes,
            sent: 0,
            changes: Vec::new(),
            suspicions: 0,
            trace: None,
        };
        host.handle(Input::Sensor(Sensor::Attached));
        for prefix in (0..).map(PrefixId).take(prefixes) {
            host.handle(Input::Route {
                prefix,
                observed: Level::Full,
            });
        }
        host
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Another source of chance from here on.
    pub fn draw_from(&mut self, draw: Draw) {
        self.draw = draw;
    }

    /// What happens to a service.
    pub fn script(&mut self, service: usize) -> &mut Script {
        &mut self.sites[service].script
    }

    /// Keeps from now on when the trials of a service start.
    pub fn keep_starts(&mut self, service: usize) {
        self.sites[service].starts = Some(Vec::new());
    }

    /// When the trials of a service started since that was wanted.
    pub fn starts(&self, service: usize) -> &[Timestamp] {
        self.sites[service].starts.as_deref().unwrap_or_default()
    }

    /// Takes the maps as they are.
    pub(super) fn read(&mut self) {
        let services = (0..)
            .zip(&self.sites)
            .map(|(index, site)| site.kernel.reading(ServiceId(index)))
            .collect();
        self.handle(Input::Reading(Reading {
            services,
            ..Reading::default()
        }));
    }

    /// Changes over to rings of another shape, between two readings at one instant: no
    /// trial is lost, and the core learns the new rings' base.
    pub(super) fn reshape(&mut self, shape: Shape) {
        self.read();
        self.shape = shape;
        for site in &mut self.sites {
            site.kernel.reshape(shape);
        }
        self.read();
    }

    /// Hands the probe results in that are there by now.
    pub(super) fn answer(&mut self) {
        while let Some(entry) = self.results.first_entry()
            && entry.key().0 <= self.now
        {
            let result = entry.remove();
            self.handle(Input::Probe(result));
        }
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.engine.handle(input, self.now);
        let mut answers = Vec::new();
        while let Some(command) = self.engine.next_command() {
            match command {
                Command::Probe {
                    service,
                    burst,
                    count,
                    purpose: _,
                } => self.launch(service, burst, count),
                Command::SetLevel {
                    prefix,
                    level,
                    reason,
                } => {
                    self.set(prefix, level, reason);
                    answers.push(Input::Route {
                        prefix,
                        observed: level,
                    });
                }
                Command::CheckSensor => answers.push(Input::Sensor(Sensor::Attached)),
                // No latencies are told, so nobody asks for another deadline; and there
                // is no table to look into.
                Command::SetDeadline { .. } | Command::CollectEvidence { .. } => {}
                Command::Record(event) => self.record(&event),
            }
        }
        for answer in answers {
            self.handle(answer);
        }
        if let Some(trace) = &mut self.trace {
            trace.look(&self.engine, self.now);
        }
    }

    fn launch(&mut self, service: ServiceId, burst: u64, count: u32) {
        let index = position(service.0);
        let situation = self.sites[index].script.situation();
        let probes = situation.probes;
        for _ in 0..count {
            let (took, outcome) = if self.draw.chance(probes.failing) {
                let (took, failure) = probes.how.told(self.probes[index].timeout);
                (took, Err(failure))
            } else {
                (PROBE_TAKES, Ok(()))
            };
            self.sent += 1;
            let result = ProbeResult {
                service,
                burst,
                took,
                outcome,
            };
            self.results
                .insert((self.now.after(took), self.sent), result);
        }
    }

    /// Traffic follows the level at once: that is what makes it hard.
    fn set(&mut self, prefix: PrefixId, level: Level, reason: Box<Reason>) {
        let prefix = position(prefix.0);
        self.sites[prefix].gone_since = match level {
            Level::Withdrawn => Some(self.now),
            // Upstreams that honour it send clients elsewhere; these do not.
            Level::Degraded | Level::Full => None,
        };
        self.changes.push(Change {
            at: self.now,
            prefix,
            level,
            reason,
        });
    }

    fn record(&mut self, event: &Event) {
        match event {
            Event::Suspected { .. } => self.suspicions += 1,
            Event::Armed { .. }
            | Event::Cleared { .. }
            | Event::Verdict { .. }
            | Event::Impaired { .. }
            | Event::LockedOut { .. }
            | Event::Ordered { .. }
            | Event::Deadline { .. }
            | Event::Held { .. }
            | Event::ProbeChanged { .. }
            | Event::Blind { .. }
            | Event::RouteDiffers { .. } => {}
        }
    }
}

fn position(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}
