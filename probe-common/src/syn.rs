//! In flows a SYN, out flows whether the kernel owes it an answer: by its checksum,
//! its flags and its options.

use crate::{
    packet::Packet,
    parse::{Flags, Network, Segment},
};

const PROTOCOL_TCP: u32 = 6;
/// A TCP header has 5 to 15 words.
const MAX_HEADER_WORDS: usize = 15;
const FIRST_OPTION_WORD: usize = 5;
/// Kind and length of TCP MD5 (RFC 2385), and of TCP-AO (RFC 5925) with the MACs of
/// RFC 5926.
const SIGNATURES: [u16; 2] = [u16::from_be_bytes([19, 18]), u16::from_be_bytes([29, 16])];

/// Kind and length of a timestamp, and the bytes after them.
const TIMESTAMP: u16 = u16::from_be_bytes([8, 10]);
const TIMESTAMP_DATA: usize = 8;

/// How a checksum may look at this hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumRule {
    /// As on a wire.
    Full,
    /// Packets of a virtual link (veth, virtio) that never saw a wire may carry only
    /// the sum of the pseudo-header, for a later device to complete
    /// (`CHECKSUM_PARTIAL` in include/linux/skbuff.h).
    FullOrPartial,
}

/// Whether a SYN is one that the kernel owes an answer: the checksum is right, its
/// source can be answered, and it has neither a FIN nor data nor a TCP MD5 (RFC 2385)
/// or TCP-AO (RFC 5925) option. Others are dropped silently, rightly so, and would look like a dead
/// service.
///
/// A SYN with data (RFC 7413) is answered too, but its checksum would cost a walk
/// over the data; it is left unjudged.
#[inline(always)]
pub fn syn_deserves_answer<P: Packet + ?Sized>(
    packet: &P,
    network: &Network,
    segment: &Segment,
    rule: ChecksumRule,
) -> bool {
    !segment.flags.any(Flags::FIN | Flags::RST)
        && segment.payload_length == 0
        && !network.is_fragment
        && network.can_be_answered()
        && !is_signed(packet, network, segment)
        && checksum_is_right(packet, network, segment, rule)
}

/// RFC 9293 section 3.1. Only for segments without payload.
#[inline(always)]
fn checksum_is_right<P: Packet + ?Sized>(
    packet: &P,
    network: &Network,
    segment: &Segment,
    rule: ChecksumRule,
) -> bool {
    let Some(header) = packet.sum_header(network.transport_offset, segment.header_length) else {
        return false;
    };
    // Words as numbers; the sum of those in memory is the same but for the order of
    // its two bytes (RFC 1071 section 2 B).
    let pseudo = u64::from(PROTOCOL_TCP)
        + u64::from(segment.header_length)
        + network.source.sum()
        + network.destination.sum();
    let pseudo = u64::from(fold(pseudo).to_be());
    if fold(pseudo + header) == 0xffff {
        return true;
    }
    match rule {
        ChecksumRule::Full => false,
        ChecksumRule::FullOrPartial => segment.checksum == pseudo as u16,
    }
}

/// Whether the options hold a signature that the kernel checks, where senders put
/// it: at a multiple of two bytes.
///
/// This looks at every place, it does not walk from option to option: where a walk
/// goes depends on the data, and the verifier would follow every way it could take.
/// An option that is longer than the header counts too, since the kernel drops such a
/// SYN. What is in a timestamp does not: its numbers look like a signature once in a
/// minute or so.
#[inline(always)]
fn is_signed<P: Packet + ?Sized>(packet: &P, network: &Network, segment: &Segment) -> bool {
    for word in FIRST_OPTION_WORD..MAX_HEADER_WORDS {
        if word * 4 >= segment.header_length as usize {
            break;
        }
        let Some(pairs) = packet.read::<[u16; 2]>(network.transport_offset + word * 4) else {
            break;
        };
        for (half, pair) in pairs.map(u16::from_be).into_iter().enumerate() {
            let place = network.transport_offset + word * 4 + half * 2;
            if SIGNATURES.contains(&pair) && !is_in_timestamp(packet, place) {
                return true;
            }
        }
    }
    false
}

/// Whether a place in the options is inside a timestamp (RFC 7323 section 3.2), whose
/// kind and length are then among the eight bytes before it.
#[inline(always)]
fn is_in_timestamp<P: Packet + ?Sized>(packet: &P, place: usize) -> bool {
    packet
        .read::<[u16; TIMESTAMP_DATA / 2]>(place - TIMESTAMP_DATA)
        .is_some_and(|before| before.map(u16::from_be).contains(&TIMESTAMP))
}

/// Folds a sum of words into 16 bits (RFC 1071 section 2).
#[inline(always)]
fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}
