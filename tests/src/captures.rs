//! Capture files built by hand, byte by byte, as `packets` builds frames.

mod traffic;

pub use traffic::{Fate, Traffic};

/// `LINKTYPE_ETHERNET`.
pub const ETHERNET: u16 = 1;
/// `LINKTYPE_RAW`.
pub const RAW: u16 = 101;
/// `LINKTYPE_LINUX_SLL`.
pub const COOKED_V1: u16 = 113;
/// `LINKTYPE_LINUX_SLL2`.
pub const COOKED_V2: u16 = 276;

/// A captured packet: nanoseconds since 1970, and what was captured.
pub type Packet = (u64, Vec<u8>);

/// The unit of a file's timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 1,000 ns.
    Microseconds,
    /// 1 ns.
    Nanoseconds,
}

impl Unit {
    fn nanoseconds(self) -> u64 {
        match self {
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }
}

/// A file in libpcap's format, little-endian.
pub fn pcap(unit: Unit, link_type: u16, packets: &[Packet]) -> Vec<u8> {
    let magic = match unit {
        Unit::Microseconds => 0xa1b2_c3d4,
        Unit::Nanoseconds => 0xa1b2_3c4d,
    };
    let mut file = words(&[magic, 4 << 16 | 2, 0, 0, 262_144, u32::from(link_type)]);
    for packet in packets {
        file.extend(record(unit, packet));
    }
    file
}

/// What such a file has of one packet: a long one is written record by record.
pub fn record(unit: Unit, (time_ns, data): &Packet) -> Vec<u8> {
    let length = length(data);
    let mut record = words(&[
        word(time_ns / 1_000_000_000),
        word(time_ns % 1_000_000_000 / unit.nanoseconds()),
        length,
        length,
    ]);
    record.extend(data);
    record
}

/// A pcapng file of one section and one interface, little-endian.
pub fn pcapng(unit: Unit, link_type: u16, packets: &[Packet]) -> Vec<u8> {
    let resolution = match unit {
        Unit::Microseconds => 6,
        Unit::Nanoseconds => 9,
    };
    let section = words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]);
    // The option if_tsresol, one byte long, and the end of options.
    let interface = words(&[u32::from(link_type), 0, 1 << 16 | 9, resolution, 0]);
    let mut file = [block(0x0a0d_0d0a, &section), block(1, &interface)].concat();
    for (time_ns, data) in packets {
        let time = time_ns / unit.nanoseconds();
        let length = length(data);
        let head = words(&[
            0,
            word(time >> 32),
            word(time & 0xffff_ffff),
            length,
            length,
        ]);
        file.extend(block(6, &[head, data.clone()].concat()));
    }
    file
}

/// The Ethernet frame as a capture of this link type has it.
pub fn relinked(link_type: u16, frame: &[u8]) -> Vec<u8> {
    let (ethertype, rest) = (&frame[12..14], &frame[14..]);
    match link_type {
        RAW => rest.to_vec(),
        COOKED_V1 => [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], ethertype, rest].concat(),
        COOKED_V2 => {
            let header = [0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
            [ethertype, &header, rest].concat()
        }
        _ => frame.to_vec(),
    }
}

fn block(kind: u32, content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    content.resize(content.len().next_multiple_of(4), 0);
    let total = length(&content) + 12;
    [words(&[kind, total]), content, words(&[total])].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn word(value: u64) -> u32 {
    u32::try_from(value).expect("test captures are of this century")
}

fn length(data: &[u8]) -> u32 {
    u32::try_from(data.len()).expect("test packets are short")
}
