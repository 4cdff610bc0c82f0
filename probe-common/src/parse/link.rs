//! Ethernet with up to two VLAN tags (IEEE 802.1Q, 802.1ad).

use crate::{packet::Packet, skip::Skip, verifier::bounded};

use super::MAX_OFFSET;

/// IPv4 (IEEE 802 numbers).
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const MAX_VLAN_TAGS: usize = 2;
const ETHERNET_LENGTH: usize = 14;
const VLAN_LENGTH: usize = 4;

/// The type and the offset of what follows an Ethernet header at `offset`.
#[inline(always)]
pub fn ethernet<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<(u16, usize), Skip> {
    // One read of the whole header proves its length; the type is its last field.
    let header: [u16; ETHERNET_LENGTH / 2] = packet.read(offset).ok_or(Skip::Truncated)?;
    let mut ethertype = u16::from_be(header[6]);
    let mut offset = offset + ETHERNET_LENGTH;
    for _ in 0..MAX_VLAN_TAGS {
        if !is_tag(ethertype) {
            break;
        }
        let tag: [u16; 2] = packet.read(offset).ok_or(Skip::Truncated)?;
        ethertype = u16::from_be(tag[1]);
        offset += VLAN_LENGTH;
    }
    if is_tag(ethertype) {
        return Err(Skip::TooManyHeaders);
    }
    Ok((ethertype, bounded(offset, MAX_OFFSET)))
}

#[inline(always)]
fn is_tag(ethertype: u16) -> bool {
    ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ
}
