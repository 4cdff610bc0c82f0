//! What is inside a tunnel's packet: IPIP (RFC 2003), IPv6 in either (RFC 4213,
//! RFC 2473), GRE (RFC 2784, 2890), FOU, GUE (draft-ietf-intarea-gue), VXLAN
//! (RFC 7348), Geneve (RFC 8926).

use zerocopy::FromBytes;

use crate::{packet::Packet, service::UDP, skip::Skip};

use super::{
    Network,
    link::{ETHERTYPE_IPV4, ETHERTYPE_IPV6},
    udp::UDP_HEADER_LENGTH,
};

const IPV4_INSIDE: u8 = 4;
const IPV6_INSIDE: u8 = 41;
const GRE: u8 = 47;
const ETHERTYPE_ETHERNET: u16 = 0x6558;

const VXLAN_LENGTH: usize = 8;
const GENEVE_LENGTH: usize = 8;
const GUE_LENGTH: usize = 4;

/// Checksum, key and sequence number present; version and, in its place, PPTP's and
/// source-routing bits are none of ours.
const GRE_CHECKSUM: u16 = 0x8000;
const GRE_KEY: u16 = 0x2000;
const GRE_SEQUENCE: u16 = 0x1000;
const GRE_UNKNOWN: u16 = 0x4fff;

/// Which tunnels an interface carries, and by which UDP ports.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunnels {
    /// Bits of [`Tunnels::IP`] and so on.
    pub kinds: u32,
    /// UDP ports of FOU, GUE, VXLAN, Geneve.
    pub ports: [u16; 4],
}

impl Tunnels {
    /// IP directly in IP: IPIP, IP6IP6, IPv6 in IPv4, IPv4 in IPv6.
    pub const IP: u32 = 1;
    /// GRE.
    pub const GRE: u32 = 2;
    /// IP directly in UDP.
    pub const FOU: u32 = 4;
    /// Generic UDP encapsulation.
    pub const GUE: u32 = 8;
    /// VXLAN.
    pub const VXLAN: u32 = 16;
    /// Geneve.
    pub const GENEVE: u32 = 32;
    /// Those in UDP.
    const IN_UDP: u32 = Self::FOU | Self::GUE | Self::VXLAN | Self::GENEVE;
    /// The usual ports: 5555 for FOU, 6080 for GUE, 4789 and 6081 as IANA has them.
    pub const PORTS: [u16; 4] = [5555, 6080, 4789, 6081];

    /// Whether there are none.
    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.kinds == 0
    }

    /// All of them, by their usual ports.
    pub const fn all() -> Self {
        Self {
            kinds: Self::IP | Self::GRE | Self::IN_UDP,
            ports: Self::PORTS,
        }
    }

    #[inline(always)]
    const fn has(self, kind: u32) -> bool {
        self.kinds & kind != 0
    }
}

/// What a tunnel's packet holds, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// An Ethernet frame.
    Ethernet(usize),
    /// An IP packet of this ethertype.
    Ip(u16, usize),
}

#[derive(FromBytes)]
#[repr(C)]
struct GreHeader {
    flags: u16,
    protocol: u16,
}

#[derive(FromBytes)]
#[repr(C)]
struct GueHeader {
    version_length: u8,
    protocol: u8,
    _flags: u16,
}

#[derive(FromBytes)]
#[repr(C)]
struct GeneveHeader {
    version_length: u8,
    _flags: u8,
    protocol: u16,
    _vni: u32,
}

/// Whether this is the IP protocol of a tunnel.
#[inline(always)]
pub fn is_ip_protocol(protocol: u8) -> bool {
    matches!(protocol, IPV4_INSIDE | IPV6_INSIDE | GRE)
}

/// What is inside, if the packet is one of the tunnels that are wanted.
///
/// # Errors
/// When it is, but its inside is not understood or not there.
#[inline(always)]
pub fn inside<P: Packet + ?Sized>(
    packet: &P,
    outer: &Network,
    tunnels: Tunnels,
) -> Result<Option<Inside>, Skip> {
    let offset = outer.transport_offset;
    match outer.protocol {
        IPV4_INSIDE if tunnels.has(Tunnels::IP) => Ok(Some(Inside::Ip(ETHERTYPE_IPV4, offset))),
        IPV6_INSIDE if tunnels.has(Tunnels::IP) => Ok(Some(Inside::Ip(ETHERTYPE_IPV6, offset))),
        GRE if tunnels.has(Tunnels::GRE) => gre(packet, offset).map(Some),
        UDP if tunnels.has(Tunnels::IN_UDP) => in_udp(packet, offset, tunnels),
        _ => Ok(None),
    }
}

#[inline(always)]
fn gre<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<Inside, Skip> {
    let header: GreHeader = packet.read(offset).ok_or(Skip::Truncated)?;
    let flags = u16::from_be(header.flags);
    if flags & GRE_UNKNOWN != 0 {
        return Err(Skip::UnknownTunnel);
    }
    let mut words = 1;
    for optional in [GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE] {
        words += usize::from(flags & optional != 0);
    }
    by_ethertype(u16::from_be(header.protocol), offset + words * 4)
}

#[inline(always)]
fn in_udp<P: Packet + ?Sized>(
    packet: &P,
    offset: usize,
    tunnels: Tunnels,
) -> Result<Option<Inside>, Skip> {
    let ports: [u16; 2] = packet.read(offset).ok_or(Skip::Truncated)?;
    let port = u16::from_be(ports[1]);
    let offset = offset + UDP_HEADER_LENGTH;
    let [fou, gue, vxlan, geneve] = tunnels.ports;
    if tunnels.has(Tunnels::FOU) && port == fou {
        by_version(packet, offset).map(Some)
    } else if tunnels.has(Tunnels::GUE) && port == gue {
        gue_inside(packet, offset).map(Some)
    } else if tunnels.has(Tunnels::VXLAN) && port == vxlan {
        Ok(Some(Inside::Ethernet(offset + VXLAN_LENGTH)))
    } else if tunnels.has(Tunnels::GENEVE) && port == geneve {
        let header: GeneveHeader = packet.read(offset).ok_or(Skip::Truncated)?;
        if header.version_length >> 6 != 0 {
            return Err(Skip::UnknownTunnel);
        }
        let options = (header.version_length & 0x3f) as usize * 4;
        by_ethertype(
            u16::from_be(header.protocol),
            offset + GENEVE_LENGTH + options,
        )
        .map(Some)
    } else {
        Ok(None)
    }
}

#[inline(always)]
fn gue_inside<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<Inside, Skip> {
    let header: GueHeader = packet.read(offset).ok_or(Skip::Truncated)?;
    // Version 1 is an IP packet without a header of GUE's own: IP versions 4 and 6
    // both have 01 as their first two bits.
    if header.version_length >> 6 == 1 {
        return by_version(packet, offset);
    }
    let is_control = header.version_length & 0x20 != 0;
    if header.version_length >> 6 != 0 || is_control {
        return Err(Skip::UnknownTunnel);
    }
    let offset = offset + GUE_LENGTH + (header.version_length & 0x1f) as usize * 4;
    match header.protocol {
        IPV4_INSIDE => Ok(Inside::Ip(ETHERTYPE_IPV4, offset)),
        IPV6_INSIDE => Ok(Inside::Ip(ETHERTYPE_IPV6, offset)),
        _ => Err(Skip::UnknownTunnel),
    }
}

#[inline(always)]
fn by_version<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<Inside, Skip> {
    let start: [u8; 2] = packet.read(offset).ok_or(Skip::Truncated)?;
    match start[0] >> 4 {
        4 => Ok(Inside::Ip(ETHERTYPE_IPV4, offset)),
        6 => Ok(Inside::Ip(ETHERTYPE_IPV6, offset)),
        _ => Err(Skip::UnknownTunnel),
    }
}

#[inline(always)]
fn by_ethertype(protocol: u16, offset: usize) -> Result<Inside, Skip> {
    match protocol {
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => Ok(Inside::Ip(protocol, offset)),
        ETHERTYPE_ETHERNET => Ok(Inside::Ethernet(offset)),
        _ => Err(Skip::UnknownTunnel),
    }
}
