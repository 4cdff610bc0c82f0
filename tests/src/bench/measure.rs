//! How the cases are measured: every case once a round, by turns with the programs
//! that it is compared with.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use probe_common::parse::tunnel::Tunnels;

use super::{
    cases::{Around, Budget, Case, Flows, MANY_SERVICES, State, cases},
    sample::{Body, Devices, Hook},
    statistics::{median, spread},
    world::{CLIENT_PORT, FLOWS, Sampled, Setup, Speaks, Stream, World, inward},
};
use crate::{lab::netns::Namespace, packets::flags::ACK};

/// Samples of a program in a round, by turns with those that it is compared with. The
/// least counts: what a neighbour on the same hardware does only ever adds.
const SAMPLES: usize = 5;

/// So long after a flood, the next case finds what it left as fresh as the last one did.
const FLOOD_LASTS: Duration = Duration::from_millis(1_500);

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

/// The worlds of one number of services, and how far their streams are.
struct Worlds {
    established: World,
    sampled: World,
    handshakes: World,
    flood: World,
    dns: World,
    quic: World,
    tunnels: Option<World>,
    clients: Stream,
    half_open: Stream,
    flooding: Stream,
    flooded: Option<Instant>,
    exchanges: Stream,
}

impl Worlds {
    fn prepare(image: &[u8], services: u32, devices: &mut Devices) -> Result<Self> {
        let tcp = Setup::tcp(services);
        let mut load = |setup: Setup| World::load(image, &setup, &[Body::All], devices);
        let with = |speaks| Setup { speaks, ..tcp };
        let mut worlds = Self {
            established: load(tcp)?,
            sampled: load(Setup {
                sampled: Sampled::Everything,
                ..tcp
            })?,
            handshakes: load(tcp)?,
            flood: load(tcp)?,
            dns: load(with(Speaks::Dns))?,
            quic: load(with(Speaks::Quic))?,
            tunnels: if services == 1 {
                Some(load(Setup {
                    tunnels: Tunnels::all(),
                    ..tcp
                })?)
            } else {
                None
            },
            clients: Stream::clients(),
            half_open: Stream::clients(),
            flooding: Stream::flood(),
            flooded: None,
            exchanges: Stream::clients(),
        };
        worlds.handshakes.fill(&mut worlds.half_open)?;
        for world in worlds.calm() {
            world.establish()?;
        }
        Ok(worlds)
    }

    /// The worlds in which a million flows are established.
    fn calm(&mut self) -> Vec<&mut World> {
        [&mut self.established, &mut self.sampled, &mut self.flood]
            .into_iter()
            .chain(&mut self.tunnels)
            .collect()
    }

    /// What must have happened just now for the state to be what it is called.
    fn renew(&mut self, state: State) -> Result<()> {
        let lasts = self.flooded.is_some_and(|at| at.elapsed() < FLOOD_LASTS);
        if state == State::Flood && !lasts {
            self.flooded = Some(Instant::now());
            self.flood.fill(&mut self.flooding)?;
        }
        Ok(())
    }

    /// A sample of the case in nanoseconds.
    fn sample(&mut self, case: &Case) -> Result<f64> {
        let (world, stream) = match case.state {
            State::Established => (&mut self.established, &mut self.clients),
            State::Sampled => (&mut self.sampled, &mut self.clients),
            State::Handshakes => (&mut self.handshakes, &mut self.half_open),
            State::Flood => (&mut self.flood, &mut self.clients),
            State::Dns => (&mut self.dns, &mut self.exchanges),
            State::Quic => (&mut self.quic, &mut self.exchanges),
            State::Tunnels => (
                self.tunnels.as_mut().context("no world with tunnels")?,
                &mut self.clients,
            ),
        };
        let mut again = *stream;
        match case.flows {
            Flows::One => world.repeat(case.hook, case.body, &case.frame, case.runs),
            Flows::Million => {
                if let Around::AskBefore(frame) = &case.around {
                    world.vary(&mut again, Hook::Xdp, Body::All, frame, case.runs)?;
                }
                let took = world.vary(stream, case.hook, case.body, &case.frame, case.runs)?;
                if let Around::AnswerAfter(frame) = &case.around {
                    world.vary(&mut again, Hook::Tc, Body::All, frame, case.runs)?;
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
    fn sample(&mut self, case: &Case, body: Body, frame: &[u8]) -> Result<f64> {
        let Self { world, stream, .. } = self;
        match case.flows {
            Flows::One => world.repeat(case.hook, body, frame, case.runs),
            Flows::Million => world.vary(stream, case.hook, body, frame, case.runs),
        }
    }

    /// Nanoseconds of the empty program over the case's packet, and those of parsing a
    /// TCP segment above it.
    fn pair(&mut self, case: &Case) -> Result<Pair> {
        let segment = self.frame.clone();
        Ok(Pair {
            empty: self.sample(case, Body::Empty, &case.frame)?,
            empty_segment: self.sample(case, Body::Empty, &segment)?,
            parse_segment: self.sample(case, Body::Parse, &segment)?,
        })
    }
}

/// Samples of the baseline, the least of each so far.
#[derive(Clone, Copy)]
struct Pair {
    empty: f64,
    empty_segment: f64,
    parse_segment: f64,
}

impl Pair {
    fn least(self, other: Self) -> Self {
        Self {
            empty: self.empty.min(other.empty),
            empty_segment: self.empty_segment.min(other.empty_segment),
            parse_segment: self.parse_segment.min(other.parse_segment),
        }
    }
}

/// Pairs of devices for all XDP programs: two of each world, four of the baseline.
const DEVICE_PAIRS: usize = 15;

/// Measures every case, or those of these names, in each of so many rounds.
pub fn measure(image: &[u8], rounds: usize, names: &[String]) -> Result<Vec<Measurement>> {
    let namespace = Namespace::new("bench")?;
    let devices = Devices::make(&namespace, DEVICE_PAIRS)?;
    let (image, names) = (image.to_vec(), names.to_vec());
    namespace.inside(move || measure_inside(&image, rounds, &names, devices))?
}

fn measure_inside(
    image: &[u8],
    rounds: usize,
    names: &[String],
    mut devices: Devices,
) -> Result<Vec<Measurement>> {
    let mut sides = Vec::new();
    for services in [1, MANY_SERVICES] {
        let cases = cases(services, names)?;
        eprintln!("preparing a million flows, of {services} services");
        sides.push((Worlds::prepare(image, services, &mut devices)?, cases));
    }
    let mut calm: Vec<&mut World> = sides
        .iter_mut()
        .flat_map(|(worlds, _)| worlds.calm())
        .collect();
    World::settle(&mut calm)?;
    let mut baseline = Baseline {
        world: World::load(
            image,
            &Setup::tcp(1),
            &[Body::Empty, Body::Parse],
            &mut devices,
        )?,
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
                let (mut base, mut took) = (baseline.pair(case)?, f64::MAX);
                for _ in 0..SAMPLES {
                    base = base.least(baseline.pair(case)?);
                    took = took.min(match case.body {
                        Body::Empty | Body::Parse => {
                            baseline.sample(case, case.body, &case.frame)?
                        }
                        Body::All => worlds.sample(case)?,
                    });
                }
                let above = took - base.empty;
                measurement.above_empty.push(above);
                measurement
                    .ratios
                    .push(above / (base.parse_segment - base.empty_segment));
            }
        }
    }
    eprintln!();
    for (worlds, _) in &sides {
        for world in [&worlds.handshakes, &worlds.dns, &worlds.quic] {
            world.check_room()?;
        }
    }
    Ok(measurements)
}
