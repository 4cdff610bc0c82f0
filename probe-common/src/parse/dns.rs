//! DNS messages (RFC 1035 section 4).

use zerocopy::FromBytes;

use crate::{packet::Packet, verifier::bounded};

use super::MAX_OFFSET;

/// Length of the header.
const HEADER_LENGTH: usize = 12;
/// The shortest question: the root's name, a type, a class.
const QUESTION_LENGTH: u32 = 5;
/// A name has at most 255 bytes (RFC 1035 section 2.3.4).
const MAX_NAME: u32 = 255;
const NAME_WORDS: usize = 64;
const TYPE_AND_CLASS: u32 = 4;
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TC: u16 = 0x0200;
const RCODE: u16 = 0x000f;

/// The header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The ID that a response takes from its query.
    pub id: u16,
    flags: u16,
    questions: u16,
    answers: u16,
}

#[derive(FromBytes)]
#[repr(C)]
struct Header {
    id: u16,
    flags: u16,
    questions: u16,
    answers: u16,
}

impl Message {
    /// From the first eight bytes of a message.
    #[inline(always)]
    pub fn from_words(words: [u16; 4]) -> Self {
        Self {
            id: u16::from_be(words[0]),
            flags: u16::from_be(words[1]),
            questions: u16::from_be(words[2]),
            answers: u16::from_be(words[3]),
        }
    }

    /// Whether it is a response.
    #[inline(always)]
    pub fn is_response(self) -> bool {
        self.flags & QR != 0
    }

    /// The response code, without the bits that EDNS adds.
    #[inline(always)]
    pub fn rcode(self) -> u8 {
        (self.flags & RCODE) as u8
    }

    /// Whether it is a query that a server has to answer: a standard query, whole,
    /// with one question and no answers (RFC 1035 section 4.1.1, RFC 9619).
    #[inline(always)]
    fn is_standard_query(self) -> bool {
        self.flags & (QR | OPCODE | TC) == 0 && self.questions == 1 && self.answers == 0
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dns {
    /// A query that deserves an answer.
    Query {
        /// The message's ID.
        id: u16,
        /// A hash of the name asked for.
        name_hash: u32,
    },
    /// A response.
    Response {
        /// The message's ID.
        id: u16,
        /// A hash of the name asked for; zero if it cannot be told.
        name_hash: u32,
        /// The response code.
        rcode: u8,
    },
    /// Neither.
    Malformed,
}

/// Reads the message in a datagram's payload.
#[inline(always)]
pub fn message<P: Packet + ?Sized>(packet: &P, offset: usize, length: u32) -> Dns {
    if length < HEADER_LENGTH as u32 {
        return Dns::Malformed;
    }
    let Some(Header {
        id,
        flags,
        questions,
        answers,
    }) = packet.read::<Header>(offset)
    else {
        return Dns::Malformed;
    };
    let message = Message::from_words([id, flags, questions, answers]);
    let name_hash = if message.questions == 1 && length >= HEADER_LENGTH as u32 + QUESTION_LENGTH {
        let room = length - HEADER_LENGTH as u32;
        name_hash(packet, offset + HEADER_LENGTH, room)
    } else {
        0
    };
    if message.is_response() {
        Dns::Response {
            id: message.id,
            name_hash,
            rcode: message.rcode(),
        }
    } else if message.is_standard_query() && name_hash != 0 {
        Dns::Query {
            id: message.id,
            name_hash,
        }
    } else {
        Dns::Malformed
    }
}

/// A hash of the name at `offset`, in whatever case it is written; zero if it is no
/// name, or if less than it, a type and a class find `room`.
///
/// A name ends with its first zero byte: labels have lengths of 1 to 63, and a zero
/// inside one, which the wire allows, only cuts the hash short, in query and
/// response alike. Word by word, as a question has four more bytes behind its name.
#[inline(always)]
fn name_hash<P: Packet + ?Sized>(packet: &P, offset: usize, room: u32) -> u32 {
    const LOW: u32 = 0x0101_0101;
    const HIGH: u32 = 0x8080_8080;
    const LOWER_CASE: u32 = 0x2020_2020;
    let mut hash = 0u64;
    for index in 0..NAME_WORDS {
        // Cut to size in every round: the compiler would count up from a negative
        // number, which the verifier does not take for an offset.
        let at = bounded(offset + index * 4, 2 * MAX_OFFSET + 1);
        let Some(word) = packet.read::<u32>(at) else {
            return 0;
        };
        let word = u32::from_le(word);
        if index == 0 && word & 0xc0 != 0 {
            // A pointer cannot come first, and longer labels do not exist.
            return 0;
        }
        // The lowest of these bits belongs to the first byte that is zero (Mycroft).
        let zero = word.wrapping_sub(LOW) & !word & HIGH;
        // All bytes below it; all four if there is none.
        let lowest = zero & zero.wrapping_neg();
        let below = (lowest >> 7).wrapping_sub(1);
        let kept = if zero == 0 { word } else { word & below };
        hash = (hash ^ u64::from(kept | LOWER_CASE)).wrapping_mul(MULTIPLIER);
        hash ^= hash >> 32;
        if zero != 0 {
            let place = (lowest >> 15 & 1) + (lowest >> 23 & 1) * 2 + (lowest >> 31) * 3;
            let length = index as u32 * 4 + place + 1;
            let is_whole = length <= MAX_NAME && length + TYPE_AND_CLASS <= room;
            return if is_whole { hash as u32 | 1 } else { 0 };
        }
    }
    0
}
