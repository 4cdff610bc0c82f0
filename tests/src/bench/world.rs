//! A loaded object, its services, and real packet sequences that bring its maps into
//! the state that a case needs.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::Array;
use probe_common::{
    counters::Counters, gate::generation_shift, parse::tunnel::Tunnels, service::SAMPLE_NONE,
    trial::Kind,
};
use probe_core::config::{Application, Endpoint, Protocol};
use probe_user::datapath::{
    ServiceSpec,
    object::{LoadFlags, Object},
};

use super::sample::{self, Body, Devices, Hook, RUNS};
use crate::packets::{
    Frame,
    flags::{ACK, SYN},
};

/// Flows that the varied programs know.
pub const FLOWS: u32 = 1 << 20;
/// Longer than a sample of SYNs and the sample of their SYN-ACKs together.
const DEADLINE: Duration = Duration::from_secs(2);
/// Batches of half-open handshakes that leave few marks of the gate unset.
const FLOOD_BATCHES: usize = 6;

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 0);
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The port of the one client whose packets are not varied.
pub const CLIENT_PORT: u16 = 40_000;
/// The port of the client that resets.
pub const RESETTING_PORT: u16 = 40_001;
const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 0);
const FLOODING_CLIENTS: Ipv4Addr = Ipv4Addr::new(11, 0, 0, 0);

const ISN: u32 = 100;
const ISS: u32 = 500;

/// A segment from the client.
pub fn inward(port: u16, flags: u8) -> Frame {
    let acknowledgment = if flags & ACK == 0 { 0 } else { ISS + 1 };
    let sequence = if flags & SYN == 0 { ISN + 1 } else { ISN };
    Frame::tcp(client(port), service(Speaks::Tcp), flags).numbers(sequence, acknowledgment)
}

/// A segment from the service.
pub fn outward(port: u16, flags: u8) -> Frame {
    let sequence = if flags & SYN == 0 { ISS + 1 } else { ISS };
    Frame::tcp(service(Speaks::Tcp), client(port), flags).numbers(sequence, ISN + 1)
}

/// A datagram from the client. Without a checksum, since addresses are rewritten.
pub fn ask(speaks: Speaks, payload: &[u8]) -> Frame {
    Frame::udp(client(CLIENT_PORT), service(speaks))
        .payload(payload)
        .zero_checksum()
}

/// A datagram from the service.
pub fn tell(speaks: Speaks, payload: &[u8]) -> Frame {
    Frame::udp(service(speaks), client(CLIENT_PORT))
        .payload(payload)
        .zero_checksum()
}

fn client(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(CLIENT), port)
}

fn service(speaks: Speaks) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(SERVICE), speaks.port())
}

/// What the services of a world speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Anything, over TCP.
    Tcp,
    /// DNS, over UDP.
    Dns,
    /// QUIC.
    Quic,
}

impl Speaks {
    fn port(self) -> u16 {
        match self {
            Self::Tcp => 80,
            Self::Dns => 53,
            Self::Quic => 443,
        }
    }

    fn protocol(self) -> Protocol {
        match self {
            Self::Tcp => Protocol::Tcp,
            Self::Dns | Self::Quic => Protocol::Udp,
        }
    }

    fn application(self) -> Application {
        match self {
            Self::Tcp => Application::Any,
            Self::Dns => Application::Dns,
            Self::Quic => Application::Quic,
        }
    }
}

/// Which connections are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// None.
    Nothing,
    /// As many as there are cells.
    Everything,
}

/// How a world is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many services there are.
    pub services: u32,
    /// What they speak.
    pub speaks: Speaks,
    /// Which connections are sampled.
    pub sampled: Sampled,
    /// Which tunnels the interface carries.
    pub tunnels: Tunnels,
}

impl Setup {
    /// TCP services, nothing sampled, no tunnels.
    pub fn tcp(services: u32) -> Self {
        Self {
            services,
            speaks: Speaks::Tcp,
            sampled: Sampled::Nothing,
            tunnels: Tunnels::default(),
        }
    }
}

/// `BPF_PROG_TEST_RUN` lets packets arrive on the loopback interface.
const LOOPBACK: u32 = 1;

/// Flows one after the other, in an order that no cache foresees.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    clients: Ipv4Addr,
    state: u32,
}

impl Stream {
    /// Clients of the service.
    pub const fn clients() -> Self {
        Self {
            clients: CLIENTS,
            state: 0,
        }
    }

    /// Others, who only send SYNs.
    pub const fn flood() -> Self {
        Self {
            clients: FLOODING_CLIENTS,
            state: 0,
        }
    }
}

/// A loaded object with so many services.
pub struct World {
    object: Object,
    services: u32,
    sampled: Sampled,
    /// How long a generation of the gate lasts.
    generation: Duration,
}

impl World {
    /// Loads the benchmark's object, and these of its programs.
    pub fn load(
        image: &[u8],
        setup: &Setup,
        bodies: &[Body],
        devices: &mut Devices,
    ) -> Result<Self> {
        let specs: Vec<ServiceSpec> = (0..setup.services)
            .map(|number| ServiceSpec {
                endpoint: Endpoint {
                    address: IpAddr::V4(Ipv4Addr::from(u32::from(SERVICE) + number)),
                    port: setup.speaks.port(),
                    protocol: setup.speaks.protocol(),
                },
                application: setup.speaks.application(),
                deadline: DEADLINE,
            })
            .collect();
        let flags = LoadFlags {
            tunnels: setup.tunnels,
            ..LoadFlags::default()
        };
        let mut object = Object::load(image, &specs, flags, None)?;
        object.set_tunnels(LOOPBACK, setup.tunnels.kinds);
        let mask = match setup.sampled {
            Sampled::Nothing => SAMPLE_NONE,
            Sampled::Everything => 0,
        };
        for service in 0..specs.len() {
            object.set_sample_mask(service, mask);
        }
        let programs = bodies.iter().flat_map(|body| {
            [Hook::Xdp, Hook::Tc]
                .into_iter()
                .flat_map(|hook| [false, true].map(|varied| sample::program(hook, *body, varied)))
        });
        sample::load_programs(object.ebpf_mut(), programs, devices)?;
        Ok(Self {
            object,
            services: setup.services,
            sampled: setup.sampled,
            generation: generation(&specs),
        })
    }

    /// Runs a program over one packet again and again.
    pub fn repeat(&mut self, hook: Hook, body: Body, frame: &[u8], runs: u32) -> Result<f64> {
        let name = sample::program(hook, body, false);
        sample::run(self.object.ebpf_mut(), name, frame, runs)
    }

    /// Runs a program over a packet of the stream's next flows, one run each.
    pub fn vary(
        &mut self,
        stream: &mut Stream,
        hook: Hook,
        body: Body,
        frame: &[u8],
        runs: u32,
    ) -> Result<f64> {
        let ebpf = self.object.ebpf_mut();
        let balance = balance(&inward(CLIENT_PORT, SYN).build());
        let mut sequence = Array::<_, [u32; 4]>::try_from(
            ebpf.map_mut("SEQUENCE")
                .context("the object has no map SEQUENCE")?,
        )?;
        let clients = u32::from(stream.clients);
        sequence.set(0, [stream.state, self.services, clients, balance], 0)?;
        let name = sample::program(hook, body, true);
        let took = sample::run(ebpf, name, frame, runs)?;
        let sequence = Array::<_, [u32; 4]>::try_from(
            ebpf.map("SEQUENCE")
                .context("the object has no map SEQUENCE")?,
        )?;
        [stream.state, ..] = sequence.get(&0, 0)?;
        Ok(took)
    }

    /// A million established flows, and the two that are not varied.
    pub fn establish(&mut self) -> Result<()> {
        // Before the others, while its sample cell is free.
        self.handshake(CLIENT_PORT)?;
        let mut stream = Stream::clients();
        let segment = inward(CLIENT_PORT, ACK).payload(b"data").build();
        for _ in 0..FLOWS / RUNS {
            self.handshakes(&mut stream)?;
            // On a busy machine they take longer than an idle flow keeps its cell.
            self.repeat(Hook::Xdp, Body::All, &segment, 1)?;
        }
        // After the others, which would take its place in the handshake table.
        self.handshake(RESETTING_PORT)?;
        let verified = self.count(|counters| counters.verified);
        // Sets of the handshake table overflow now and then, as they should; with one
        // hash key in a hundred, neighbouring clients are spread unevenly.
        ensure!(
            verified > u64::from(FLOWS) * 2 / 3,
            "only {verified} of {FLOWS} handshakes were verified"
        );
        if self.sampled == Sampled::Everything {
            let sampled = self.count(|counters| counters.sampled_segments_in);
            ensure!(
                sampled == u64::from(FLOWS / RUNS),
                "the flow that is to be sampled has lost its cell"
            );
        }
        Ok(())
    }

    /// Whether most trials that should have started found room.
    pub fn check_room(&self) -> Result<()> {
        let trials =
            self.count(|counters| counters.syn + counters.dns_queries + counters.quic_initials_in);
        let missed = self.count(|counters| counters.trials_without_room);
        ensure!(
            missed <= trials / 3,
            "{missed} of {trials} trials had no room in the table"
        );
        Ok(())
    }

    /// A counter, of all services together.
    fn count(&self, counter: impl Fn(&Counters) -> u64) -> u64 {
        self.object.counters().iter().map(counter).sum()
    }

    /// Lets the gate's marks for what was established so far grow old.
    pub fn settle(worlds: &mut [&mut Self]) -> Result<()> {
        let generation = worlds.iter().map(|world| world.generation).max();
        // Generations pass only as SYN-ACKs come.
        for port in [50_001, 50_002] {
            thread::sleep(generation.unwrap_or_default() + Duration::from_millis(10));
            for world in &mut *worlds {
                world.handshake(port)?;
            }
        }
        Ok(())
    }

    /// Fills the handshake table with handshakes that had their answer.
    pub fn fill(&mut self, stream: &mut Stream) -> Result<()> {
        for _ in 0..FLOOD_BATCHES {
            self.half_open(stream)?;
        }
        Ok(())
    }

    fn handshakes(&mut self, stream: &mut Stream) -> Result<()> {
        let mut again = *stream;
        self.half_open(stream)?;
        let ack = inward(CLIENT_PORT, ACK).build();
        self.vary(&mut again, Hook::Xdp, Body::All, &ack, RUNS)
            .map(drop)
    }

    fn half_open(&mut self, stream: &mut Stream) -> Result<()> {
        let mut again = *stream;
        self.ask(stream)?;
        self.answer(&mut again)
    }

    /// SYNs of the stream's next flows.
    fn ask(&mut self, stream: &mut Stream) -> Result<()> {
        let syn = inward(CLIENT_PORT, SYN).build();
        self.vary(stream, Hook::Xdp, Body::All, &syn, RUNS)
            .map(drop)
    }

    /// SYN-ACKs of the stream's next flows.
    fn answer(&mut self, stream: &mut Stream) -> Result<()> {
        let synack = outward(CLIENT_PORT, SYN | ACK).build();
        self.vary(stream, Hook::Tc, Body::All, &synack, RUNS)
            .map(drop)
    }

    fn handshake(&mut self, port: u16) -> Result<()> {
        for (hook, frame) in [
            (Hook::Xdp, inward(port, SYN)),
            (Hook::Tc, outward(port, SYN | ACK)),
            (Hook::Xdp, inward(port, ACK)),
        ] {
            self.repeat(hook, Body::All, &frame.build(), 1)?;
        }
        Ok(())
    }
}

/// How long a generation of the gate lasts with these services.
fn generation(services: &[ServiceSpec]) -> Duration {
    let longest = services
        .iter()
        .flat_map(|spec| Kind::TCP.iter().map(|kind| spec.deadline_of(*kind)))
        .max()
        .unwrap_or_default();
    let nanoseconds = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(1 << generation_shift(nanoseconds))
}

/// The sum of what the varied programs rewrite in a SYN: addresses, source port and
/// sequence number (RFC 1071).
fn balance(syn: &[u8]) -> u32 {
    let words = [&syn[26..36], &syn[38..42]].concat();
    let sum: u32 = words
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) + (sum >> 16)
}
