//! Link types. In flows a captured packet, out flows the Ethernet frame that the
//! programs would have seen: as it is, or with a header made from what the link
//! type's own header says.

use pcap_parser::Linktype;

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// No ethertype: a length of IEEE 802.3, which is not IP.
const NO_IP: [u8; 2] = [0, 0];
const ADDRESSES: usize = 12;

/// Address families of IPv6 on NetBSD and OpenBSD, FreeBSD, Darwin, and Linux. IPv4
/// is 2 on all.
const FAMILIES_IPV6: [u32; 4] = [24, 28, 30, 10];
const FAMILY_IPV4: u32 = 2;

/// Raw IP by the numbers that BSDs used before 101 was agreed upon.
const OLD_RAW: [u16; 2] = [12, 14];

/// The headers before the network layer that can be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Ethernet, as it is.
    Ethernet,
    /// Linux cooked capture, version 1.
    CookedV1,
    /// Linux cooked capture, version 2.
    CookedV2,
    /// IP of either version, and nothing before it.
    Raw,
    /// An address family of four bytes (BSD loopback), in either byte order.
    Loopback,
}

impl Link {
    /// The link of a `LINKTYPE_` value, if it can be replayed.
    pub fn of(link_type: u16) -> Option<Self> {
        if OLD_RAW.contains(&link_type) {
            return Some(Self::Raw);
        }
        match Linktype(i32::from(link_type)) {
            Linktype::ETHERNET => Some(Self::Ethernet),
            Linktype::LINUX_SLL => Some(Self::CookedV1),
            Linktype::LINUX_SLL2 => Some(Self::CookedV2),
            Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => Some(Self::Raw),
            Linktype::NULL | Linktype::LOOP => Some(Self::Loopback),
            _ => None,
        }
    }

    /// The packet as an Ethernet frame, made in `buffer` if need be. A packet that is
    /// cut within its link header becomes an empty frame.
    pub fn frame<'a>(self, packet: &'a [u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
        let (length, ethertype) = match self {
            Self::Ethernet => return packet,
            Self::CookedV1 => (16, packet.get(14..16).and_then(pair)),
            Self::CookedV2 => (20, packet.get(0..2).and_then(pair)),
            Self::Raw => (0, packet.first().map(|first| by_version(*first))),
            Self::Loopback => (4, packet.get(0..4).and_then(by_family)),
        };
        buffer.clear();
        if let (Some(rest), Some(ethertype)) = (packet.get(length..), ethertype) {
            buffer.extend([0; ADDRESSES]);
            buffer.extend(ethertype);
            buffer.extend(rest);
        }
        buffer
    }
}

fn pair(bytes: &[u8]) -> Option<[u8; 2]> {
    bytes.try_into().ok()
}

fn by_version(first: u8) -> [u8; 2] {
    match first >> 4 {
        4 => ETHERTYPE_IPV4,
        6 => ETHERTYPE_IPV6,
        _ => NO_IP,
    }
}

/// The family is in the byte order of the machine that captured, or always big-endian
/// in the LOOP type; small numbers tell which.
fn by_family(bytes: &[u8]) -> Option<[u8; 2]> {
    let family = u32::from_le_bytes(bytes.try_into().ok()?);
    let family = family.min(family.swap_bytes());
    Some(if family == FAMILY_IPV4 {
        ETHERTYPE_IPV4
    } else if FAMILIES_IPV6.contains(&family) {
        ETHERTYPE_IPV6
    } else {
        NO_IP
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_type_becomes_the_same_frame() {
        let ip4 = [0x45, 0, 0, 20, 1, 2, 3];
        let ip6 = [0x60, 9, 9, 9];
        let cooked1 = |ethertype: [u8; 2], rest: &[u8]| {
            [
                &[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0],
                &ethertype[..],
                rest,
            ]
            .concat()
        };
        let cooked2 = |ethertype: [u8; 2], rest: &[u8]| {
            let header = [0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
            [&ethertype[..], &header, rest].concat()
        };
        let loopback = |family: [u8; 4], rest: &[u8]| [&family[..], rest].concat();
        let mut cases = vec![
            ("raw IPv4", 101, ip4.to_vec(), ETHERTYPE_IPV4, &ip4[..]),
            ("raw IPv6", 101, ip6.to_vec(), ETHERTYPE_IPV6, &ip6[..]),
            ("raw, old number", 12, ip4.to_vec(), ETHERTYPE_IPV4, &ip4),
            ("raw, old number", 14, ip4.to_vec(), ETHERTYPE_IPV4, &ip4),
            ("IPv4 only", 228, ip4.to_vec(), ETHERTYPE_IPV4, &ip4),
            ("IPv6 only", 229, ip6.to_vec(), ETHERTYPE_IPV6, &ip6),
            ("raw, no IP", 101, vec![0x15, 1], NO_IP, &[0x15, 1]),
            (
                "cooked v1",
                113,
                cooked1(ETHERTYPE_IPV4, &ip4),
                ETHERTYPE_IPV4,
                &ip4,
            ),
            (
                "cooked v1 with a VLAN tag",
                113,
                cooked1([0x81, 0x00], &[0, 5, 0x08, 0, 0x45]),
                [0x81, 0x00],
                &[0, 5, 0x08, 0, 0x45],
            ),
            (
                "cooked v2",
                276,
                cooked2(ETHERTYPE_IPV6, &ip6),
                ETHERTYPE_IPV6,
                &ip6,
            ),
            (
                "loopback, little-endian",
                0,
                loopback([2, 0, 0, 0], &ip4),
                ETHERTYPE_IPV4,
                &ip4,
            ),
            (
                "loopback, big-endian",
                108,
                loopback([0, 0, 0, 2], &ip4),
                ETHERTYPE_IPV4,
                &ip4,
            ),
            (
                "loopback of something else",
                0,
                loopback([7, 0, 0, 0], &ip4),
                NO_IP,
                &ip4,
            ),
        ];
        for family in [10, 24, 28, 30] {
            cases.push((
                "loopback, IPv6",
                0,
                loopback([family, 0, 0, 0], &ip6),
                ETHERTYPE_IPV6,
                &ip6,
            ));
        }
        for (description, link_type, packet, ethertype, rest) in cases {
            let link = Link::of(link_type).expect("a known link type");
            let mut buffer = vec![9; 3];
            let frame = link.frame(&packet, &mut buffer);
            let expected = [&[0; 12], &ethertype[..], rest].concat();
            assert_eq!(frame, expected, "{description}");
        }
    }

    #[test]
    fn ethernet_is_taken_as_it_is() {
        let link = Link::of(1).expect("Ethernet");
        let packet = [1, 2, 3];
        assert_eq!(link.frame(&packet, &mut Vec::new()), packet);
    }

    #[test]
    fn packet_cut_within_its_link_header_is_an_empty_frame() {
        for (link, length) in [
            (Link::CookedV1, 15),
            (Link::CookedV2, 19),
            (Link::Raw, 0),
            (Link::Loopback, 3),
        ] {
            let packet = vec![0x45; length];
            assert!(link.frame(&packet, &mut vec![1]).is_empty(), "{link:?}");
        }
    }

    #[test]
    fn other_links_are_not_replayed() {
        for link_type in [105, 127, 239, 252, u16::MAX] {
            assert_eq!(Link::of(link_type), None);
        }
    }
}
