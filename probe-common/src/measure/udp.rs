//! UDP datagrams of services: counted, and passed on to what they may mean.

use crate::{
    counters::RcodeClass,
    ends::Ends,
    packet::Packet,
    parse::{
        self, Datagram, Network, UDP_HEADER_LENGTH,
        dns::{self, Dns},
        quic::{self, Quic},
    },
    service::{Options, UDP},
    skip::Skip,
    state::State,
    trial::Kind,
};

use super::{
    Direction, Flow, Measured, Tables,
    exchange::{self, Answer, Query},
    packets, trials, wire_bytes,
};

#[inline(always)]
pub fn ingress<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    state: &State,
    network: &Network,
) -> Result<Measured, Skip> {
    let datagram = parse::datagram(packet, network)?;
    let mut ends = Ends::of(
        Direction::In,
        (network.source, datagram.source_port),
        (network.destination, datagram.destination_port),
        UDP,
    );
    let Some(service) = state.services.find(&ends.local, ends.local_port_protocol) else {
        return Ok(Measured::Other);
    };
    let options = service.options();
    let query = if network.is_fragment {
        // The kernel may never see the rest of it.
        None
    } else if options.any(Options::DNS) {
        dns_query(packet, &datagram, &mut ends)
    } else if options.any(Options::QUIC) {
        quic_query(packet, &datagram)
    } else {
        Some(Query::plain())
    };
    tables
        .count_traffic(service.id, |traffic| {
            traffic.packets_in += packets(tables);
            traffic.bytes_in += wire_bytes(tables, network, UDP_HEADER_LENGTH as u32);
        })
        .ok_or(Skip::NoTable)?;
    if options.any(Options::DNS | Options::QUIC) {
        tables
            .count(service.id, |counters| {
                if options.any(Options::DNS) {
                    counters.dns_queries += u64::from(query.is_some());
                    counters.dns_malformed += u64::from(query.is_none());
                } else {
                    counters.quic_initials_in += u64::from(query.is_some());
                }
            })
            .ok_or(Skip::NoTable)?;
    }
    let Some(query) = query else {
        return Ok(Measured::Service);
    };
    // RFC 768: source port zero says that no reply is expected.
    if !query.deserves_answer || datagram.source_port == 0 || !network.can_be_answered() {
        return Ok(Measured::Service);
    }
    let flow = Flow::new(&state.flow_key, service, &ends);
    exchange::begin(tables, &flow, &query)
        .map(|()| Measured::Service)
        .ok_or(Skip::NoTable)
}

#[inline(always)]
pub fn egress<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    state: &State,
    network: &Network,
) -> Result<Measured, Skip> {
    let datagram = parse::datagram(packet, network)?;
    let mut ends = Ends::of(
        Direction::Out,
        (network.source, datagram.source_port),
        (network.destination, datagram.destination_port),
        UDP,
    );
    let Some(service) = state.services.find(&ends.local, ends.local_port_protocol) else {
        return Ok(Measured::Other);
    };
    let options = service.options();
    let mut answer = Answer::plain();
    let mut rcode = None;
    let mut is_answer = true;
    let mut quic = Quic::Other;
    if options.any(Options::DNS) {
        if let Dns::Response {
            id,
            name_hash,
            rcode: code,
        } = dns::message(packet, datagram.payload_offset, datagram.payload_length)
        {
            ends.client_port |= u32::from(id) << 16;
            answer.to = Some(name_hash).filter(|hash| *hash != 0);
            rcode = Some((code, name_hash));
        } else {
            is_answer = false;
        }
    } else if options.any(Options::QUIC) {
        quic = quic::packet(packet, datagram.payload_offset, datagram.payload_length);
        answer.asks_again = matches!(quic, Quic::Retry | Quic::VersionNegotiation);
    }
    tables
        .count_traffic(service.id, |traffic| {
            traffic.packets_out += packets(tables);
            traffic.bytes_out += wire_bytes(tables, network, UDP_HEADER_LENGTH as u32);
        })
        .ok_or(Skip::NoTable)?;
    if options.any(Options::DNS | Options::QUIC) {
        tables
            .count(service.id, |counters| {
                match quic {
                    Quic::Initial { .. } => counters.quic_initials_out += 1,
                    Quic::Retry => counters.quic_retries += 1,
                    Quic::VersionNegotiation => counters.quic_version_negotiations += 1,
                    Quic::Other => {}
                }
                if let Some((code, _)) = rcode
                    && let Some(count) = counters.dns_responses.get_mut(RcodeClass::index_of(code))
                {
                    *count += 1;
                }
            })
            .ok_or(Skip::NoTable)?;
    }
    let flow = Flow::new(&state.flow_key, service, &ends);
    // Of QUIC, only the first datagrams of a connection.
    let measured = if !is_answer || options.any(Options::QUIC) && !state.gate.is_open(flow.hash) {
        Some(())
    } else {
        let resolved = rcode.map_or(Some(()), |(code, name_hash)| {
            resolve(tables, &flow, code, name_hash)
        });
        resolved.and_then(|()| exchange::end(tables, &flow, &answer))
    };
    measured.map(|()| Measured::Service).ok_or(Skip::NoTable)
}

/// The query in a datagram, whose ID goes above the client's port.
#[inline(always)]
fn dns_query<P: Packet + ?Sized>(
    packet: &P,
    datagram: &Datagram,
    ends: &mut Ends,
) -> Option<Query> {
    match dns::message(packet, datagram.payload_offset, datagram.payload_length) {
        Dns::Query { id, name_hash } => {
            ends.client_port |= u32::from(id) << 16;
            Some(Query {
                about: name_hash,
                ..Query::plain()
            })
        }
        Dns::Response { .. } | Dns::Malformed => None,
    }
}

#[inline(always)]
fn quic_query<P: Packet + ?Sized>(packet: &P, datagram: &Datagram) -> Option<Query> {
    match quic::packet(packet, datagram.payload_offset, datagram.payload_length) {
        Quic::Initial { first_id } => Some(Query {
            kind: Kind::Quic,
            about: first_id.unwrap_or_default(),
            deserves_answer: first_id.is_some(),
        }),
        Quic::Retry | Quic::VersionNegotiation | Quic::Other => None,
    }
}

const SERVFAIL: u8 = RcodeClass::ServFail as u8;

/// The trial `resolve`.
#[inline(always)]
fn resolve<T: Tables>(tables: &T, flow: &Flow<'_>, rcode: u8, name_hash: u32) -> Option<()> {
    if rcode == SERVFAIL {
        tables.add_servfail(flow.key.service, (name_hash >> 26) as usize);
    }
    trials::judge(
        tables,
        &flow.service,
        Kind::Resolve,
        tables.now_ns(),
        rcode != SERVFAIL,
    )
}
