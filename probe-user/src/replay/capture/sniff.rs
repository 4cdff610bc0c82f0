//! Which format a file has, by its first bytes; if it is no capture, what it is
//! instead, so that the message helps.

use pcap_parser::{PcapError, parse_pcap_header};

/// How many bytes are looked at: the header of the classic format.
pub const LENGTH: usize = 24;

/// The block type of a section header, the same in both byte orders.
pub const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// libpcap's savefile.
    Legacy,
    /// pcapng.
    Sections,
}

/// First bytes, and what begins with them.
const OTHERS: [(&[u8], &str); 10] = [
    (&[0x1f, 0x8b], "gzip data; decompress it first (`gunzip`)"),
    (
        &[0x28, 0xb5, 0x2f, 0xfd],
        "zstd data; decompress it first (`unzstd`)",
    ),
    (
        &[0xfd, b'7', b'z', b'X', b'Z'],
        "xz data; decompress it first (`unxz`)",
    ),
    (b"BZh", "bzip2 data; decompress it first (`bunzip2`)"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"\x7fELF", "an ELF file"),
    (
        b"snoop\0\0\0",
        "a snoop capture; convert it first (`editcap IN OUT`)",
    ),
    (
        b"RTSS",
        "a Network Monitor capture; convert it first (`editcap IN OUT`)",
    ),
    (
        b"GMBU",
        "a Network Monitor capture; convert it first (`editcap IN OUT`)",
    ),
    (
        &[0xa1, 0xb2, 0xcd, 0x34],
        "a pcap file of a rare variant; convert it first (`editcap IN OUT`)",
    ),
];

/// The format of a file that begins with these bytes, or what it looks like.
pub fn format(first: &[u8]) -> Result<Format, String> {
    if first.is_empty() {
        return Err("an empty file".to_owned());
    }
    if first.starts_with(&SECTION_HEADER) {
        return Ok(Format::Sections);
    }
    match parse_pcap_header(first) {
        Ok(_) => return Ok(Format::Legacy),
        Err(pcap_parser::nom::Err::Incomplete(_)) if first.len() < LENGTH => {
            if has_pcap_magic(first) {
                return Err(format!(
                    "a pcap file that ends after {} bytes, within its header",
                    first.len()
                ));
            }
        }
        Err(_) => {}
    }
    if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| first.starts_with(magic)) {
        return Err((*name).to_owned());
    }
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    if first.iter().all(is_text) {
        return Err("text".to_owned());
    }
    let shown: Vec<String> = first
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Err(format!(
        "nothing known (it begins with {})",
        shown.join(" ")
    ))
}

/// Whether a header that is cut short began well.
fn has_pcap_magic(first: &[u8]) -> bool {
    let mut whole = first.to_vec();
    whole.resize(LENGTH, 0);
    first.len() >= 4
        && !matches!(
            parse_pcap_header(&whole),
            Err(pcap_parser::nom::Err::Error(PcapError::HeaderNotRecognized))
        )
}
