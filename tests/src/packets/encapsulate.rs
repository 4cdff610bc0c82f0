//! Tunnels around a packet or a frame. Each gives a [`Frame`] again, so that tunnels
//! nest, carry VLAN tags, or fragment.

use std::net::{IpAddr, SocketAddr};

use super::{Frame, checksum::sum};

/// Ethernet type of an Ethernet frame inside (transparent Ethernet bridging).
const ETHERTYPE_TEB: u16 = 0x6558;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const PROTOCOL_IPV4: u8 = 4;
const PROTOCOL_IPV6: u8 = 41;
const PROTOCOL_GRE: u8 = 47;
const PROTOCOL_ETHERNET: u8 = 143;

/// The usual UDP port of GUE (IANA).
pub const GUE_PORT: u16 = 6080;
/// The usual UDP port of VXLAN (RFC 7348).
pub const VXLAN_PORT: u16 = 4789;
/// The usual UDP port of Geneve (RFC 8926).
pub const GENEVE_PORT: u16 = 6081;

/// What a tunnel carries.
#[derive(Clone, Debug)]
pub enum Carried {
    /// An IP packet.
    Packet(Vec<u8>),
    /// An Ethernet frame.
    Ethernet(Vec<u8>),
}

impl Carried {
    /// The whole Ethernet frame.
    pub fn ethernet(frame: &Frame) -> Self {
        Self::Ethernet(frame.build())
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Packet(bytes) | Self::Ethernet(bytes) => bytes,
        }
    }

    fn is_ipv6(&self) -> bool {
        self.bytes().first().is_some_and(|byte| byte >> 4 == 6)
    }

    fn ethertype(&self) -> [u8; 2] {
        match self {
            Self::Packet(_) if self.is_ipv6() => ETHERTYPE_IPV6,
            Self::Packet(_) => ETHERTYPE_IPV4,
            Self::Ethernet(_) => ETHERTYPE_TEB,
        }
        .to_be_bytes()
    }

    fn ip_protocol(&self) -> u8 {
        match self {
            Self::Packet(_) if self.is_ipv6() => PROTOCOL_IPV6,
            Self::Packet(_) => PROTOCOL_IPV4,
            Self::Ethernet(_) => PROTOCOL_ETHERNET,
        }
    }
}

/// A frame's IP packet.
impl From<&Frame> for Carried {
    fn from(frame: &Frame) -> Self {
        Self::Packet(frame.ip_packet())
    }
}

/// IP in IP (RFC 2003, RFC 2473, RFC 4213): any version in any version.
pub fn ip(source: IpAddr, destination: IpAddr, inner: impl Into<Carried>) -> Frame {
    let inner = inner.into();
    Frame::ip(source, destination, inner.ip_protocol()).payload(inner.bytes())
}

/// GRE without optional fields (RFC 2784).
pub fn gre(source: IpAddr, destination: IpAddr, inner: impl Into<Carried>) -> Frame {
    Gre::default().around(source, destination, inner)
}

/// Optional fields of a GRE header (RFC 2784, RFC 2890).
#[derive(Clone, Copy, Debug, Default)]
pub struct Gre {
    /// With a checksum.
    pub checksum: bool,
    /// With this key.
    pub key: Option<u32>,
    /// With this sequence number.
    pub sequence: Option<u32>,
    /// Version: 0, or 1 for PPTP's.
    pub version: u8,
}

impl Gre {
    /// A GRE packet with these fields.
    pub fn around(self, source: IpAddr, destination: IpAddr, inner: impl Into<Carried>) -> Frame {
        let inner = inner.into();
        let present = |field: bool, bit: u8| if field { bit } else { 0 };
        let flags = present(self.checksum, 0x80)
            | present(self.key.is_some(), 0x20)
            | present(self.sequence.is_some(), 0x10);
        let mut bytes = vec![flags, self.version];
        bytes.extend(inner.ethertype());
        if self.checksum {
            bytes.extend([0; 4]);
        }
        for field in [self.key, self.sequence].into_iter().flatten() {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend(inner.bytes());
        if self.checksum {
            let checksum = !sum(&bytes);
            bytes[4..6].copy_from_slice(&checksum.to_be_bytes());
        }
        Frame::ip(source, destination, PROTOCOL_GRE).payload(&bytes)
    }
}

/// Foo over UDP: the IP packet directly inside. Variant 1 of GUE looks the same.
pub fn fou(source: SocketAddr, destination: SocketAddr, inner: impl Into<Carried>) -> Frame {
    Frame::udp(source, destination).payload(inner.into().bytes())
}

/// Generic UDP encapsulation, variant 0 (draft-ietf-intarea-gue section 3).
#[derive(Clone, Debug, Default)]
pub struct Gue {
    /// A control message of this type, rather than data.
    pub control: Option<u8>,
    /// The flags.
    pub flags: u16,
    /// Optional and private fields; a multiple of four bytes.
    pub fields: Vec<u8>,
}

impl Gue {
    /// A GUE datagram with these fields.
    pub fn around(
        &self,
        source: SocketAddr,
        destination: SocketAddr,
        inner: impl Into<Carried>,
    ) -> Frame {
        let inner = inner.into();
        let words = u8::try_from(self.fields.len() / 4).expect("GUE fields are short");
        let control = if self.control.is_some() { 0x20 } else { 0 };
        let mut bytes = vec![control | words, self.control.unwrap_or(inner.ip_protocol())];
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(&self.fields);
        bytes.extend(inner.bytes());
        Frame::udp(source, destination).payload(&bytes)
    }
}

/// GUE without optional fields.
pub fn gue(source: SocketAddr, destination: SocketAddr, inner: impl Into<Carried>) -> Frame {
    Gue::default().around(source, destination, inner)
}

/// VXLAN (RFC 7348): the frame inside, Ethernet header and all.
pub fn vxlan(source: SocketAddr, destination: SocketAddr, vni: u32, inner: &Frame) -> Frame {
    let mut bytes = vec![0x08, 0, 0, 0];
    bytes.extend((vni << 8).to_be_bytes());
    bytes.extend(inner.build());
    Frame::udp(source, destination).payload(&bytes)
}

/// Geneve (RFC 8926) with `options`, a multiple of four bytes.
pub fn geneve(
    source: SocketAddr,
    destination: SocketAddr,
    vni: u32,
    options: &[u8],
    inner: impl Into<Carried>,
) -> Frame {
    let inner = inner.into();
    let words = u8::try_from(options.len() / 4).expect("Geneve options are short");
    let mut bytes = vec![words, 0];
    bytes.extend(inner.ethertype());
    bytes.extend((vni << 8).to_be_bytes());
    bytes.extend(options);
    bytes.extend(inner.bytes());
    Frame::udp(source, destination).payload(&bytes)
}
