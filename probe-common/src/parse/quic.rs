//! QUIC packets with a long header: versions 1 (RFC 9000 section 17.2) and 2
//! (RFC 9369 section 3.2), and what is the same in all versions (RFC 8999).

use zerocopy::FromBytes;

use crate::packet::Packet;

const LONG_HEADER: u8 = 0x80;
const FIXED_BIT: u8 = 0x40;
const TYPE: u8 = 0x30;
const VERSION_NEGOTIATION: u32 = 0;
const VERSION_1: u32 = 1;
const VERSION_2: u32 = 0x6b33_43cf;
/// A server discards Initials in smaller datagrams (RFC 9000 section 14.1).
const MIN_INITIAL_DATAGRAM: u32 = 1200;
/// A client's first destination connection ID (RFC 9000 section 7.2), and any.
const MIN_FIRST_ID: u8 = 8;
const MAX_ID: u8 = 20;

/// The first packet of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quic {
    /// An Initial.
    Initial {
        /// A hash of the first bytes of the destination connection ID, if a server
        /// has to answer a client that starts with it.
        first_id: Option<u32>,
    },
    /// Retry.
    Retry,
    /// Version Negotiation.
    VersionNegotiation,
    /// Anything else.
    Other,
}

#[derive(FromBytes)]
#[repr(C)]
struct LongHeader {
    first: u8,
    version: [u8; 4],
    id_length: u8,
    id: [u8; 8],
}

/// What the datagram with this payload begins with.
#[inline(always)]
pub fn packet<P: Packet + ?Sized>(packet: &P, offset: usize, length: u32) -> Quic {
    let Some(start) = packet.read::<[u8; 2]>(offset) else {
        return Quic::Other;
    };
    if length < size_of::<LongHeader>() as u32 || start[0] & LONG_HEADER == 0 {
        return Quic::Other;
    }
    let Some(header) = packet.read::<LongHeader>(offset) else {
        return Quic::Other;
    };
    // The types moved by one from version 1 to version 2 (RFC 9369 section 3.2).
    let (initial, retry) = match u32::from_be_bytes(header.version) {
        VERSION_NEGOTIATION => return Quic::VersionNegotiation,
        VERSION_1 => (0x00, 0x30),
        VERSION_2 => (0x10, 0x00),
        _ => return Quic::Other,
    };
    let kind = header.first & TYPE;
    if kind == initial {
        // Who has agreed to it sends the fixed bit as it likes (RFC 9287 section 3.1);
        // any other receiver discards a packet without it.
        let answerable = header.first & FIXED_BIT != 0
            && length >= MIN_INITIAL_DATAGRAM
            && (MIN_FIRST_ID..=MAX_ID).contains(&header.id_length);
        let id = u64::from_le_bytes(header.id);
        Quic::Initial {
            first_id: answerable.then_some((id ^ id >> 32) as u32),
        }
    } else if kind == retry {
        Quic::Retry
    } else {
        Quic::Other
    }
}
