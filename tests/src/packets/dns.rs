//! DNS messages (RFC 1035, RFC 6891), well-formed and not.

use super::length;

/// The flag that marks a response.
pub const RESPONSE: u16 = 0x8000;
/// Truncated: ask again over TCP.
pub const TRUNCATED: u16 = 0x0200;
/// Recursion desired.
pub const RECURSION: u16 = 0x0100;

/// Record types.
pub mod kind {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Start of authority.
    pub const SOA: u16 = 6;
    /// Text.
    pub const TXT: u16 = 16;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// EDNS (RFC 6891).
    pub const OPT: u16 = 41;
}

/// Response codes.
pub mod rcode {
    /// No error.
    pub const NOERROR: u16 = 0;
    /// The query could not be read.
    pub const FORMERR: u16 = 1;
    /// The server failed.
    pub const SERVFAIL: u16 = 2;
    /// No such name.
    pub const NXDOMAIN: u16 = 3;
    /// Not implemented.
    pub const NOTIMP: u16 = 4;
    /// Refused by policy.
    pub const REFUSED: u16 = 5;
}

/// A section of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What was asked for.
    Answer = 1,
    /// Who knows.
    Authority = 2,
    /// What may help.
    Additional = 3,
}

/// A DNS message.
#[derive(Clone, Debug)]
pub struct Message {
    id: u16,
    flags: u16,
    questions: Vec<u8>,
    sections: [Vec<u8>; 3],
    counts: [u16; 4],
}

impl Message {
    /// A query with one question.
    pub fn query(id: u16, name: &str, kind: u16) -> Self {
        Self::empty(id, RECURSION).question(&encoded(name), kind)
    }

    /// A response to that query.
    pub fn response(id: u16, rcode: u16, name: &str, kind: u16) -> Self {
        Self::empty(id, RESPONSE | RECURSION | rcode).question(&encoded(name), kind)
    }

    /// A header alone.
    pub fn empty(id: u16, flags: u16) -> Self {
        Self {
            id,
            flags,
            questions: Vec::new(),
            sections: Default::default(),
            counts: [0; 4],
        }
    }

    /// Sets all flags, with opcode and rcode.
    #[must_use]
    pub fn flags(mut self, flags: u16) -> Self {
        self.flags = flags;
        self
    }

    /// Adds a question whose name is already encoded (see [`encoded`]), or broken.
    #[must_use]
    pub fn question(mut self, name: &[u8], kind: u16) -> Self {
        self.questions.extend(name);
        self.questions.extend(kind.to_be_bytes());
        self.questions.extend(CLASS_IN.to_be_bytes());
        self.counts[0] += 1;
        self
    }

    /// Adds a record whose name points at the first question's (RFC 1035 section
    /// 4.1.4).
    #[must_use]
    pub fn record(self, section: Section, kind: u16, data: &[u8]) -> Self {
        self.raw_record(section, &[0xc0, 12], kind, CLASS_IN, 300, data)
    }

    /// Adds the EDNS record: how long a datagram may be, and options.
    #[must_use]
    pub fn edns(self, datagram: u16, options: &[u8]) -> Self {
        self.raw_record(Section::Additional, &[0], kind::OPT, datagram, 0, options)
    }

    /// Adds a record field by field.
    #[must_use]
    pub fn raw_record(
        mut self,
        section: Section,
        name: &[u8],
        kind: u16,
        class: u16,
        ttl: u32,
        data: &[u8],
    ) -> Self {
        let index = section as usize;
        let records = &mut self.sections[index - 1];
        records.extend(name);
        records.extend(kind.to_be_bytes());
        records.extend(class.to_be_bytes());
        records.extend(ttl.to_be_bytes());
        records.extend(length(data.len()));
        records.extend(data);
        self.counts[index] += 1;
        self
    }

    /// Puts other counts (questions, answers, authority, additional) than there are.
    #[must_use]
    pub fn counts(mut self, counts: [u16; 4]) -> Self {
        self.counts = counts;
        self
    }

    /// The message's bytes, as in a datagram.
    pub fn build(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [self.id, self.flags].iter().chain(&self.counts) {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(&self.questions);
        for records in &self.sections {
            bytes.extend(records);
        }
        bytes
    }

    /// The message's bytes as in a TCP stream: behind their length.
    pub fn build_for_stream(&self) -> Vec<u8> {
        let bytes = self.build();
        [&length(bytes.len()), bytes.as_slice()].concat()
    }
}

const CLASS_IN: u16 = 1;

/// A name as labels (RFC 1035 section 3.1); a dot at its end makes no difference.
pub fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a label has at most 63 bytes"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
