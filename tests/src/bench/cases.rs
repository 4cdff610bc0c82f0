//! The cases, one a row.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use probe_common::parse::tunnel::Tunnels;

use super::{
    sample::{Body, Hook, RUNS},
    world::{CLIENT_PORT, RESETTING_PORT, Speaks, ask, inward, outward, tell},
};
use crate::packets::{
    dns::{self, Message},
    encapsulate::{self, Carried},
    flags::{ACK, PSH, RST, SYN},
    quic::{self, Long},
};

/// The most services of a case.
pub const MANY_SERVICES: u32 = 4_000;
/// Runs of a sample of UDP exchanges: half of what their table has room for.
const EXCHANGES: u32 = 1 << 14;

/// What is in the maps when a case is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A million flows were established some seconds ago; none is sampled.
    Established,
    /// The same, and as many as there are cells for are sampled.
    Sampled,
    /// The handshake table is full of handshakes that had their answer.
    Handshakes,
    /// The same as `Established`, under a SYN flood that the service answers.
    Flood,
    /// Services that speak DNS; the table is full of queries that had their answer.
    Dns,
    /// Services that speak QUIC, likewise.
    Quic,
    /// As `Established`, on an interface that carries every kind of tunnel.
    Tunnels,
}

/// Which flows' packets a case sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flows {
    /// One flow's, again and again.
    One,
    /// Those of a million, each once before any comes again.
    Million,
}

/// What runs beside a sample over the same flows, so that the next sample finds the
/// tables in the same state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Around {
    /// Nothing: the sample leaves everything as it was.
    Nothing,
    /// The service answers the sample with this frame.
    AnswerAfter(Vec<u8>),
    /// This frame, which the sample answers, comes in first.
    AskBefore(Vec<u8>),
}

/// What a case may cost (docs/design.md).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// So many times what parsing costs.
    Parses(f64),
    /// So many times what `established` costs with as many flows and services.
    Established(f64),
}

/// A case.
pub struct Case {
    /// Its name; cases with other flows and services may share it.
    pub name: &'static str,
    /// Where the program is called from.
    pub hook: Hook,
    /// What the program does.
    pub body: Body,
    /// What is in the maps.
    pub state: State,
    /// Which flows' packets it sees.
    pub flows: Flows,
    /// How many services there are.
    pub services: u32,
    /// What runs beside a sample.
    pub around: Around,
    /// Runs of a sample.
    pub runs: u32,
    /// The packet.
    pub frame: Vec<u8>,
    /// What it may cost.
    pub budget: Option<Budget>,
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
            runs: RUNS,
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

    fn around(self, around: Around) -> Self {
        Self { around, ..self }
    }

    /// A UDP exchange: no more runs than its table has room for.
    fn exchange(self) -> Self {
        Self {
            runs: EXCHANGES,
            ..self
        }
    }
}

/// The cases with this many services; those of these names, if there are any.
///
/// # Errors
/// When there is no case of a name.
pub fn cases(services: u32, names: &[String]) -> Result<Vec<Case>> {
    if let Some(unknown) = names.iter().find(|name| !ORDER.contains(&name.as_str())) {
        bail!("there is no case {unknown}; there are {}", ORDER.join(", "));
    }

    let mut rows = control();
    for flows in [Flows::One, Flows::Million] {
        rows.extend(data(flows));
    }
    rows.extend(datagrams());
    if services == 1 {
        rows.extend(tunnels());
    }
    for row in &mut rows {
        row.services = services;
    }
    rows.retain(|row| names.is_empty() || names.iter().any(|name| name == row.name));
    rows.sort_by_key(|row| ORDER.iter().position(|name| *name == row.name));
    Ok(rows)
}

/// Cases of control segments, and of what is not TCP.
fn control() -> Vec<Case> {
    let syn = inward(CLIENT_PORT, SYN).build();
    let synack = outward(CLIENT_PORT, SYN | ACK).build();
    let mut arp = inward(CLIENT_PORT, ACK).build();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    vec![
        Case::new("non_ip", Flows::One, arp),
        Case::new("syn_new", Flows::Million, syn.clone())
            .during(State::Handshakes)
            .around(Around::AnswerAfter(synack.clone()))
            .at_most(Budget::Parses(40.0)),
        Case::new("egress_synack", Flows::Million, synack)
            .during(State::Handshakes)
            .around(Around::AskBefore(syn))
            .on_egress(),
    ]
}

/// Cases of connections that are there.
fn data(flows: Flows) -> Vec<Case> {
    use Budget::{Established, Parses};
    let segment = inward(CLIENT_PORT, ACK).build();
    let request = inward(CLIENT_PORT, ACK | PSH).payload(b"GET / HTTP/1.1\r\n\r\n");
    let answer = outward(CLIENT_PORT, ACK | PSH).payload(b"HTTP/1.1 200 OK\r\n\r\n");
    let mut elsewhere = segment.clone();
    elsewhere[36..38].copy_from_slice(&8080u16.to_be_bytes());
    let rst = inward(RESETTING_PORT, RST).build();
    vec![
        Case {
            body: Body::Parse,
            ..Case::new("parse", flows, segment.clone())
        },
        Case::new("non_service", flows, elsewhere).at_most(Parses(1.0)),
        Case::new("established", flows, segment.clone()).at_most(Parses(2.0)),
        Case::new("established_sampled", flows, request.build())
            .during(State::Sampled)
            .at_most(Parses(4.0)),
        Case::new("rst", flows, rst),
        Case::new("egress_data", flows, answer.build())
            .on_egress()
            .at_most(Parses(2.5)),
        Case::new("egress_data_sampled", flows, answer.build())
            .on_egress()
            .during(State::Sampled),
        Case::new("established_under_synflood", flows, segment)
            .during(State::Flood)
            .at_most(Established(3.0)),
    ]
}

/// Cases of UDP exchanges.
fn datagrams() -> Vec<Case> {
    const NAME: &str = "www.example.org";
    const ID: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
    let query = Message::query(1, NAME, dns::kind::A).edns(1232, &[]);
    let answer = Message::response(1, dns::rcode::NOERROR, NAME, dns::kind::A).record(
        dns::Section::Answer,
        dns::kind::A,
        &[192, 0, 2, 1],
    );
    let query = ask(Speaks::Dns, &query.build()).build();
    let answer = tell(Speaks::Dns, &answer.build()).build();
    let initial = |from: &[u8], to: &[u8]| {
        Long::new(quic::V1, quic::Kind::Initial, to, from)
            .padded(quic::INITIAL_DATAGRAM)
            .build()
    };
    let first = ask(Speaks::Quic, &initial(&[], &ID)).build();
    let reply = tell(Speaks::Quic, &initial(&ID, &[])).build();
    vec![
        Case::new("dns_query", Flows::Million, query.clone())
            .during(State::Dns)
            .around(Around::AnswerAfter(answer.clone()))
            .exchange()
            .at_most(Budget::Parses(30.0)),
        Case::new("dns_answer", Flows::Million, answer)
            .during(State::Dns)
            .around(Around::AskBefore(query))
            .exchange()
            .on_egress()
            .at_most(Budget::Parses(30.0)),
        Case::new("quic_initial", Flows::Million, first)
            .during(State::Quic)
            .around(Around::AnswerAfter(reply))
            .exchange(),
    ]
}

/// An established connection's segment in each kind of tunnel.
fn tunnels() -> Vec<Case> {
    let near = SocketAddr::from(([203, 0, 113, 1], 50_000));
    let far = |port: u16| SocketAddr::from(([203, 0, 113, 2], port));
    let (source, destination) = (near.ip(), far(0).ip());
    let inner = inward(CLIENT_PORT, ACK);
    let [fou, gue, vxlan, geneve] = Tunnels::PORTS.map(far);
    [
        ("no_tunnel", inner.clone()),
        ("ipip", encapsulate::ip(source, destination, &inner)),
        ("gre", encapsulate::gre(source, destination, &inner)),
        ("fou", encapsulate::fou(near, fou, &inner)),
        ("gue", encapsulate::gue(near, gue, &inner)),
        ("vxlan", encapsulate::vxlan(near, vxlan, 7, &inner)),
        (
            "geneve",
            encapsulate::geneve(near, geneve, 7, &[], Carried::ethernet(&inner)),
        ),
    ]
    .map(|(name, frame)| Case::new(name, Flows::One, frame.build()).during(State::Tunnels))
    .into()
}

/// The order of the table.
const ORDER: [&str; 21] = [
    "parse",
    "non_ip",
    "non_service",
    "established",
    "established_sampled",
    "rst",
    "egress_data",
    "egress_data_sampled",
    "syn_new",
    "egress_synack",
    "established_under_synflood",
    "dns_query",
    "dns_answer",
    "quic_initial",
    "no_tunnel",
    "ipip",
    "gre",
    "fou",
    "gue",
    "vxlan",
    "geneve",
];
