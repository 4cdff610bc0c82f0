//! UDP (RFC 768).

use zerocopy::FromBytes;

use crate::{packet::Packet, skip::Skip};

use super::Network;

/// Length of the header.
pub const UDP_HEADER_LENGTH: usize = 8;

/// A UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Bytes of payload.
    pub payload_length: u32,
    /// Where the payload starts in the frame.
    pub payload_offset: usize,
}

#[derive(FromBytes)]
#[repr(C)]
struct Header {
    source_port: u16,
    destination_port: u16,
    length: u16,
    _checksum: u16,
}

/// The UDP datagram in a packet.
///
/// # Errors
/// When it is not all there, or its length contradicts the IP packet's.
#[inline(always)]
pub fn datagram<P: Packet + ?Sized>(packet: &P, network: &Network) -> Result<Datagram, Skip> {
    let offset = network.transport_offset;
    let header: Header = packet.read(offset).ok_or(Skip::Truncated)?;
    let length = u32::from(u16::from_be(header.length));
    // The length of the whole datagram, also in its first fragment and in a buffer
    // that is still to be segmented.
    if length < UDP_HEADER_LENGTH as u32 {
        return Err(Skip::Malformed);
    }
    if !network.is_fragment && length > network.ip_length.saturating_sub(network.header_length) {
        return Err(Skip::Malformed);
    }
    Ok(Datagram {
        source_port: u16::from_be(header.source_port),
        destination_port: u16::from_be(header.destination_port),
        payload_length: length - UDP_HEADER_LENGTH as u32,
        payload_offset: offset + UDP_HEADER_LENGTH,
    })
}
