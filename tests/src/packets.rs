//! Frames built by hand, byte by byte, so that the parser is tested against the
//! RFCs and not against another parser of ours.

use std::net::{IpAddr, SocketAddr};

/// RFC 9293 control bits.
pub mod flags {
    /// No more data.
    pub const FIN: u8 = 0x01;
    /// Synchronise.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// Acknowledge.
    pub const ACK: u8 = 0x10;
}

/// A TCP segment in an Ethernet frame.
#[derive(Clone, Debug)]
pub struct Frame {
    source: SocketAddr,
    destination: SocketAddr,
    flags: u8,
    sequence: u32,
    acknowledgment: u32,
    vlan_tags: Vec<u16>,
    ip_options: Vec<u8>,
    extension_headers: Vec<(u8, Vec<u8>)>,
    fragment: u16,
    tcp_options: Vec<u8>,
    payload: Vec<u8>,
    checksum: Checksum,
}

/// What the TCP checksum field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checksum {
    Full,
    Partial,
    Wrong,
}

impl Frame {
    /// A segment without payload.
    pub fn tcp(source: SocketAddr, destination: SocketAddr, flags: u8) -> Self {
        Self {
            source,
            destination,
            flags,
            sequence: 0,
            acknowledgment: 0,
            vlan_tags: Vec::new(),
            ip_options: Vec::new(),
            extension_headers: Vec::new(),
            fragment: 0,
            tcp_options: Vec::new(),
            payload: Vec::new(),
            checksum: Checksum::Full,
        }
    }

    /// Sets sequence and acknowledgment numbers.
    #[must_use]
    pub fn numbers(mut self, sequence: u32, acknowledgment: u32) -> Self {
        self.sequence = sequence;
        self.acknowledgment = acknowledgment;
        self
    }

    /// Adds a VLAN tag with this tag protocol identifier.
    #[must_use]
    pub fn vlan(mut self, identifier: u16) -> Self {
        self.vlan_tags.push(identifier);
        self
    }

    /// Adds IPv4 options; a multiple of four bytes.
    #[must_use]
    pub fn ip_options(mut self, options: &[u8]) -> Self {
        self.ip_options = options.to_vec();
        self
    }

    /// Adds an IPv6 extension header: its number, and its bytes from the length on.
    #[must_use]
    pub fn extension(mut self, number: u8, rest: &[u8]) -> Self {
        self.extension_headers.push((number, rest.to_vec()));
        self
    }

    /// Sets the IPv4 field of flags and fragment offset.
    #[must_use]
    pub fn fragment(mut self, field: u16) -> Self {
        self.fragment = field;
        self
    }

    /// Adds TCP options; padded to a multiple of four bytes with end-of-list.
    #[must_use]
    pub fn tcp_options(mut self, options: &[u8]) -> Self {
        self.tcp_options = options.to_vec();
        self.tcp_options
            .resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// Sets the payload.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Leaves only the pseudo-header's sum in the checksum, as an offloading sender
    /// does.
    #[must_use]
    pub fn partial_checksum(mut self) -> Self {
        self.checksum = Checksum::Partial;
        self
    }

    /// Puts a wrong checksum.
    #[must_use]
    pub fn wrong_checksum(mut self) -> Self {
        self.checksum = Checksum::Wrong;
        self
    }

    /// The frame's bytes.
    pub fn build(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        for identifier in &self.vlan_tags {
            frame.extend(identifier.to_be_bytes());
            frame.extend([0, 5]);
        }
        let segment = self.segment();
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend([0x08, 0x00]);
                let header_length = 20 + self.ip_options.len();
                frame.push(0x40 | u8::try_from(header_length / 4).unwrap_or(15));
                frame.push(0);
                frame.extend(length(header_length + segment.len()));
                frame.extend([0, 0]);
                frame.extend(self.fragment.to_be_bytes());
                frame.extend([64, 6, 0, 0]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
                frame.extend(&self.ip_options);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                let extensions: usize = self
                    .extension_headers
                    .iter()
                    .map(|(_, rest)| rest.len() + 1)
                    .sum();
                frame.extend(length(extensions + segment.len()));
                let numbers: Vec<u8> = self
                    .extension_headers
                    .iter()
                    .map(|(number, _)| *number)
                    .chain([6])
                    .collect();
                frame.extend([numbers[0], 64]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
                for ((_, rest), next) in self.extension_headers.iter().zip(&numbers[1..]) {
                    frame.push(*next);
                    frame.extend(rest);
                }
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                panic!("a packet has one IP version")
            }
        }
        frame.extend(segment);
        frame
    }

    fn segment(&self) -> Vec<u8> {
        let header_length = 20 + self.tcp_options.len();
        let mut segment = Vec::new();
        segment.extend(self.source.port().to_be_bytes());
        segment.extend(self.destination.port().to_be_bytes());
        segment.extend(self.sequence.to_be_bytes());
        segment.extend(self.acknowledgment.to_be_bytes());
        segment.push(u8::try_from(header_length / 4).unwrap_or(15) << 4);
        segment.push(self.flags);
        segment.extend([0xff, 0xff, 0, 0, 0, 0]);
        segment.extend(&self.tcp_options);
        segment.extend(&self.payload);
        let pseudo = self.pseudo_header(segment.len());
        let checksum = match self.checksum {
            Checksum::Full => !sum(&[pseudo.as_slice(), segment.as_slice()].concat()),
            Checksum::Partial => sum(&pseudo),
            Checksum::Wrong => 0x5555,
        };
        segment[16..18].copy_from_slice(&checksum.to_be_bytes());
        segment
    }

    fn pseudo_header(&self, segment_length: usize) -> Vec<u8> {
        let mut header = Vec::new();
        for address in [self.source.ip(), self.destination.ip()] {
            match address {
                IpAddr::V4(address) => header.extend(address.octets()),
                IpAddr::V6(address) => header.extend(address.octets()),
            }
        }
        header.extend([0, 6]);
        header.extend(length(segment_length));
        header
    }
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes)
        .expect("test frames are short")
        .to_be_bytes()
}

/// RFC 1071's sum, by bytes.
fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}
