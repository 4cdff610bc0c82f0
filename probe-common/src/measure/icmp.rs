//! ICMP "unreachable" messages that the host sends about packets to its services.

use crate::{
    ends::Ends,
    packet::Packet,
    parse::{Network, icmp::undelivered},
    service::{Options, TCP},
    skip::Skip,
    state::State,
    trial::Outcome,
};

use super::{Direction, Flow, Measured, Tables, exchange};

#[inline(always)]
pub fn egress<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    state: &State,
    network: &Network,
) -> Result<Measured, Skip> {
    let Some(undelivered) = undelivered(packet, network)? else {
        return Err(Skip::NotTransport);
    };
    let mut ends = Ends::of(
        Direction::In,
        (undelivered.source, undelivered.source_port),
        (undelivered.destination, undelivered.destination_port),
        undelivered.protocol,
    );
    let service = state.services.find(&ends.local, ends.local_port_protocol);
    let Some(service) = service else {
        return Ok(Measured::Other);
    };
    tables
        .count(service.id, |counters| counters.unreachable_out += 1)
        .ok_or(Skip::NoTable)?;
    if undelivered.protocol != TCP && service.options().any(Options::DNS) {
        let Some(id) = packet.read::<[u8; 2]>(undelivered.rest_offset) else {
            // Too short to tell which query.
            return Ok(Measured::Service);
        };
        ends.client_port |= u32::from(u16::from_be_bytes(id)) << 16;
    }
    let flow = Flow::new(&state.flow_key, service, &ends);
    // A UDP query that nobody listens to has failed. A SYN that is answered like
    // this was rejected by a filter, which is no statement of the service.
    let (set, outcome) = if undelivered.protocol == TCP {
        (tables.connections(flow.hash), Outcome::Abandoned)
    } else {
        (tables.exchanges(flow.hash), Outcome::Failed)
    };
    let measured = set.and_then(|set| match set.find(&flow.key) {
        Some((entry, seen)) => exchange::fail(tables, &flow, entry, seen, outcome),
        None => Some(()),
    });
    measured.map(|()| Measured::Service).ok_or(Skip::NoTable)
}
