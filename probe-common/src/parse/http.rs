//! The status line of HTTP/1 (RFC 9112 section 4).

use crate::packet::Packet;

/// Shortest start of a response that holds its status: `HTTP/1.1 200`.
const LENGTH: u32 = 12;
const HTTP_1: u32 = u32::from_le_bytes(*b"HTTP");
const SLASH_1_DOT: u32 = u32::from_le_bytes(*b"/1.\0");

/// The class (1 to 5) of the status of a response that starts at `offset`.
#[inline(always)]
pub fn status_class<P: Packet + ?Sized>(packet: &P, offset: usize, length: u32) -> Option<u8> {
    if length < LENGTH {
        return None;
    }
    let [protocol, version, status] = packet.read_payload::<[u32; 3]>(offset)?.map(u32::from_le);
    let class = (status >> 8) as u8;
    // The last byte of `version` is the minor one.
    let is_response = protocol == HTTP_1
        && version & 0x00ff_ffff == SLASH_1_DOT
        && status & 0xff == u32::from(b' ');
    (is_response && (b'1'..=b'5').contains(&class)).then(|| class - b'0')
}
