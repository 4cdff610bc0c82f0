//! The classic format (libpcap's savefile): a header of 24 bytes, then records of a
//! header and the captured bytes.

use pcap_parser::parse_pcap_header;

use super::{DamageKind, Error, Found, MAX_RECORD, Order, PacketAt, Source};

/// Where the fields of a record's header are.
const SECONDS_AT: usize = 0;
const FRACTION_AT: usize = 4;
const CAPTURED_LENGTH_AT: usize = 8;
/// Bytes of a record's header.
const HEADER: usize = 16;
/// ... in a variant of old Linux kernels, which tells the interface too.
const MODIFIED_HEADER: usize = 24;

/// What a file's header says.
pub struct Legacy {
    order: Order,
    link_type: u16,
    header: usize,
    /// Nanoseconds of a unit of the fraction of a second.
    unit_ns: u64,
}

impl Legacy {
    /// From the file's header, which was sniffed.
    pub fn new(header: &[u8]) -> Self {
        let (_, header) = parse_pcap_header(header).expect("`sniff` saw a whole header");
        // The upper bits tell of a frame check sequence, not of the link.
        let link_type = u32::from_ne_bytes(header.network.0.to_ne_bytes()) & 0xffff;
        Self {
            order: if header.is_bigendian() {
                Order::Big
            } else {
                Order::Little
            },
            link_type: u16::try_from(link_type).unwrap_or(u16::MAX),
            header: if header.is_modified_format() {
                MODIFIED_HEADER
            } else {
                HEADER
            },
            unit_ns: if header.is_nanosecond_precision() {
                1
            } else {
                1_000
            },
        }
    }

    /// The next packet.
    pub fn next(&mut self, source: &mut Source) -> Result<Found, Error> {
        source.begin();
        if !source.append(self.header)? {
            return Ok(if source.buffer.is_empty() {
                Found::End
            } else {
                Found::Damaged(DamageKind::Truncated)
            });
        }
        let captured = self.order.word(&source.buffer, CAPTURED_LENGTH_AT);
        let captured = usize::try_from(captured).unwrap_or(usize::MAX);
        if captured > MAX_RECORD {
            return Ok(Found::Damaged(DamageKind::Corrupt));
        }
        if !source.append(captured)? {
            return Ok(Found::Damaged(DamageKind::Truncated));
        }
        let seconds = self.order.word(&source.buffer, SECONDS_AT);
        let fraction = self.order.word(&source.buffer, FRACTION_AT);
        Ok(Found::Packet(PacketAt {
            time_ns: Some(u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit_ns),
            link_type: self.link_type,
            data: self.header..self.header + captured,
        }))
    }
}
