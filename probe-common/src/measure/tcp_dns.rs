//! DNS over TCP (RFC 7766): messages that start a segment, with the two bytes of
//! their length before them.

use crate::{
    counters::RcodeClass,
    packet::Packet,
    parse::{Segment, dns::Message},
};

use super::{Flow, Tables};

/// Length field and the header's first eight bytes.
const START: u32 = 10;
const MIN_MESSAGE: u16 = 12;

#[inline(always)]
fn message<P: Packet + ?Sized>(packet: &P, segment: &Segment) -> Option<Message> {
    if segment.payload_length < START {
        return None;
    }
    let [length, id, flags, questions, answers] =
        packet.read_payload::<[u16; 5]>(segment.payload_offset)?;
    (u16::from_be(length) >= MIN_MESSAGE)
        .then(|| Message::from_words([id, flags, questions, answers]))
}

#[inline(always)]
pub fn segment_in<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    flow: &Flow<'_>,
    segment: &Segment,
) -> Option<()> {
    if message(packet, segment)?.is_response() {
        return Some(());
    }
    tables.count(flow.key.service, |counters| counters.dns_queries += 1)
}

#[inline(always)]
pub fn segment_out<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    flow: &Flow<'_>,
    segment: &Segment,
) -> Option<()> {
    let message = message(packet, segment)?;
    if !message.is_response() {
        return Some(());
    }
    let class = RcodeClass::index_of(message.rcode());
    tables.count(flow.key.service, |counters| {
        if let Some(count) = counters.dns_responses.get_mut(class) {
            *count += 1;
        }
    })
}
