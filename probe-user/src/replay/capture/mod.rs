//! Capture files. In flow the bytes of a pcap or pcapng file; out flow its packets in
//! the file's order, each with its time and link type, and where the file stopped
//! making sense, if it did.
//!
//! The format is told by the first bytes, since names lie. Records are framed here,
//! one at a time in a buffer that is used again, so that a capture of any size needs
//! little memory and a truncated one has an exact place where it ends. Headers with
//! options are parsed by `pcap_parser`.

mod legacy;
mod pcapng;
mod sniff;

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use legacy::Legacy;
use pcapng::Sections;
use sniff::Format;

/// Longest record that is believed. Snapshot lengths end at 256 KiB; longer records
/// are a sign of damage, and reading on would only find garbage.
const MAX_RECORD: usize = 16 << 20;
/// How much is read at once.
const READ_AHEAD: usize = 256 << 10;

/// One captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Nanoseconds since 1970; none where the format has no time (pcapng's simple
    /// packets).
    pub time_ns: Option<u64>,
    /// What the data begins with: a `LINKTYPE_` value.
    pub link_type: u16,
    /// The captured bytes; fewer than were on the wire if the capture cut them.
    pub data: &'a [u8],
}

/// Why the rest of a file was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong.
    pub kind: DamageKind,
    /// The number of the packet (from 1) that could not be read.
    pub packet: u64,
    /// Where its record begins in the file.
    pub offset: u64,
}

/// How a file can be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// It ends within a record.
    Truncated,
    /// A record's header cannot be right.
    Corrupt,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            packet,
            offset,
        } = self;
        let what = match kind {
            DamageKind::Truncated => "is truncated: it ends within",
            DamageKind::Corrupt => "is damaged: nothing can be made of",
        };
        write!(f, "{what} packet {packet}, which begins at byte {offset}")
    }
}

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is something else.
    #[error(
        "{} is not a pcap or pcapng file: it looks like {looks_like}",
        path.display()
    )]
    NotACapture {
        /// Which file.
        path: PathBuf,
        /// What it looks like, with a remedy where there is one.
        looks_like: String,
    },
}

/// A capture that is being read.
pub struct Capture {
    source: Source,
    format: Reader,
    packets: u64,
    damage: Option<Damage>,
}

enum Reader {
    Legacy(Legacy),
    Sections(Sections),
}

/// What a format's reader found.
enum Found {
    /// A packet; its data lies in the source's buffer.
    Packet(PacketAt),
    /// The end of the file, where a record ends.
    End,
    /// The rest makes no sense.
    Damaged(DamageKind),
}

/// A packet in the source's buffer.
struct PacketAt {
    time_ns: Option<u64>,
    link_type: u16,
    data: std::ops::Range<usize>,
}

impl Capture {
    /// Opens a capture.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut source = Source {
            reader: BufReader::with_capacity(READ_AHEAD, file),
            path: path.to_owned(),
            length,
            offset: 0,
            buffer: Vec::new(),
        };
        source.append(sniff::LENGTH)?;
        let format = match sniff::format(&source.buffer) {
            Ok(Format::Legacy) => Reader::Legacy(Legacy::new(&source.buffer)),
            Ok(Format::Sections) => {
                // The first block is read like any other.
                source.rewind();
                Reader::Sections(Sections::default())
            }
            Err(looks_like) => {
                return Err(Error::NotACapture {
                    path: path.to_owned(),
                    looks_like,
                });
            }
        };
        Ok(Self {
            source,
            format,
            packets: 0,
            damage: None,
        })
    }

    /// The next packet; none at the end, or where the file is damaged.
    pub fn next_packet(&mut self) -> Result<Option<Record<'_>>, Error> {
        if self.damage.is_some() {
            return Ok(None);
        }
        let (found, offset) = match &mut self.format {
            Reader::Legacy(legacy) => {
                let offset = self.source.offset;
                (legacy.next(&mut self.source)?, offset)
            }
            Reader::Sections(sections) => sections.next(&mut self.source)?,
        };
        match found {
            Found::Packet(packet) => {
                self.packets += 1;
                Ok(Some(Record {
                    time_ns: packet.time_ns,
                    link_type: packet.link_type,
                    data: &self.source.buffer[packet.data],
                }))
            }
            Found::End => Ok(None),
            Found::Damaged(kind) => {
                self.damage = Some(Damage {
                    kind,
                    packet: self.packets + 1,
                    offset,
                });
                Ok(None)
            }
        }
    }

    /// Why the rest was not read, if it was not.
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// Records that were passed over because nothing could be made of their content.
    pub fn unreadable(&self) -> u64 {
        match &self.format {
            Reader::Legacy(_) => 0,
            Reader::Sections(sections) => sections.unreadable(),
        }
    }

    /// How much of the file was read: bytes, and of how many.
    pub fn progress(&self) -> (u64, u64) {
        (self.source.offset, self.source.length)
    }
}

/// The bytes of a file, a record at a time.
struct Source {
    reader: BufReader<File>,
    path: PathBuf,
    length: u64,
    /// Bytes taken so far.
    offset: u64,
    /// The record that is being read.
    buffer: Vec<u8>,
}

impl Source {
    /// Starts a new record.
    fn begin(&mut self) {
        self.buffer.clear();
    }

    /// Appends up to `length` bytes to the record; false if the file ends before.
    fn append(&mut self, length: usize) -> Result<bool, Error> {
        let limit = u64::try_from(length).unwrap_or(u64::MAX);
        let read = (&mut self.reader)
            .take(limit)
            .read_to_end(&mut self.buffer)
            .map_err(|source| Error::Unreadable {
                path: self.path.clone(),
                source,
            })?;
        self.offset += u64::try_from(read).unwrap_or(u64::MAX);
        Ok(read == length)
    }

    /// Makes the bytes that were read so far the first ones again.
    fn rewind(&mut self) {
        // Always within what was just read, so the reader's own buffer has them.
        let back = i64::try_from(self.buffer.len()).unwrap_or(i64::MAX);
        if self.reader.seek_relative(-back).is_ok() {
            self.offset = 0;
            self.buffer.clear();
        }
    }
}

/// The byte order of a file or section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    /// The 32-bit word at `offset`, which must be within `bytes`.
    fn word(self, bytes: &[u8], offset: usize) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(&bytes[offset..offset + 4]);
        match self {
            Self::Little => u32::from_le_bytes(word),
            Self::Big => u32::from_be_bytes(word),
        }
    }

    /// The 16-bit word at `offset`, which must be within `bytes`.
    fn half(self, bytes: &[u8], offset: usize) -> u16 {
        let half = [bytes[offset], bytes[offset + 1]];
        match self {
            Self::Little => u16::from_le_bytes(half),
            Self::Big => u16::from_be_bytes(half),
        }
    }
}

#[cfg(test)]
mod tests;
