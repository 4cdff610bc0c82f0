//! The cases, one a row, and how each is measured.

use anyhow::{Context as _, Result};

use super::{
    sample::{Body, Devices, Hook, RUNS},
    statistics::{median, spread},
    world::{CLIENT_PORT, FLOWS, RESETTING_PORT, Stream, World, inward, outward},
};
use crate::{
    lab::netns::Namespace,
    packets::flags::{ACK, PSH, RST, SYN},
};

/// The most services of a case.
const MANY_SERVICES: u32 = 4_000;
/// Samples of a program in a round, by turns with those that it is compared with. The
/// least counts: what a neighbour on the same hardware does only ever adds.
const SAMPLES: usize = 5;

/// What is in the maps when a case is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A million flows were established some seconds ago.
    Established,
    /// The handshake table is full of handshakes that had their answer.
    Handshakes,
    /// The same as `Established`, under a SYN flood that the service answers.
    Flood,
}

/// Which flows' packets a case sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flows {
    /// One flow's, again and again.
    One,
    /// Those of a million, each once before any comes again.
    Million,
}

/// What runs beside a sample over the same flows, so that the next sample finds the
/// tables in the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    /// Nothing: the sample leaves everything as it was.
    Nothing,
    /// The service answers the SYNs of the sample.
    AnswerAfter,
    /// The SYNs that the sample answers come first.
    AskBefore,
}

/// What a case may cost (docs/design.md).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// So many times what parsing costs.
    Parses(f64),
    /// So many times what `established` costs with as many flows and services.
    Established(f64),
}

struct Case {
    name: &'static str,
    hook: Hook,
    body: Body,
    state: State,
    flows: Flows,
    services: u32,
    around: Around,
    frame: Vec<u8>,
    budget: Option<Budget>,
}

/// What was measured of a case.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// The case's name.
    pub name: &'static str,
    /// Where its program is called from.
    pub hook: Hook,
    /// How many flows it saw.
    pub flows: u32,
    /// How many services there were.
    pub services: u32,
    /// Nanoseconds of a packet above an empty program, a value a round.
    pub above_empty: Vec<f64>,
    /// Their ratios to the parse-only program in the same round.
    pub ratios: Vec<f64>,
    /// What it may cost.
    pub budget: Option<Budget>,
}

impl Measurement {
    /// The median of nanoseconds above an empty program.
    pub fn nanoseconds(&self) -> f64 {
        median(&self.above_empty)
    }

    /// The median of the ratios to parsing.
    pub fn ratio(&self) -> f64 {
        median(&self.ratios)
    }

    /// The interquartile range of the ratios.
    pub fn spread(&self) -> f64 {
        spread(&self.ratios)
    }
}

impl Case {
    /// A row of the table: XDP, all of Lapwing, with established flows.
    fn new(name: &'static str, flows: Flows, frame: Vec<u8>) -> Self {
        Self {
            name,
            hook: Hook::Xdp,
            body: Body::All,
            state: State::Established,
            flows,
            services: 1,
            around: Around::Nothing,
            frame,
            budget: None,
        }
    }

    fn at_most(self, budget: Budget) -> Self {
        Self {
            budget: Some(budget),
            ..self
        }
    }

    fn on_egress(self) -> Self {
        Self {
            hook: Hook::Tc,
            ..self
        }
    }

    fn during(self, state: State) -> Self {
        Self { state, ..self }
    }
}

/// The cases with this many services.
fn cases(services: u32) -> Vec<Case> {
    use Budget::{Established, Parses};
    use Flows::{Million, One};
    let segment = inward(CLIENT_PORT, ACK).build();
    let answer = outward(CLIENT_PORT, ACK | PSH).payload(b"HTTP/1.1 200 OK\r\n\r\n");
    let mut arp = segment.clone();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    let mut elsewhere = segment.clone();
    elsewhere[36..38].copy_from_slice(&8080u16.to_be_bytes());
    let rst = inward(RESETTING_PORT, RST).build();
    let syn = inward(CLIENT_PORT, SYN).build();
    let synack = outward(CLIENT_PORT, SYN | ACK).build();

    let mut rows = vec![
        Case::new("non_ip", One, arp),
        Case {
            around: Around::AnswerAfter,
            ..Case::new("syn_new", Million, syn)
                .during(State::Handshakes)
                .at_most(Parses(40.0))
        },
        Case {
            around: Around::AskBefore,
            ..Case::new("egress_synack", Million, synack)
                .during(State::Handshakes)
                .on_egress()
        },
    ];
    for flows in [One, Million] {
        rows.extend([
            Case {
                body: Body::Parse,
                ..Case::new("parse", flows, segment.clone())
            },
            Case::new("non_service", flows, elsewhere.clone()).at_most(Parses(1.0)),
            Case::new("established", flows, segment.clone()).at_most(Parses(2.0)),
            Case::new("rst", flows, rst.clone()),
            Case::new("egress_data", flows, answer.build())
                .on_egress()
                .at_most(Parses(2.5)),
            Case::new("established_under_synflood", flows, segment.clone())
                .during(State::Flood)
                .at_most(Established(3.0)),
        ]);
    }
    for row in &mut rows {
        row.services = services;
    }
    rows.sort_by_key(|row| ORDER.iter().position(|name| *name == row.name));
    rows
}

/// The order of the table.
const ORDER: [&str; 9] = [
    "parse",
    "non_ip",
    "non_service",
    "established",
    "rst",
    "egress_data",
    "syn_new",
    "egress_synack",
    "established_under_synflood",
];

/// The worlds of one number of services, and how far their streams are.
struct Worlds {
    established: World,
    handshakes: World,
    flood: World,
    clients: Stream,
    half_open: Stream,
    flooding: Stream,
}

impl Worlds {
    fn prepare(image: &[u8], services: u32, devices: &mut Devices) -> Result<Self> {
        let mut load = || World::load(image, services, &[Body::All], devices);
        let mut worlds = Self {
            established: load()?,
            handshakes: load()?,
            flood: load()?,
            clients: Stream::clients(),
            half_open: Stream::clients(),
            flooding: Stream::flood(),
        };
        worlds.established.establish()?;
        worlds.flood.establish()?;
        worlds.handshakes.fill(&mut worlds.half_open)?;
        Ok(worlds)
    }

    /// What must have happened just now for the state to be what it is called.
    fn renew(&mut self, state: State) -> Result<()> {
        match state {
            State::Established | State::Handshakes => Ok(()),
            // The flood lasts: its marks are never older than the samples.
            State::Flood => self.flood.fill(&mut self.flooding),
        }
    }

    /// A sample of the case in nanoseconds.
    fn sample(&mut self, case: &Case) -> Result<f64> {
        let (world, stream) = match case.state {
            State::Established => (&mut self.established, &mut self.clients),
            State::Handshakes => (&mut self.handshakes, &mut self.half_open),
            State::Flood => (&mut self.flood, &mut self.clients),
        };
        let mut again = *stream;
        match case.flows {
            Flows::One => world.repeat(case.hook, case.body, &case.frame, RUNS),
            Flows::Million => {
                if case.around == Around::AskBefore {
                    world.ask(&mut again)?;
                }
                let took = world.vary(stream, case.hook, case.body, &case.frame)?;
                if case.around == Around::AnswerAfter {
                    world.answer(&mut again)?;
                }
                Ok(took)
            }
        }
    }
}

/// The programs from whose cost all others are told.
struct Baseline {
    world: World,
    stream: Stream,
    frame: Vec<u8>,
}

impl Baseline {
    /// A sample of one of them, in nanoseconds, called in the case's way.
    fn sample(&mut self, case: &Case, body: Body) -> Result<f64> {
        match case.flows {
            Flows::One => self.world.repeat(case.hook, body, &self.frame, RUNS),
            Flows::Million => self
                .world
                .vary(&mut self.stream, case.hook, body, &self.frame),
        }
    }
}

/// Pairs of devices for all XDP programs: two of each world, four of the baseline.
const DEVICE_PAIRS: usize = 8;

/// Measures every case in each of so many rounds.
pub fn measure(image: &[u8], rounds: usize) -> Result<Vec<Measurement>> {
    let namespace = Namespace::new("bench")?;
    let devices = Devices::make(&namespace, DEVICE_PAIRS)?;
    let image = image.to_vec();
    namespace.inside(move || measure_inside(&image, rounds, devices))?
}

fn measure_inside(image: &[u8], rounds: usize, mut devices: Devices) -> Result<Vec<Measurement>> {
    eprintln!("preparing a million flows, with 1 and {MANY_SERVICES} services");
    let mut sides = Vec::new();
    for services in [1, MANY_SERVICES] {
        sides.push((
            Worlds::prepare(image, services, &mut devices)?,
            cases(services),
        ));
    }
    let mut calm: Vec<&mut World> = sides
        .iter_mut()
        .flat_map(|(worlds, _)| [&mut worlds.established, &mut worlds.flood])
        .collect();
    World::settle(&mut calm)?;
    let mut baseline = Baseline {
        world: World::load(image, 1, &[Body::Empty, Body::Parse], &mut devices)?,
        stream: Stream::clients(),
        frame: inward(CLIENT_PORT, ACK).build(),
    };

    let mut measurements: Vec<Measurement> = sides
        .iter()
        .flat_map(|(_, cases)| cases.iter().map(Measurement::of))
        .collect();
    for round in 1..=rounds {
        eprint!("\rround {round} of {rounds}");
        let mut into = measurements.iter_mut();
        for (worlds, cases) in &mut sides {
            for case in &*cases {
                let measurement = into.next().context("a measurement for each case")?;
                worlds.renew(case.state)?;
                let (mut empty, mut parse, mut took) = (f64::MAX, f64::MAX, f64::MAX);
                for _ in 0..SAMPLES {
                    empty = empty.min(baseline.sample(case, Body::Empty)?);
                    parse = parse.min(baseline.sample(case, Body::Parse)?);
                    took = took.min(match case.body {
                        Body::Empty | Body::Parse => baseline.sample(case, case.body)?,
                        Body::All => worlds.sample(case)?,
                    });
                }
                measurement.above_empty.push(took - empty);
                measurement.ratios.push((took - empty) / (parse - empty));
            }
        }
    }
    eprintln!();
    Ok(measurements)
}

impl Measurement {
    fn of(case: &Case) -> Self {
        Self {
            name: case.name,
            hook: case.hook,
            flows: match case.flows {
                Flows::One => 1,
                Flows::Million => FLOWS,
            },
            services: case.services,
            above_empty: Vec::new(),
            ratios: Vec::new(),
            budget: case.budget,
        }
    }
}
