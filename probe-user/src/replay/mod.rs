//! `lapwing replay`: a capture file flows in, the numbers that the programs would
//! have counted flow out, and what the core would have decided on them, when and why.
//!
//! ```text
//! file ─▶ capture ─▶ link ─▶ look, direction ─▶ measurement (kernel | host) ─▶ totals ────▶ report ─▶ text, JSON,
//!           │ times                               ▲             └ readings ─▶ judge ─▶ history ┘        page
//!           └────────▶ clock ─────────────────────┘                  stand_in ┘
//! ```
//!
//! What measures is the object itself, run on each packet with the capture's clock,
//! or the host build of the same code; what judges is the daemon's own core. So a
//! capture answers what Lapwing would have seen there, and two runs over one file
//! give the same text, byte for byte.

mod bins;
pub mod capture;
mod charts;
mod clock;
mod direction;
mod discovery;
#[cfg(test)]
mod frames;
mod happening;
mod history;
mod judge;
mod link;
mod look;
mod measurement;
mod page;
mod plan;
mod progress;
mod report;
pub mod services;
mod stand_in;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use probe_common::{parse::tunnel::Tunnels, skip::Skip};

use capture::Capture;
use clock::Clock;
use direction::{Directions, Way};
use discovery::{Discovery, Found};
use judge::Judge;
use link::Link;
use look::Looker;
use measurement::{Host, Kernel, LONGEST, Measurement, SHORTEST};
use plan::Plan;
pub use plan::Probes;
use progress::Progress;
use report::Replayed;
#[cfg(test)]
pub use report::Summary;
pub use report::{Chosen, Packets, Report, ServiceReport};
use services::{Service, tunnels};

use crate::config::Settings;

/// Most services of one replay: so many that each has at least 128 sample cells.
pub const MOST_SERVICES: usize = 1024;

/// What to replay, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The capture.
    pub file: PathBuf,
    /// By what it is judged. Services that it names are measured.
    pub settings: Settings,
    /// The services if it names none; found in the capture if there are none here either.
    pub services: Vec<Service>,
    /// When an unanswered trial is late at those services.
    pub deadline: Option<Duration>,
    /// What is known of the answers to probes.
    pub probes: Probes,
    /// Whether the host build measures, instead of the object in the kernel.
    pub host: bool,
}

/// Why nothing was replayed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error(transparent)]
    Capture(#[from] capture::Error),
    /// The measurement.
    #[error(transparent)]
    Measurement(#[from] measurement::Error),
    /// Nobody answers in the capture.
    #[error(
        "no service is found in {}: nobody in it answers a SYN or a datagram that is in it, too\nhelp: name the services with --service ADDR:PORT/PROTO",
        .0.display()
    )]
    NoService(PathBuf),
    /// More services than the tables have room for.
    #[error("{0} services are more than the {MOST_SERVICES} that can be measured at once")]
    TooManyServices(usize),
}

/// Replays a capture.
pub fn run(options: &Options) -> Result<Report, Error> {
    let mut warnings = Vec::new();
    let mut services = options.services.clone();
    services.sort_unstable();
    services.dedup();
    let chosen = if !options.settings.core.services.is_empty() {
        Chosen::Configured
    } else if !services.is_empty() {
        Chosen::Named
    } else {
        let Found {
            services: found,
            left_out,
        } = discover(&options.file)?;
        if found.is_empty() {
            return Err(Error::NoService(options.file.clone()));
        }
        if left_out > 0 {
            warnings.push(format!(
                "{left_out} more services answer in the capture; only the {MOST_SERVICES} that answer most are measured"
            ));
        }
        services = found;
        Chosen::Found
    };
    let settings = options.settings.clone();
    let plan = Plan::new(settings, &services, options.deadline, options.probes);
    if plan.specs.len() > MOST_SERVICES {
        return Err(Error::TooManyServices(plan.specs.len()));
    }
    let tunnels = tunnels(&plan.specs);
    let mut measurement: Box<dyn Measurement> = if options.host {
        Box::new(Host::new(&plan, tunnels))
    } else {
        Box::new(Kernel::load(&plan, tunnels)?)
    };
    let mut replay = Replay {
        looker: Looker::new(tunnels),
        directions: Directions::new(plan.specs.iter().map(|spec| spec.endpoint)),
        clock: Clock::new(),
        judge: Judge::new(&plan),
        packets: Packets::default(),
        other_links: BTreeMap::new(),
        too_short: 0,
    };
    let mut capture = Capture::open(&options.file)?;
    replay.packets(&mut capture, measurement.as_mut())?;
    let mut totals = measurement.totals();
    totals.skips[Skip::Truncated as usize] += replay.too_short;
    warnings.extend(replay.warnings(&options.file, &capture));
    let judgement = replay.judge.finish(measurement.as_ref());
    let found = Replayed {
        packets: replay.packets,
        begin_ns: replay.clock.first_ns(),
        span: replay.clock.span(),
        judgement,
        totals,
        warnings,
    };
    Ok(Report::new(options, chosen, plan, found))
}

/// The services in a capture, by a first pass over it.
fn discover(file: &Path) -> Result<Found, Error> {
    let mut capture = Capture::open(file)?;
    let mut discovery = Discovery::default();
    let looker = Looker::new(Tunnels::all());
    let mut progress = Progress::new("looking for services");
    let mut buffer = Vec::new();
    loop {
        progress.show(capture.progress());
        let Some(record) = capture.next_packet()? else {
            return Ok(discovery.found());
        };
        if let Some(link) = Link::of(record.link_type) {
            let frame = link.frame(record.data, &mut buffer);
            if let Ok(seen) = looker.look(frame) {
                discovery.look(frame, &seen);
            }
        }
    }
}

/// A replay under way.
struct Replay {
    looker: Looker,
    directions: Directions,
    clock: Clock,
    judge: Judge,
    packets: Packets,
    /// Packets of link types that cannot be replayed.
    other_links: BTreeMap<u16, u64>,
    /// Frames that no network carries; the kernel would not run a program on them.
    too_short: u64,
}

impl Replay {
    fn packets(
        &mut self,
        capture: &mut Capture,
        measurement: &mut dyn Measurement,
    ) -> Result<(), Error> {
        let mut progress = Progress::new("replaying");
        let mut buffer = Vec::new();
        loop {
            progress.show(capture.progress());
            let Some(record) = capture.next_packet()? else {
                return Ok(());
            };
            self.packets.read += 1;
            let now_ns = self.clock.advance(record.time_ns);
            self.judge.before_packet(now_ns, measurement);
            let Some(link) = Link::of(record.link_type) else {
                *self.other_links.entry(record.link_type).or_default() += 1;
                self.packets.other += 1;
                continue;
            };
            let frame = link.frame(record.data, &mut buffer);
            let frame = &frame[..frame.len().min(LONGEST)];
            measurement.set_now(now_ns);
            self.measure(frame, measurement)?;
        }
    }

    fn measure(
        &mut self,
        frame: &[u8],
        measurement: &mut dyn Measurement,
    ) -> Result<(), measurement::Error> {
        if frame.len() < SHORTEST {
            self.too_short += 1;
            self.packets.other += 1;
            return Ok(());
        }
        match self.directions.way(&self.looker.look(frame)) {
            Way::In => {
                self.packets.to_services += 1;
                measurement.ingress(frame)
            }
            Way::Out => {
                self.packets.from_services += 1;
                measurement.egress(frame)
            }
            Way::Both => {
                self.packets.between_services += 1;
                measurement.egress(frame)?;
                measurement.ingress(frame)
            }
            Way::Other => {
                self.packets.other += 1;
                measurement.ingress(frame)
            }
        }
    }

    /// What the numbers cannot tell.
    fn warnings(&self, file: &Path, capture: &Capture) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(damage) = capture.damage() {
            warnings.push(format!(
                "{} {damage}; what came before it is measured",
                file.display()
            ));
        }
        if capture.unreadable() > 0 {
            warnings.push(format!(
                "blocks of {} that contradict themselves and are left out: {}",
                file.display(),
                capture.unreadable()
            ));
        }
        for (link_type, count) in &self.other_links {
            warnings.push(format!(
                "packets of link type {link_type}, which cannot be replayed: {count}"
            ));
        }
        if self.clock.backwards() > 0 {
            warnings.push(format!(
                "packets with a time before that of the one before, taken to have come at the same time as it: {}",
                self.clock.backwards()
            ));
        }
        warnings
    }
}
