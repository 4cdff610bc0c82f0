//! TCP (RFC 9293).

use zerocopy::FromBytes;

use crate::{packet::Packet, skip::Skip};

use super::{Flags, Network};

/// A TCP segment and what of its surroundings is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number; means nothing without ACK.
    pub acknowledgment: u32,
    /// Control bits.
    pub flags: Flags,
    /// The window, not scaled.
    pub window: u16,
    /// The checksum field, in wire order.
    pub checksum: u16,
    /// Length of the TCP header in bytes: 20 to 60.
    pub header_length: u32,
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
    sequence: u32,
    acknowledgment: u32,
    data_offset: u8,
    flags: u8,
    window: u16,
    checksum: u16,
    _urgent: u16,
}

/// The TCP segment in a packet.
///
/// # Errors
/// When it is not all there.
#[inline(always)]
pub fn segment<P: Packet + ?Sized>(packet: &P, network: &Network) -> Result<Segment, Skip> {
    let offset = network.transport_offset;
    let header: Header = packet.read(offset).ok_or(Skip::Truncated)?;
    let header_length = u32::from(header.data_offset >> 4) * 4;
    let payload_at = network.header_length + header_length;
    if header_length < 20 || network.ip_length < payload_at {
        return Err(Skip::Malformed);
    }
    Ok(Segment {
        source_port: u16::from_be(header.source_port),
        destination_port: u16::from_be(header.destination_port),
        sequence: u32::from_be(header.sequence),
        acknowledgment: u32::from_be(header.acknowledgment),
        flags: Flags(header.flags),
        window: header.window,
        checksum: header.checksum,
        header_length,
        payload_length: network.ip_length - payload_at,
        payload_offset: offset + header_length as usize,
    })
}

impl Segment {
    /// The sequence number after this segment: SYN and FIN count as one byte each.
    #[inline(always)]
    pub fn end(&self) -> u32 {
        let control = u32::from(self.flags.any(Flags::SYN)) + u32::from(self.flags.any(Flags::FIN));
        self.sequence
            .wrapping_add(self.payload_length)
            .wrapping_add(control)
    }
}
