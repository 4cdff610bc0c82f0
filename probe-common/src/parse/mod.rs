//! From a frame's bytes to the headers that are measured, or to the reason why
//! there is nothing to measure.
//!
//! ```text
//! frame ─▶ link ─▶ network ─┬──────────────▶ tcp | udp | icmp ─▶ dns | quic | http
//!                           └▶ tunnel ─▶ network ┘
//! ```
//! Each step checks bounds, advances, and names the next protocol.

pub mod dns;
mod flags;
pub mod http;
pub mod icmp;
mod link;
mod network;
pub mod quic;
mod tcp;
pub mod tunnel;
mod udp;

pub use flags::Flags;
pub use link::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};
pub use network::Network;
pub use tcp::{Segment, segment};
pub use udp::{Datagram, UDP_HEADER_LENGTH, datagram};

use crate::{packet::Packet, service::ServiceTable, skip::Skip};
use tunnel::Tunnels;

/// No sum of link, network and tunnel headers exceeds it.
pub const MAX_OFFSET: usize = 0x3fff;

/// IP protocol number of ICMP.
pub const ICMP: u8 = 1;
/// IP protocol number of `ICMPv6`.
pub const ICMPV6: u8 = 58;

/// The network layer of an Ethernet frame; that of the inner packet where the frame
/// is a tunnel's.
///
/// # Errors
/// The reason why there is nothing to measure.
#[inline(always)]
pub fn network<P: Packet + ?Sized>(
    packet: &P,
    tunnels: Tunnels,
    table: &ServiceTable,
) -> Result<Network, Skip> {
    let (ethertype, offset) = link::ethernet(packet, 0)?;
    let mut network = network::network(packet, ethertype, offset)?;
    network.transport_offset = table.opaque(network.transport_offset, MAX_OFFSET);
    if network.protocol == crate::service::TCP || tunnels.is_none() {
        return Ok(network);
    }
    let Some(inside) = tunnel::inside(packet, &network, tunnels)? else {
        return Ok(network);
    };
    let (ethertype, offset) = match inside {
        tunnel::Inside::Ethernet(offset) => {
            link::ethernet(packet, table.opaque(offset, MAX_OFFSET))?
        }
        tunnel::Inside::Ip(ethertype, offset) => (ethertype, offset),
    };
    let offset = table.opaque(offset, MAX_OFFSET);
    let mut inner = network::network(packet, ethertype, offset).map_err(|skip| match skip {
        Skip::NotIp => Skip::UnknownTunnel,
        other => other,
    })?;
    if tunnel::is_ip_protocol(inner.protocol) {
        return Err(Skip::UnknownTunnel);
    }
    inner.transport_offset = table.opaque(inner.transport_offset, MAX_OFFSET);
    Ok(inner)
}
