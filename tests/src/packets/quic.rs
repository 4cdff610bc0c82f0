//! QUIC headers (RFC 8999, RFC 9000, RFC 9369). What would be encrypted is filler: on
//! the way nobody can tell.

/// Version 1 (RFC 9000).
pub const V1: u32 = 1;
/// Version 2 (RFC 9369).
pub const V2: u32 = 0x6b33_43cf;
/// A version that is reserved to be unknown (RFC 9000 section 15).
pub const UNKNOWN: u32 = 0x1a2a_3a4a;

/// The least size of a datagram that carries an Initial (RFC 9000 section 14.1).
pub const INITIAL_DATAGRAM: usize = 1200;

const FILLER: u8 = 0xa5;
const PACKET_NUMBER: [u8; 4] = [0, 0, 0, 2];
const RETRY_TAG: usize = 16;

/// The types of long headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first of a connection.
    Initial,
    /// Data before the handshake.
    ZeroRtt,
    /// The handshake's rest.
    Handshake,
    /// The server wants the client to prove its address.
    Retry,
}

/// A packet with a long header.
#[derive(Clone, Debug)]
pub struct Long {
    version: u32,
    kind: Kind,
    destination: Vec<u8>,
    source: Vec<u8>,
    token: Vec<u8>,
    size: usize,
}

impl Long {
    /// A packet of this version and type between these connection ids.
    pub fn new(version: u32, kind: Kind, destination: &[u8], source: &[u8]) -> Self {
        Self {
            version,
            kind,
            destination: destination.to_vec(),
            source: source.to_vec(),
            token: Vec::new(),
            size: 0,
        }
    }

    /// Sets the token of an Initial or a Retry.
    #[must_use]
    pub fn token(mut self, token: &[u8]) -> Self {
        self.token = token.to_vec();
        self
    }

    /// Makes it at least so many bytes long.
    #[must_use]
    pub fn padded(mut self, size: usize) -> Self {
        self.size = size;
        self
    }

    /// The packet's bytes.
    pub fn build(&self) -> Vec<u8> {
        let packet_number_length = match self.kind {
            Kind::Initial | Kind::ZeroRtt | Kind::Handshake => PACKET_NUMBER.len() - 1,
            Kind::Retry => 0,
        };
        let mut packet =
            vec![0xc0 | self.type_bits() << 4 | u8::try_from(packet_number_length).unwrap_or(3)];
        packet.extend(self.version.to_be_bytes());
        for id in [&self.destination, &self.source] {
            packet.push(u8::try_from(id.len()).expect("a connection id is short"));
            packet.extend(id);
        }
        match self.kind {
            Kind::Initial => {
                packet.extend(varint(self.token.len()));
                packet.extend(&self.token);
                self.protected(&mut packet);
            }
            Kind::ZeroRtt | Kind::Handshake => self.protected(&mut packet),
            Kind::Retry => {
                packet.extend(&self.token);
                packet.extend([FILLER; RETRY_TAG]);
            }
        }
        packet
    }

    /// Length, packet number and what would be encrypted.
    fn protected(&self, packet: &mut Vec<u8>) {
        const LENGTH_FIELD: usize = 2;
        // At least a packet number and the sample that protects it (RFC 9001).
        let rest = self
            .size
            .saturating_sub(packet.len() + LENGTH_FIELD)
            .max(PACKET_NUMBER.len() + 16);
        packet.extend(varint2(rest));
        packet.extend(PACKET_NUMBER);
        packet.resize(packet.len() + rest - PACKET_NUMBER.len(), FILLER);
    }

    fn type_bits(&self) -> u8 {
        let version1 = match self.kind {
            Kind::Initial => 0,
            Kind::ZeroRtt => 1,
            Kind::Handshake => 2,
            Kind::Retry => 3,
        };
        // RFC 9369 section 3.2 counts from Retry.
        if self.version == V2 {
            (version1 + 1) % 4
        } else {
            version1
        }
    }
}

/// A Version Negotiation packet (RFC 8999 section 6).
pub fn version_negotiation(destination: &[u8], source: &[u8], versions: &[u32]) -> Vec<u8> {
    let mut packet = vec![0x80 | 0x40, 0, 0, 0, 0];
    for id in [destination, source] {
        packet.push(u8::try_from(id.len()).expect("a connection id is short"));
        packet.extend(id);
    }
    for version in versions {
        packet.extend(version.to_be_bytes());
    }
    packet
}

/// A packet with a short header, `size` bytes of which are not header.
pub fn short(destination: &[u8], size: usize) -> Vec<u8> {
    let mut packet = vec![0x40];
    packet.extend(destination);
    packet.resize(packet.len() + size, FILLER);
    packet
}

/// A variable-length integer in its shortest form (RFC 9000 section 16).
fn varint(value: usize) -> Vec<u8> {
    match u8::try_from(value) {
        Ok(value) if value < 0x40 => vec![value],
        Ok(_) | Err(_) => varint2(value).to_vec(),
    }
}

/// A variable-length integer in two bytes.
fn varint2(value: usize) -> [u8; 2] {
    let value = u16::try_from(value).expect("test packets are short");
    assert!(value < 0x4000, "test packets are short");
    (0x4000 | value).to_be_bytes()
}
