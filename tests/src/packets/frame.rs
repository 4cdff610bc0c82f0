//! A packet in an Ethernet frame, described layer by layer.

use std::net::{IpAddr, SocketAddr};

use super::{
    checksum::Checksum,
    network::Network,
    transport::{Tcp, Transport},
};

const FRAGMENT_HEADER: u8 = 44;
const MORE_FRAGMENTS4: u16 = 0x2000;
const MORE_FRAGMENTS6: u16 = 1;

/// A packet in an Ethernet frame.
#[derive(Clone, Debug)]
pub struct Frame {
    vlan_tags: Vec<u16>,
    network: Network,
    transport: Transport,
    payload: Vec<u8>,
    checksum: Checksum,
}

impl Frame {
    /// A TCP segment.
    pub fn tcp(source: SocketAddr, destination: SocketAddr, flags: u8) -> Self {
        let tcp = Tcp {
            source_port: source.port(),
            destination_port: destination.port(),
            flags,
            sequence: 0,
            acknowledgment: 0,
            window: 0xffff,
            options: Vec::new(),
        };
        Self::new(source.ip(), destination.ip(), Transport::Tcp(tcp))
    }

    /// A UDP datagram.
    pub fn udp(source: SocketAddr, destination: SocketAddr) -> Self {
        let transport = Transport::Udp {
            source_port: source.port(),
            destination_port: destination.port(),
        };
        Self::new(source.ip(), destination.ip(), transport)
    }

    /// An ICMP error of this type and code about the packet that begins with
    /// `quoted` (see [`quote`](Self::quote)); `ICMPv4` or `ICMPv6` by the addresses.
    pub fn icmp_error(
        source: IpAddr,
        destination: IpAddr,
        kind: u8,
        code: u8,
        quoted: &[u8],
    ) -> Self {
        // Four bytes that are unused, or hold an MTU, precede the quoted packet.
        let body = [&[0; 4], quoted].concat();
        Self::icmp(source, destination, kind, code).payload(&body)
    }

    /// An ICMP message; the payload is all that follows the checksum.
    pub fn icmp(source: IpAddr, destination: IpAddr, kind: u8, code: u8) -> Self {
        Self::new(source, destination, Transport::Icmp { kind, code })
    }

    /// An IP packet of any protocol; the payload is all that follows the IP header.
    pub fn ip(source: IpAddr, destination: IpAddr, protocol: u8) -> Self {
        Self::new(source, destination, Transport::Raw { protocol })
    }

    fn new(source: IpAddr, destination: IpAddr, transport: Transport) -> Self {
        Self {
            vlan_tags: Vec::new(),
            network: Network::new(source, destination),
            transport,
            payload: Vec::new(),
            checksum: Checksum::Full,
        }
    }

    /// Sets sequence and acknowledgment numbers of a TCP segment.
    #[must_use]
    pub fn numbers(mut self, sequence: u32, acknowledgment: u32) -> Self {
        let tcp = self.tcp_header();
        tcp.sequence = sequence;
        tcp.acknowledgment = acknowledgment;
        self
    }

    /// Sets the window of a TCP segment.
    #[must_use]
    pub fn window(mut self, window: u16) -> Self {
        self.tcp_header().window = window;
        self
    }

    /// Adds TCP options; padded to a multiple of four bytes with end-of-list.
    #[must_use]
    pub fn tcp_options(mut self, options: &[u8]) -> Self {
        let tcp = self.tcp_header();
        tcp.options = options.to_vec();
        tcp.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    fn tcp_header(&mut self) -> &mut Tcp {
        match &mut self.transport {
            Transport::Tcp(tcp) => tcp,
            Transport::Udp { .. } | Transport::Icmp { .. } | Transport::Raw { .. } => {
                panic!("only a TCP segment has this field")
            }
        }
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
        self.network.options = options.to_vec();
        self
    }

    /// Adds an IPv6 extension header: its number, and its bytes from the length on.
    #[must_use]
    pub fn extension(mut self, number: u8, rest: &[u8]) -> Self {
        self.network.extensions.push((number, rest.to_vec()));
        self
    }

    /// Sets the IPv4 field of flags and fragment offset; the packet stays whole.
    #[must_use]
    pub fn fragment(mut self, field: u16) -> Self {
        self.network.fragment = field;
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

    /// Leaves the checksum at zero, which for UDP means that there is none.
    #[must_use]
    pub fn zero_checksum(mut self) -> Self {
        self.checksum = Checksum::Zero;
        self
    }

    /// Puts a wrong checksum.
    #[must_use]
    pub fn wrong_checksum(mut self) -> Self {
        self.checksum = Checksum::Wrong;
        self
    }

    /// The Ethernet frame's bytes.
    pub fn build(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        for identifier in &self.vlan_tags {
            frame.extend(identifier.to_be_bytes());
            frame.extend([0, 5]);
        }
        frame.extend(self.network.ethertype());
        frame.extend(self.ip_packet());
        frame
    }

    /// The IP packet's bytes.
    pub fn ip_packet(&self) -> Vec<u8> {
        let payload = self.ip_payload();
        let mut packet = self.network.header(self.protocol(), payload.len());
        packet.extend(payload);
        packet
    }

    /// IP headers and the first `bytes` after them, as an ICMP error quotes a packet.
    pub fn quote(&self, bytes: usize) -> Vec<u8> {
        let packet = self.ip_packet();
        let header = packet.len() - self.ip_payload().len();
        packet[..packet.len().min(header + bytes)].to_vec()
    }

    /// The packet as two fragments, of which the first has `first` bytes (a multiple
    /// of eight) of what follows the IP headers.
    pub fn fragments(&self, first: usize) -> [Self; 2] {
        assert!(
            first.is_multiple_of(8),
            "offsets count units of eight bytes"
        );
        let payload = self.ip_payload();
        let (head, tail) = payload.split_at(first);
        let units = u16::try_from(first / 8).expect("test frames are short");
        let piece = |part: &[u8], units: u16, more: bool| {
            let mut piece = self.clone();
            piece.transport = Transport::Raw {
                protocol: self.protocol(),
            };
            piece.payload = part.to_vec();
            match self.network.source {
                IpAddr::V4(_) => piece.fragment(units | if more { MORE_FRAGMENTS4 } else { 0 }),
                IpAddr::V6(_) => {
                    let field = units << 3 | if more { MORE_FRAGMENTS6 } else { 0 };
                    let [high, low] = field.to_be_bytes();
                    piece.extension(FRAGMENT_HEADER, &[0, high, low, 0, 0, 0, 9])
                }
            }
        };
        [piece(head, 0, true), piece(tail, units, false)]
    }

    fn protocol(&self) -> u8 {
        self.transport.protocol(self.network.source)
    }

    fn ip_payload(&self) -> Vec<u8> {
        let Network {
            source,
            destination,
            ..
        } = self.network;
        self.transport
            .bytes(source, destination, &self.payload, self.checksum)
    }
}
