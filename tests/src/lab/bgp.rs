//! BGP as it stands on the wire (RFC 4271, MP-BGP of RFC 4760): just enough to say
//! which prefixes an UPDATE announces, how preferable, and which it withdraws.
//!
//! Bytes of one direction of one TCP connection flow in; routes flow out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What an UPDATE says about one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Reachable from now on, or with new attributes.
    Announce(IpNet),
    /// No longer reachable.
    Withdraw(IpNet),
}

impl Change {
    /// The prefix that changes.
    pub fn prefix(self) -> IpNet {
        match self {
            Self::Announce(prefix) | Self::Withdraw(prefix) => prefix,
        }
    }
}

/// How preferable the UPDATE says its routes are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The AS numbers of the path, nearest first.
    pub path: Vec<u32>,
    /// The multi-exit discriminator.
    pub med: Option<u32>,
    /// The communities (RFC 1997), as their two halves.
    pub communities: Vec<(u16, u16)>,
}

/// One prefix in an UPDATE. Only an announcement has attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What is said about it.
    pub change: Change,
    /// How preferable it is.
    pub attributes: Attributes,
}

const MARKER: [u8; 16] = [0xff; 16];
const HEADER: usize = 19;
/// Extended messages (RFC 8654) are not negotiated in the lab.
const LONGEST: usize = 4096;
const UPDATE: u8 = 2;
const EXTENDED_LENGTH: u8 = 0x10;
const AS_PATH: u8 = 2;
const MULTI_EXIT_DISC: u8 = 4;
const COMMUNITIES: u8 = 8;
const MP_REACH: u8 = 14;
const MP_UNREACH: u8 = 15;
const AFI_IPV4: u16 = 1;
const AFI_IPV6: u16 = 2;
const SAFI_UNICAST: u8 = 1;

/// Takes a byte stream apart into messages.
#[derive(Debug, Default)]
pub struct Stream {
    pending: Vec<u8>,
}

impl Stream {
    /// Adds bytes and returns what the UPDATEs that are now complete say.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Route> {
        self.pending.extend_from_slice(bytes);
        let mut routes = Vec::new();
        while self.skip_to_marker() {
            let length = usize::from(u16::from_be_bytes([self.pending[16], self.pending[17]]));
            if !(HEADER..=LONGEST).contains(&length) {
                // No message: look for the next marker.
                self.pending.drain(..1);
                continue;
            }
            if self.pending.len() < length {
                break;
            }
            let message: Vec<u8> = self.pending.drain(..length).collect();
            if message[18] == UPDATE {
                routes.extend(parse_update(&message[HEADER..]).unwrap_or_default());
            }
        }
        routes
    }

    /// Whether a whole header now stands at the front. A capture that begins within
    /// a message loses that message only.
    fn skip_to_marker(&mut self) -> bool {
        let start = self
            .pending
            .windows(MARKER.len())
            .position(|window| window == MARKER);
        if let Some(start) = start {
            self.pending.drain(..start);
        }
        start.is_some() && self.pending.len() >= HEADER
    }
}

/// The body of an UPDATE; none if it is malformed.
fn parse_update(body: &[u8]) -> Option<Vec<Route>> {
    let (withdrawn, rest) = counted(body)?;
    let (mut attributes, nlri) = counted(rest)?;
    let mut changes = Vec::new();
    let mut said = Attributes::default();
    changes.extend(
        prefixes(AFI_IPV4, withdrawn)?
            .into_iter()
            .map(Change::Withdraw),
    );
    while let [flags, kind, rest @ ..] = attributes {
        let (value, rest) = if flags & EXTENDED_LENGTH == 0 {
            let (length, rest) = rest.split_first()?;
            rest.split_at_checked(usize::from(*length))?
        } else {
            counted(rest)?
        };
        attributes = rest;
        match *kind {
            MP_UNREACH => {
                if let [a, b, SAFI_UNICAST, routes @ ..] = value {
                    let afi = u16::from_be_bytes([*a, *b]);
                    changes.extend(prefixes(afi, routes)?.into_iter().map(Change::Withdraw));
                }
            }
            MP_REACH => {
                if let [a, b, SAFI_UNICAST, next_hop, rest @ ..] = value {
                    let afi = u16::from_be_bytes([*a, *b]);
                    // One reserved byte follows the next hop.
                    let routes = rest.get(usize::from(*next_hop) + 1..)?;
                    changes.extend(prefixes(afi, routes)?.into_iter().map(Change::Announce));
                }
            }
            AS_PATH => said.path = as_path(value)?,
            MULTI_EXIT_DISC => said.med = Some(u32::from_be_bytes(value.try_into().ok()?)),
            COMMUNITIES => said.communities = communities(value)?,
            _ => {}
        }
    }
    changes.extend(prefixes(AFI_IPV4, nlri)?.into_iter().map(Change::Announce));
    let routes = changes.into_iter().map(|change| Route {
        change,
        attributes: match change {
            Change::Announce(_) => said.clone(),
            Change::Withdraw(_) => Attributes::default(),
        },
    });
    Some(routes.collect())
}

/// The segments of a path one after the other, with AS numbers of four bytes
/// (RFC 6793), as all routers of the lab negotiate.
fn as_path(mut bytes: &[u8]) -> Option<Vec<u32>> {
    let mut path = Vec::new();
    while let [_kind, count, rest @ ..] = bytes {
        let (numbers, rest) = rest.split_at_checked(usize::from(*count) * 4)?;
        bytes = rest;
        path.extend(
            numbers
                .as_chunks()
                .0
                .iter()
                .copied()
                .map(u32::from_be_bytes),
        );
    }
    Some(path)
}

fn communities(bytes: &[u8]) -> Option<Vec<(u16, u16)>> {
    let (pairs, []) = bytes.as_chunks::<4>() else {
        return None;
    };
    Some(
        pairs
            .iter()
            .map(|&[a, b, c, d]| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
            .collect(),
    )
}

/// A two-byte length and so many bytes; and what follows.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Prefixes as BGP packs them: a length in bits, then as many bytes as that needs.
fn prefixes(afi: u16, mut bytes: &[u8]) -> Option<Vec<IpNet>> {
    let mut found = Vec::new();
    while let Some((bits, rest)) = bytes.split_first() {
        let (packed, rest) = rest.split_at_checked(usize::from(bits.div_ceil(8)))?;
        bytes = rest;
        let address: IpAddr = match afi {
            AFI_IPV4 => Ipv4Addr::from(padded::<4>(packed)?).into(),
            AFI_IPV6 => Ipv6Addr::from(padded::<16>(packed)?).into(),
            _ => return Some(Vec::new()),
        };
        found.push(IpNet::new(address, *bits).ok()?);
    }
    Some(found)
}

fn padded<const N: usize>(packed: &[u8]) -> Option<[u8; N]> {
    let mut whole = [0; N];
    whole.get_mut(..packed.len())?.copy_from_slice(packed);
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = MARKER.to_vec();
        bytes.extend(u16::try_from(HEADER + body.len()).unwrap().to_be_bytes());
        bytes.push(kind);
        bytes.extend(body);
        bytes
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    /// The body of an UPDATE from its three parts.
    fn update(withdrawn: &[u8], attributes: &[u8], announced: &[u8]) -> Vec<u8> {
        let length = |part: &[u8]| u16::try_from(part.len()).unwrap().to_be_bytes();
        [
            &length(withdrawn),
            withdrawn,
            &length(attributes),
            attributes,
            announced,
        ]
        .concat()
    }

    fn attribute(kind: u8, value: &[u8]) -> Vec<u8> {
        let length = u8::try_from(value.len()).unwrap();
        [&[0x80, kind, length], value].concat()
    }

    fn extended_attribute(kind: u8, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[0x90, kind], &length[..], value].concat()
    }

    const NET_V4: [u8; 4] = [24, 192, 0, 2];
    const NET_V6: [u8; 7] = [48, 0x20, 0x01, 0x0d, 0xb8, 0, 0x0a];

    fn changes(routes: &[Route]) -> Vec<Change> {
        routes.iter().map(|route| route.change).collect()
    }

    #[test]
    fn attributes_are_those_of_the_announcement() {
        let attributes = [
            attribute(AS_PATH, &[2, 2, 0, 0, 0xfb, 0xf5, 0, 0, 0xfb, 0xf5]),
            attribute(MULTI_EXIT_DISC, &[0, 0, 1, 0xf4]),
            attribute(COMMUNITIES, &[0xff, 0xff, 0, 0, 0xfb, 0xf4, 0, 7]),
        ]
        .concat();
        let routes = Stream::default().push(&message(
            UPDATE,
            &update(&[32, 1, 2, 3, 4], &attributes, &NET_V4),
        ));
        let expected = Attributes {
            path: vec![64501, 64501],
            med: Some(500),
            communities: vec![(65535, 0), (64500, 7)],
        };
        assert_eq!(
            routes,
            [
                Route {
                    change: Change::Withdraw(net("1.2.3.4/32")),
                    attributes: Attributes::default(),
                },
                Route {
                    change: Change::Announce(net("192.0.2.0/24")),
                    attributes: expected,
                },
            ]
        );
    }

    #[test]
    fn updates_of_both_families_are_read() {
        let (v4, v6) = (net("192.0.2.0/24"), net("2001:db8:a::/48"));
        let origin = attribute(1, &[0]);
        let reach = [&[0, 2, 1, 16][..], &[0x20; 16], &[0], &NET_V6].concat();
        let unreach = [&[0, 2, 1][..], &NET_V6].concat();
        let table: [(&str, Vec<u8>, Vec<Change>); 8] = [
            (
                "IPv4 withdraw",
                update(&NET_V4, &[], &[]),
                vec![Change::Withdraw(v4)],
            ),
            (
                "IPv4 announce",
                update(&[], &origin, &NET_V4),
                vec![Change::Announce(v4)],
            ),
            (
                "IPv6 withdraw",
                update(&[], &attribute(15, &unreach), &[]),
                vec![Change::Withdraw(v6)],
            ),
            (
                "IPv6 announce",
                update(&[], &[attribute(14, &reach), origin.clone()].concat(), &[]),
                vec![Change::Announce(v6)],
            ),
            (
                "extended length",
                update(&[], &extended_attribute(14, &reach), &[]),
                vec![Change::Announce(v6)],
            ),
            (
                "everything at once",
                update(&[32, 1, 2, 3, 4], &attribute(15, &unreach), &NET_V4),
                vec![
                    Change::Withdraw(net("1.2.3.4/32")),
                    Change::Withdraw(v6),
                    Change::Announce(v4),
                ],
            ),
            ("end of RIB", update(&[], &[], &[]), vec![]),
            (
                "end of RIB, IPv6",
                update(&[], &attribute(15, &[0, 2, 1]), &[]),
                vec![],
            ),
        ];
        for (description, body, expected) in table {
            assert_eq!(
                changes(&Stream::default().push(&message(UPDATE, &body))),
                expected,
                "{description}"
            );
        }
    }

    #[test]
    fn messages_are_found_at_any_split_and_after_a_cut_start() {
        let mut bytes = vec![1, 2, 3]; // the tail of a message before the capture
        bytes.extend(message(4, &[]));
        bytes.extend(message(UPDATE, &update(&NET_V4, &[], &[])));
        let expected = [Change::Withdraw(net("192.0.2.0/24"))];
        for split in 0..bytes.len() {
            let mut stream = Stream::default();
            let mut routes = stream.push(&bytes[..split]);
            routes.extend(stream.push(&bytes[split..]));
            assert_eq!(changes(&routes), expected, "split at {split}");
        }
    }

    #[test]
    fn malformed_updates_say_nothing() {
        for body in [
            &[0, 9, 24][..],
            &[0, 4, 33, 1, 2, 3, 0, 0],
            &[0, 0, 0, 9, 1],
        ] {
            assert_eq!(
                Stream::default().push(&message(UPDATE, body)),
                [],
                "{body:?}"
            );
        }
    }
}
