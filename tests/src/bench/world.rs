//! A loaded object, its services, and real packet sequences that bring its maps into
//! the state that a case needs.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::Array;
use probe_core::config::{Endpoint, Protocol};
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
/// A little more than a generation of the gate.
const GENERATION: Duration = Duration::from_millis(1_100);
/// Batches of half-open handshakes that leave few marks of the gate unset.
const FLOOD_BATCHES: usize = 6;

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 0);
const PORT: u16 = 80;
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The port of the one client whose segments are not varied.
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
    Frame::tcp(client(port), service(), flags).numbers(sequence, acknowledgment)
}

/// A segment from the service.
pub fn outward(port: u16, flags: u8) -> Frame {
    let sequence = if flags & SYN == 0 { ISS + 1 } else { ISS };
    Frame::tcp(service(), client(port), flags).numbers(sequence, ISN + 1)
}

fn client(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(CLIENT), port)
}

fn service() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(SERVICE), PORT)
}

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
}

impl World {
    /// Loads the benchmark's object, and these of its programs.
    pub fn load(
        image: &[u8],
        services: u32,
        bodies: &[Body],
        devices: &mut Devices,
    ) -> Result<Self> {
        let specs: Vec<ServiceSpec> = (0..services)
            .map(|number| ServiceSpec {
                endpoint: Endpoint {
                    address: IpAddr::V4(Ipv4Addr::from(u32::from(SERVICE) + number)),
                    port: PORT,
                    protocol: Protocol::Tcp,
                },
                deadline: DEADLINE,
            })
            .collect();
        let mut object = Object::load(image, &specs, LoadFlags::default(), None)?;
        let programs = bodies.iter().flat_map(|body| {
            [Hook::Xdp, Hook::Tc]
                .into_iter()
                .flat_map(|hook| [false, true].map(|varied| sample::program(hook, *body, varied)))
        });
        sample::load_programs(object.ebpf_mut(), programs, devices)?;
        Ok(Self { object, services })
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
        let took = sample::run(ebpf, name, frame, RUNS)?;
        let sequence = Array::<_, [u32; 4]>::try_from(
            ebpf.map("SEQUENCE")
                .context("the object has no map SEQUENCE")?,
        )?;
        [stream.state, ..] = sequence.get(&0, 0)?;
        Ok(took)
    }

    /// A million established flows, and the two that are not varied.
    pub fn establish(&mut self) -> Result<()> {
        let mut stream = Stream::clients();
        for _ in 0..FLOWS / RUNS {
            self.handshakes(&mut stream)?;
        }
        for port in [CLIENT_PORT, RESETTING_PORT] {
            self.handshake(port)?;
        }
        let verified: u64 = self
            .object
            .counters()?
            .iter()
            .map(|counts| counts.verified)
            .sum();
        // Sets of the handshake table overflow now and then, as they should.
        ensure!(
            verified > u64::from(FLOWS) * 9 / 10,
            "only {verified} of {FLOWS} handshakes were verified"
        );
        Ok(())
    }

    /// Lets the gate's marks for what was established so far grow old.
    pub fn settle(worlds: &mut [&mut Self]) -> Result<()> {
        // Generations pass only as SYN-ACKs come.
        for port in [50_001, 50_002] {
            thread::sleep(GENERATION);
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
        self.vary(&mut again, Hook::Xdp, Body::All, &ack).map(drop)
    }

    fn half_open(&mut self, stream: &mut Stream) -> Result<()> {
        let mut again = *stream;
        self.ask(stream)?;
        self.answer(&mut again)
    }

    /// SYNs of the stream's next flows.
    pub fn ask(&mut self, stream: &mut Stream) -> Result<()> {
        let syn = inward(CLIENT_PORT, SYN).build();
        self.vary(stream, Hook::Xdp, Body::All, &syn).map(drop)
    }

    /// SYN-ACKs of the stream's next flows.
    pub fn answer(&mut self, stream: &mut Stream) -> Result<()> {
        let synack = outward(CLIENT_PORT, SYN | ACK).build();
        self.vary(stream, Hook::Tc, Body::All, &synack).map(drop)
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
