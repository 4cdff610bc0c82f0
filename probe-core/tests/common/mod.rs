//! A small world around the engine: a model of the kernel's cohort ring, probes that
//! answer as the scenario says, and a clock that the test turns.
#![expect(clippy::unwrap_used, reason = "a broken test world should panic")]
#![allow(dead_code, reason = "each test binary uses its own part of it")]

use std::{collections::BTreeMap, time::Duration};

use probe_common::{address::NETWORK_BUCKETS, cohort::BUCKETS, trial::Kind};
use probe_core::{
    Command, Config, Engine, Input, Level, Renumbering, Timestamp,
    command::{Cause, Event, Guard, Reason},
    config::{
        Application, Classify, Detect, Endpoint, Guards, LastSite, Mode, Prefix, PrefixId, Probe,
        ProbeKind, Protocol, Recover, Service, ServiceId, WithdrawWhen,
    },
    input::{
        Bucket, CohortReading, Evidence, ProbeFailure, ProbeResult, Reading, Sample, Sensor,
        ServiceReading, TrialReading,
    },
    status::{PrefixStatus, ServiceState},
};

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);
pub const WIDTH_SHIFT: u32 = 22;
/// What the daemon's tick would be.
pub const TICK: Duration = Duration::from_millis(2);

pub fn service(name: &str, address: &str) -> Service {
    let endpoint = Endpoint {
        address: address.parse().unwrap(),
        port: 443,
        protocol: Protocol::Tcp,
    };
    Service {
        name: name.into(),
        endpoint,
        application: Application::Any,
        detect: Detect {
            broken: 0.5,
            patience: Duration::ZERO,
            grey_patience: 5 * SECOND,
            deadline: 100 * MS,
            learns_deadline: false,
            arm_after: 200,
            settle: 60 * SECOND,
        },
        probe: Probe {
            kind: ProbeKind::Tcp {
                target: (endpoint.address, endpoint.port).into(),
            },
            source: None,
            interval: SECOND,
            timeout: SECOND,
            rise: 2,
            fall: 3,
        },
    }
}

/// So many services behind one IPv4 prefix, enforced, profile `fast`.
pub fn config(services: u8) -> Config {
    Config {
        mode: Mode::Enforce,
        false_alarm_period: Duration::from_hours(10 * 8766),
        classify: Classify::default(),
        guards: Guards::for_prefixes(1),
        recover: Recover {
            hold: 60 * SECOND,
            hold_max: 3600 * SECOND,
            canary: false,
        },
        services: (0..services)
            .map(|index| service(&format!("web{index}"), &format!("192.0.2.{}", 10 + index)))
            .collect(),
        prefixes: vec![Prefix {
            prefix: "192.0.2.0/24".parse().unwrap(),
            withdraw_when: WithdrawWhen::Any,
            services: (0..u32::from(services)).map(ServiceId).collect(),
            drain: 30 * SECOND,
            last_site: LastSite::Unwitnessed,
        }],
    }
}

pub fn http(config: &mut Config) {
    for service in &mut config.services {
        service.probe.kind = ProbeKind::Http {
            target: (service.endpoint.address, service.endpoint.port).into(),
            host: "www.example".into(),
            path: "/".into(),
            status: Some(200),
            body: None,
            tls: None,
        };
    }
}

/// Whether the trial of this number succeeds; the others are late, or where nothing
/// else is a failure, fail at once.
pub type Succeeds = fn(usize) -> bool;

/// The kernel's view of one service.
pub struct Kernel {
    judged: Kind,
    rings: BTreeMap<Kind, Vec<Bucket>>,
    verified: Vec<u32>,
    /// Trials of each kind that a connection brings, by network.
    begun: Vec<u32>,
    deadline: Duration,
    /// Accepted connections so far.
    connections: usize,
    /// All connections so far.
    attempts: usize,
    /// Most clients come from so few networks.
    pub few_networks: Option<usize>,
    /// With each connection, one of so many networks sends a request on a connection of
    /// long ago, which nobody answers.
    pub burning: Option<usize>,
    /// Kinds of trials that every accepted connection brings.
    others: BTreeMap<Kind, Succeeds>,
}

/// How a service treats its clients' connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepts,
    Refuses,
    Silent,
    /// The client takes its SYN back.
    Aborted,
    /// One in so many is refused.
    FailsOneIn(usize),
    /// One in so many is accepted, the others get no answer.
    ServesOneIn(usize),
    /// A SYN-ACK goes out, but the client never proves itself (a scan, a flood).
    AcceptsUnverified,
}

impl Kernel {
    fn new(deadline: Duration, initial: u32, judged: Kind) -> Self {
        let bucket = Bucket {
            started: initial,
            succeeded: initial,
            failed: 0,
            abandoned: 0,
        };
        Self {
            judged,
            rings: BTreeMap::from([(judged, vec![bucket; BUCKETS])]),
            verified: vec![initial; NETWORK_BUCKETS],
            begun: vec![initial; NETWORK_BUCKETS],
            deadline,
            connections: 0,
            attempts: 0,
            few_networks: None,
            burning: None,
            others: BTreeMap::new(),
        }
    }

    pub fn connection(&mut self, at: Timestamp, answer: Answer) {
        self.attempts += 1;
        let answer = match answer {
            Answer::FailsOneIn(count) if self.attempts.is_multiple_of(count) => Answer::Refuses,
            Answer::ServesOneIn(count) if !self.attempts.is_multiple_of(count) => Answer::Silent,
            Answer::FailsOneIn(_) | Answer::ServesOneIn(_) => Answer::Accepts,
            other => other,
        };
        self.trial(self.judged, at, answer);
        if let Some(few) = self.burning {
            let network = self.attempts % few;
            self.begun[network] = self.begun[network].wrapping_add(1);
            self.trial(Kind::Request, at, Answer::Silent);
        }
        match answer {
            Answer::Accepts | Answer::AcceptsUnverified => {
                let trial = self.connections;
                self.connections += 1;
                if answer == Answer::Accepts && self.judged == Kind::Connect {
                    let network = match self.few_networks {
                        Some(few) if !trial.is_multiple_of(10) => trial % few,
                        Some(_) | None => trial % NETWORK_BUCKETS,
                    };
                    for counts in [&mut self.verified, &mut self.begun] {
                        counts[network] = counts[network].wrapping_add(1);
                    }
                }
                for (kind, succeeds) in self.others.clone() {
                    let outcome = if succeeds(trial) {
                        Answer::Accepts
                    } else if kind.silence_is_success() {
                        Answer::Refuses
                    } else {
                        Answer::Silent
                    };
                    self.trial(kind, at, outcome);
                }
            }
            Answer::Refuses
            | Answer::Silent
            | Answer::Aborted
            | Answer::FailsOneIn(_)
            | Answer::ServesOneIn(_) => {}
        }
    }

    /// A SYN with a forged source: answered, and then nobody is there.
    fn forged(&mut self, at: Timestamp) {
        self.trial(self.judged, at, Answer::Accepts);
        if self.others.contains_key(&Kind::Handshake) {
            self.trial(Kind::Handshake, at, Answer::Silent);
        }
    }

    fn trial(&mut self, kind: Kind, at: Timestamp, answer: Answer) {
        let bucket = usize::try_from(at.as_nanos() >> WIDTH_SHIFT).unwrap() % BUCKETS;
        let ring = self
            .rings
            .entry(kind)
            .or_insert_with(|| vec![Bucket::default(); BUCKETS]);
        let bucket = &mut ring[bucket];
        let add = |counter: &mut u32| *counter = counter.wrapping_add(1);
        add(&mut bucket.started);
        match answer {
            Answer::Accepts | Answer::AcceptsUnverified => add(&mut bucket.succeeded),
            Answer::Refuses => add(&mut bucket.failed),
            Answer::Silent | Answer::FailsOneIn(_) | Answer::ServesOneIn(_) => {}
            Answer::Aborted => add(&mut bucket.abandoned),
        }
    }

    fn reading(&self, service: ServiceId) -> ServiceReading {
        ServiceReading {
            service,
            trials: self
                .rings
                .iter()
                .map(|(kind, buckets)| TrialReading {
                    kind: *kind,
                    ring: CohortReading {
                        width_shift: WIDTH_SHIFT,
                        deadline: self.deadline,
                        after_deadline: 0,
                        buckets: buckets.clone(),
                    },
                })
                .collect(),
            verified: self.verified.clone(),
            requests: self.begun.clone(),
            finishes: self.begun.clone(),
            servfails: vec![0; NETWORK_BUCKETS],
        }
    }
}

/// How a service treats probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeAnswer {
    Passes,
    Fails(ProbeFailure, Duration),
    /// One in so many is refused.
    FailsOneIn(u64),
}

impl ProbeAnswer {
    pub fn refused() -> Self {
        Self::Fails(ProbeFailure::Refused, Duration::ZERO)
    }

    pub fn timeout() -> Self {
        Self::Fails(ProbeFailure::Timeout, SECOND)
    }
}

/// One service and its clients.
pub struct Client {
    pub kernel: Kernel,
    pub answer: Answer,
    pub probe: ProbeAnswer,
    /// Connections per second.
    pub rate: u64,
    /// So many SYNs with forged sources come with each connection.
    pub flood: Option<u32>,
    connected: Timestamp,
    last_reading: Option<ServiceReading>,
}

impl Client {
    fn of(service: &Service, now: Timestamp) -> Self {
        Self {
            kernel: Kernel::new(
                service.detect.deadline,
                u32::MAX - 100,
                service.judged_kind(),
            ),
            answer: Answer::Accepts,
            probe: ProbeAnswer::Passes,
            rate: 1000,
            flood: None,
            connected: now,
            last_reading: None,
        }
    }
}

/// What the flow table holds whenever it is looked at.
pub fn sample() -> Sample {
    Sample {
        flows: 7,
        networks: 1,
        busiest: vec![("198.51.100.0/24".parse().unwrap(), 7)],
    }
}

/// The engine and the world around it.
pub struct World {
    pub config: Config,
    pub engine: Engine,
    pub now: Timestamp,
    pub clients: Vec<Client>,
    pub commands: Vec<(Timestamp, Command)>,
    /// Every input since the recorder was switched on.
    pub recorder: Option<Vec<(Timestamp, Input)>>,
    /// Time between two readings.
    pub tick: Duration,
    /// What the daemon says of the hooks when it is asked.
    pub sensor: Sensor,
    /// What stands in the table; clients come only while every prefix is announced.
    pub levels: Vec<Option<Level>>,
    /// Results on their way, in the order of their arrival.
    results: BTreeMap<(Timestamp, u64), ProbeResult>,
    sent: u64,
}

impl World {
    pub fn new(config: Config) -> Self {
        let now = Timestamp::from_nanos(5_000_000_000_123);
        let clients = config
            .services
            .iter()
            .map(|service| Client::of(service, now))
            .collect();
        let levels = vec![None; config.prefixes.len()];
        Self {
            engine: Engine::new(config.clone(), now),
            config,
            now,
            clients,
            commands: Vec::new(),
            sensor: Sensor::Attached,
            recorder: None,
            tick: TICK,
            levels,
            results: BTreeMap::new(),
            sent: 0,
        }
    }

    /// A world whose prefixes are adopted as announced, and whose services are armed
    /// and have learned for ten seconds.
    pub fn healthy(config: Config) -> Self {
        let prefixes = config.prefixes.len();
        let mut world = Self::new(config);
        for prefix in 0..prefixes {
            world.route(prefix, Level::Full);
        }
        world.run(10 * SECOND);
        let states: Vec<_> = world
            .engine
            .services()
            .iter()
            .map(|status| status.state)
            .collect();
        assert!(
            states.iter().all(|state| *state == ServiceState::Armed),
            "{states:?}"
        );
        assert_eq!(world.levels_set(), []);
        world
    }

    /// Another configuration is in force, for the engine and for everything around it.
    pub fn reconfigure(&mut self, config: Config) {
        let numbers = Renumbering::between(&self.config, &config);
        let (services, prefixes) = (config.services.len(), config.prefixes.len());
        self.clients = numbers
            .move_services(self.clients.drain(..), services)
            .into_iter()
            .zip(&config.services)
            .map(|(known, service)| known.unwrap_or_else(|| Client::of(service, self.now)))
            .collect();
        for (client, service) in self.clients.iter_mut().zip(&config.services) {
            client.kernel.deadline = service.detect.deadline;
        }
        self.levels = numbers
            .move_prefixes(self.levels.drain(..), prefixes)
            .into_iter()
            .map(Option::flatten)
            .collect();
        self.results = core::mem::take(&mut self.results)
            .into_iter()
            .filter_map(|(place, result)| {
                let service = numbers.service(result.service)?;
                Some((place, ProbeResult { service, ..result }))
            })
            .collect();
        self.config = config.clone();
        self.handle(Input::Configuration(Box::new(config)));
    }

    pub fn route(&mut self, prefix: usize, observed: Level) {
        self.levels[prefix] = Some(observed);
        self.handle(Input::Route {
            prefix: PrefixId(u32::try_from(prefix).unwrap()),
            observed,
        });
    }

    pub fn handle(&mut self, input: Input) {
        if let Some(recorder) = &mut self.recorder {
            recorder.push((self.now, input.clone()));
        }
        self.engine.handle(input, self.now);
        let mut routes = Vec::new();
        let mut asked_for_sensor = false;
        let mut collect = Vec::new();
        while let Some(command) = self.engine.next_command() {
            match &command {
                Command::Probe {
                    service,
                    burst,
                    count,
                    ..
                } => self.launch(*service, *burst, *count),
                Command::SetLevel { prefix, level, .. } => routes.push((*prefix, *level)),
                Command::CheckSensor => asked_for_sensor = true,
                Command::CollectEvidence { service, kind } => collect.push((*service, *kind)),
                Command::SetDeadline { .. } | Command::Record(_) => {}
            }
            self.commands.push((self.now, command));
        }
        for (service, kind) in collect {
            self.handle(Input::Evidence(Evidence {
                service,
                kind,
                sample: sample(),
            }));
        }
        if asked_for_sensor {
            self.handle(Input::Sensor(self.sensor.clone()));
        }
        for (prefix, level) in routes {
            self.route(usize::try_from(prefix.0).unwrap(), level);
        }
    }

    fn launch(&mut self, service: ServiceId, burst: u64, count: u32) {
        const PASSED: (Duration, Result<(), ProbeFailure>) = (Duration::from_micros(300), Ok(()));
        let answer = self.clients[usize::try_from(service.0).unwrap()]
            .probe
            .clone();
        for _ in 0..count {
            self.sent += 1;
            let (took, outcome) = match &answer {
                ProbeAnswer::FailsOneIn(count) if self.sent.is_multiple_of(*count) => {
                    (Duration::from_micros(300), Err(ProbeFailure::Refused))
                }
                ProbeAnswer::Passes | ProbeAnswer::FailsOneIn(_) => PASSED,
                ProbeAnswer::Fails(failure, took) => (*took, Err(failure.clone())),
            };
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

    /// Lets time pass: connections come evenly while the prefix is announced, maps
    /// are read every tick, probes answer.
    pub fn run(&mut self, time: Duration) {
        let end = self.now.after(time);
        while self.now < end {
            let tick = self.now.after(self.tick).min(end);
            self.answer_until(tick);
            self.now = tick;
            self.connect();
            self.read();
        }
    }

    /// Runs until the level of a prefix changes, for at most `time`.
    pub fn run_until_change(&mut self, time: Duration) -> Option<(Duration, Level, Reason)> {
        let begin = self.now;
        let before = self.levels_set().len();
        while self.now.since(begin) < time {
            self.run(self.tick);
            if let Some((at, _, level, reason)) = self.levels_set().get(before) {
                return Some((at.since(begin), *level, reason.clone()));
            }
        }
        None
    }

    /// Sleeps until `due` without reading the maps; probes answer.
    pub fn wake(&mut self, due: Timestamp) {
        self.answer_until(due);
        self.now = self.now.max(due);
        self.handle(Input::Wake);
    }

    fn answer_until(&mut self, until: Timestamp) {
        while let Some(entry) = self.results.first_entry()
            && entry.key().0 <= until
        {
            let ((at, _), result) = entry.remove_entry();
            self.now = self.now.max(at);
            self.handle(Input::Probe(result));
        }
    }

    fn connect(&mut self) {
        let announced = self
            .levels
            .iter()
            .all(|level| matches!(level, Some(Level::Full | Level::Degraded)));
        for client in &mut self.clients {
            let Some(nanos) = 1_000_000_000_u64.checked_div(client.rate) else {
                client.connected = self.now;
                continue;
            };
            let gap = Duration::from_nanos(nanos);
            while client.connected.after(gap) <= self.now {
                client.connected = client.connected.after(gap);
                if announced {
                    for _ in 0..client.flood.unwrap_or_default() {
                        client.kernel.forged(client.connected);
                    }
                    client.kernel.connection(client.connected, client.answer);
                }
            }
        }
    }

    pub fn read(&mut self) {
        let closely = self.engine.watched_closely();
        let mut reading = Reading::default();
        for (service, client) in (0..).map(ServiceId).zip(&mut self.clients) {
            let read = client.kernel.reading(service);
            if client.last_reading.as_ref() == Some(&read) && !closely.contains(&service) {
                reading.unchanged.push(service);
                continue;
            }
            client.last_reading = Some(read.clone());
            reading.services.push(read);
        }
        self.handle(Input::Reading(reading));
    }

    pub fn fail(&mut self, service: usize, answer: Answer, probe: ProbeAnswer) {
        self.clients[service].answer = answer;
        self.clients[service].probe = probe;
    }

    /// Every connection that is accepted from now on brings a trial of `kind`.
    pub fn kind(&mut self, service: usize, kind: Kind, succeeds: Succeeds) {
        self.clients[service].kernel.others.insert(kind, succeeds);
    }

    pub fn heal(&mut self, service: usize) {
        self.fail(service, Answer::Accepts, ProbeAnswer::Passes);
    }

    pub fn levels_set(&self) -> Vec<(Timestamp, PrefixId, Level, Reason)> {
        self.levels_set_from(0)
    }

    /// The level changes among the commands from this one on.
    pub fn levels_set_from(&self, first: usize) -> Vec<(Timestamp, PrefixId, Level, Reason)> {
        self.commands[first..]
            .iter()
            .filter_map(|(at, command)| match command {
                Command::SetLevel {
                    prefix,
                    level,
                    reason,
                } => Some((*at, *prefix, *level, (**reason).clone())),
                Command::Probe { .. }
                | Command::CheckSensor
                | Command::SetDeadline { .. }
                | Command::CollectEvidence { .. }
                | Command::Record(_) => None,
            })
            .collect()
    }

    pub fn causes(&self) -> Vec<(Level, Cause)> {
        self.levels_set()
            .into_iter()
            .map(|(_, _, level, reason)| (level, reason.cause))
            .collect()
    }

    pub fn events(&self) -> Vec<Event> {
        self.commands
            .iter()
            .filter_map(|(_, command)| match command {
                Command::Record(event) => Some(event.clone()),
                Command::Probe { .. }
                | Command::CheckSensor
                | Command::SetDeadline { .. }
                | Command::CollectEvidence { .. }
                | Command::SetLevel { .. } => None,
            })
            .collect()
    }

    pub fn holds(&self) -> Vec<Guard> {
        self.events()
            .into_iter()
            .filter_map(|event| match event {
                Event::Held { guard, .. } => Some(guard),
                Event::Armed { .. }
                | Event::Suspected { .. }
                | Event::Cleared { .. }
                | Event::Verdict { .. }
                | Event::ProbeChanged { .. }
                | Event::Blind { .. }
                | Event::Impaired { .. }
                | Event::LockedOut { .. }
                | Event::Deadline { .. }
                | Event::Ordered { .. }
                | Event::RouteDiffers { .. } => None,
            })
            .collect()
    }

    pub fn prefix(&self) -> PrefixStatus {
        self.engine.prefixes()[0].clone()
    }

    pub fn state(&self, service: usize) -> ServiceState {
        self.engine.services()[service].state
    }
}
