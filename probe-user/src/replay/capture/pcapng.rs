//! pcapng (draft-ietf-opsawg-pcapng): blocks. A section header tells the byte order,
//! interface descriptions tell link types and clocks, and packets name their
//! interface.

use pcap_parser::{
    InterfaceDescriptionBlock,
    pcapng::{parse_interfacedescriptionblock_be, parse_interfacedescriptionblock_le},
};

use super::{DamageKind, Error, Found, MAX_RECORD, Order, PacketAt, Source, sniff};

/// Type, length, and the first word of the content.
const START: usize = 12;
/// Type and the two lengths: a block without content.
const LEAST: usize = 12;
/// The second length, at the end.
const TRAILER: usize = 4;
/// What a section header has for its byte order, read in that order.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const INTERFACE: u32 = 1;

/// Where the fields of the packet blocks are, from the block's start.
const SIMPLE_DATA_AT: usize = 12;
const SIMPLE_ORIGINAL_AT: usize = 8;
const DATA_AT: usize = 28;
const INTERFACE_AT: usize = 8;
const TIME_AT: usize = 12;
const CAPTURED_AT: usize = 20;

/// Nothing was read of a section yet.
pub struct Sections {
    order: Order,
    interfaces: Vec<Interface>,
    unreadable: u64,
}

impl Default for Sections {
    fn default() -> Self {
        Self {
            order: Order::Little,
            interfaces: Vec::new(),
            unreadable: 0,
        }
    }
}

/// Where packets of a section came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interface {
    link_type: u16,
    /// Most bytes captured of a packet; 0 for no limit.
    snap_length: u32,
    clock: Clock,
}

/// How an interface's timestamps become nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// `if_tsresol`: a negative power of ten, or of two with the highest bit set.
    pub resolution: u8,
    /// `if_tsoffset`: seconds to add.
    pub offset_seconds: i64,
}

impl Clock {
    /// Nanoseconds since 1970; a time outside what 64 bits hold becomes the nearest.
    pub fn nanoseconds(self, timestamp: u64) -> u64 {
        const SECOND: i128 = 1_000_000_000;
        let exponent = u32::from(self.resolution & 0x7f);
        let scaled = i128::from(timestamp) * SECOND;
        let since = if self.resolution & 0x80 == 0 {
            10_i128
                .checked_pow(exponent)
                .map_or(0, |unit| scaled / unit)
        } else {
            scaled.checked_shr(exponent).unwrap_or(0)
        };
        let time = since + i128::from(self.offset_seconds) * SECOND;
        u64::try_from(time.max(0)).unwrap_or(u64::MAX)
    }
}

impl Sections {
    /// Blocks of which nothing could be made.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The next packet, and where its block begins.
    pub fn next(&mut self, source: &mut Source) -> Result<(Found, u64), Error> {
        loop {
            let offset = source.offset;
            if let Some(found) = self.read_block(source)? {
                return Ok((found, offset));
            }
        }
    }

    /// Reads one block; none if it holds no packet.
    fn read_block(&mut self, source: &mut Source) -> Result<Option<Found>, Error> {
        source.begin();
        if !source.append(START)? {
            return Ok(Some(if source.buffer.is_empty() {
                Found::End
            } else {
                Found::Damaged(DamageKind::Truncated)
            }));
        }
        if source.buffer.starts_with(&sniff::SECTION_HEADER) {
            match [Order::Little, Order::Big]
                .into_iter()
                .find(|order| order.word(&source.buffer, 8) == BYTE_ORDER)
            {
                Some(order) => self.order = order,
                None => return Ok(Some(Found::Damaged(DamageKind::Corrupt))),
            }
            self.interfaces.clear();
        }
        let length = self.order.word(&source.buffer, 4);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !(LEAST..=MAX_RECORD).contains(&length) {
            return Ok(Some(Found::Damaged(DamageKind::Corrupt)));
        }
        if !source.append(length - START)? {
            return Ok(Some(Found::Damaged(DamageKind::Truncated)));
        }
        if usize::try_from(self.order.word(&source.buffer, length - 4)) != Ok(length) {
            return Ok(Some(Found::Damaged(DamageKind::Corrupt)));
        }
        let packet = match self.order.word(&source.buffer, 0) {
            INTERFACE => {
                self.add_interface(&source.buffer);
                return Ok(None);
            }
            ENHANCED_PACKET if length >= DATA_AT + TRAILER => {
                let interface = self.order.word(&source.buffer, INTERFACE_AT);
                self.packet(&source.buffer, interface)
            }
            PACKET if length >= DATA_AT + TRAILER => {
                let interface = self.order.half(&source.buffer, INTERFACE_AT);
                self.packet(&source.buffer, u32::from(interface))
            }
            SIMPLE_PACKET if length >= SIMPLE_DATA_AT + TRAILER => self.simple(&source.buffer),
            PACKET | ENHANCED_PACKET | SIMPLE_PACKET => None,
            // Section headers (seen above), names, statistics, secrets, and whatever
            // may come: no packets.
            _ => return Ok(None),
        };
        if packet.is_none() {
            self.unreadable += 1;
        }
        Ok(packet.map(Found::Packet))
    }

    /// An interface that cannot be read keeps its number, so that those after it
    /// keep theirs; its packets are of a link type that nobody has.
    fn add_interface(&mut self, block: &[u8]) {
        let parsed = match self.order {
            Order::Little => parse_interfacedescriptionblock_le(block),
            Order::Big => parse_interfacedescriptionblock_be(block),
        };
        let interface = if let Ok((_, interface)) = parsed {
            self.interface(&interface)
        } else {
            self.unreadable += 1;
            Interface {
                link_type: u16::MAX,
                snap_length: 0,
                clock: Clock {
                    resolution: 6,
                    offset_seconds: 0,
                },
            }
        };
        self.interfaces.push(interface);
    }

    fn interface(&self, block: &InterfaceDescriptionBlock<'_>) -> Interface {
        Interface {
            link_type: u16::try_from(block.linktype.0).unwrap_or(u16::MAX),
            snap_length: block.snaplen,
            clock: Clock {
                resolution: block.if_tsresol,
                // The parser reads it as little-endian in every section.
                offset_seconds: match self.order {
                    Order::Little => block.if_tsoffset,
                    Order::Big => block.if_tsoffset.swap_bytes(),
                },
            },
        }
    }

    /// The packet of an enhanced packet block, or of the packet block of before 2009,
    /// which differs in the width of the interface's number alone.
    fn packet(&self, block: &[u8], interface: u32) -> Option<PacketAt> {
        let interface = self.interfaces.get(usize::try_from(interface).ok()?)?;
        let high = u64::from(self.order.word(block, TIME_AT));
        let low = u64::from(self.order.word(block, TIME_AT + 4));
        let captured = usize::try_from(self.order.word(block, CAPTURED_AT)).ok()?;
        let data = DATA_AT..DATA_AT.checked_add(captured)?;
        (data.end <= block.len() - TRAILER).then(|| PacketAt {
            time_ns: Some(interface.clock.nanoseconds(high << 32 | low)),
            link_type: interface.link_type,
            data,
        })
    }

    /// A simple packet is of the first interface, has no time, and says only how long
    /// it was on the wire.
    fn simple(&self, block: &[u8]) -> Option<PacketAt> {
        let interface = self.interfaces.first()?;
        let original = self.order.word(block, SIMPLE_ORIGINAL_AT);
        let limit = match interface.snap_length {
            0 => u32::MAX,
            limit => limit,
        };
        let room = block.len() - TRAILER - SIMPLE_DATA_AT;
        let captured = usize::try_from(original.min(limit)).ok()?.min(room);
        Some(PacketAt {
            time_ns: None,
            link_type: interface.link_type,
            data: SIMPLE_DATA_AT..SIMPLE_DATA_AT + captured,
        })
    }
}
