//! What of TCP itself is looked at: control bits, the checksum and the options of
//! a SYN.

use crate::{packet::Packet, parse::Segment};

/// The control bits of a segment (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgment number is valid.
    pub const ACK: u8 = 0x10;

    /// Whether any of `bits` is set.
    #[inline(always)]
    pub fn any(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    /// Whether all of `bits` are set.
    #[inline(always)]
    pub fn all(self, bits: u8) -> bool {
        self.0 & bits == bits
    }
}

const PROTOCOL_TCP: u32 = 6;
/// A TCP header has 5 to 15 words.
const MAX_HEADER_WORDS: usize = 15;
const MAX_OPTION_BYTES: usize = 40;

const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_MD5: u8 = 19;
const OPTION_AUTHENTICATION: u8 = 29;

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

/// Whether a SYN is one that the kernel owes an answer: the checksum is right, and
/// it has neither a FIN nor data nor a TCP MD5 (RFC 2385) or TCP-AO (RFC 5925)
/// option. Others are dropped silently, rightly so, and would look like a dead
/// service.
///
/// A SYN with data (RFC 7413) is answered too, but its checksum would cost a walk
/// over the data; it is left unjudged.
#[inline(always)]
pub fn syn_deserves_answer<P: Packet + ?Sized>(
    packet: &P,
    segment: &Segment,
    rule: ChecksumRule,
) -> bool {
    !segment.flags.any(Flags::FIN | Flags::RST)
        && segment.payload_length() == 0
        && checksum_is_right(packet, segment, rule)
        && !is_signed(packet, segment)
}

/// RFC 9293 section 3.1, by RFC 1071's sum, which may be taken over words of any
/// size and in either byte order. Only for segments without payload.
#[inline(always)]
fn checksum_is_right<P: Packet + ?Sized>(
    packet: &P,
    segment: &Segment,
    rule: ChecksumRule,
) -> bool {
    // Protocol and length, as the last words of the pseudo-header, in wire order.
    let mut pseudo = u64::from(PROTOCOL_TCP.to_be()) + u64::from(segment.tcp_header_length.to_be());
    pseudo += segment.source.sum() + segment.destination.sum();
    let mut header = 0u64;
    for word in 0..MAX_HEADER_WORDS {
        if word * 4 >= segment.tcp_header_length as usize {
            break;
        }
        match packet.read::<u32>(segment.tcp_offset + word * 4) {
            Some(value) => header += u64::from(value),
            None => return false,
        }
    }
    if fold(pseudo + header) == 0xffff {
        return true;
    }
    match rule {
        ChecksumRule::Full => false,
        ChecksumRule::FullOrPartial => packet
            .read::<u16>(segment.tcp_offset + 16)
            .is_some_and(|checksum| checksum == fold(pseudo)),
    }
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

/// Whether the options hold a signature that the kernel checks.
#[inline(always)]
fn is_signed<P: Packet + ?Sized>(packet: &P, segment: &Segment) -> bool {
    let length = segment.tcp_header_length.saturating_sub(20) as usize;
    let mut position = 0;
    for _ in 0..MAX_OPTION_BYTES {
        if position >= length {
            return false;
        }
        let Some([kind, size]) = packet.read::<[u8; 2]>(segment.tcp_offset + 20 + position) else {
            return false;
        };
        match kind {
            OPTION_END => return false,
            OPTION_NOP => position += 1,
            OPTION_MD5 | OPTION_AUTHENTICATION => return true,
            // A size below 2 cannot be; the kernel stops reading options there.
            _ if size < 2 => return false,
            _ => position += size as usize,
        }
    }
    false
}
