//! BGP as it stands on the wire (RFC 4271, MP-BGP of RFC 4760): just enough to say
//! which prefixes an UPDATE announces and which it withdraws.
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

const MARKER: [u8; 16] = [0xff; 16];
const HEADER: usize = 19;
/// Extended messages (RFC 8654) are not negotiated in the lab.
const LONGEST: usize = 4096;
const UPDATE: u8 = 2;
const EXTENDED_LENGTH: u8 = 0x10;
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
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Change> {
        self.pending.extend_from_slice(bytes);
        let mut changes = Vec::new();
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
                changes.extend(parse_update(&message[HEADER..]).unwrap_or_default());
            }
        }
        changes
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
fn parse_update(body: &[u8]) -> Option<Vec<Change>> {
    let (withdrawn, rest) = counted(body)?;
    let (mut attributes, nlri) = counted(rest)?;
    let mut changes = Vec::new();
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
            _ => {}
        }
    }
    changes.extend(prefixes(AFI_IPV4, nlri)?.into_iter().map(Change::Announce));
    Some(changes)
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

    const WITHDRAW_V4: [u8; 8] = [0, 4, 24, 192, 0, 2, 0, 0];

    #[test]
    fn updates_of_both_families_are_read() {
        // Description, body, expectation.
        let announce_v4 = [
            &[0, 0, 0, 14][..],
            &[0x40, 1, 1, 0],                               // ORIGIN
            &[0x40, 3, 4, 198, 19, 1, 2, 0x40, 5, 0][..10], // NEXT_HOP, LOCAL_PREF (empty)
            &[24, 192, 0, 2],
        ]
        .concat();
        let announce_v6 = [
            &[0, 0, 0, 31][..],
            &[0x90, 14, 0, 27], // MP_REACH with an extended length
            &[0, 2, 1, 16],
            &[0x20; 16],
            &[0, 48, 0x20, 0x01, 0x0d, 0xb8, 0, 0x0a][..7],
        ]
        .concat();
        let mut announce_v6 = announce_v6;
        // Its lengths depend on its parts: patch them in rather than count by hand.
        let attribute = announce_v6.len() - 8;
        announce_v6[7] = u8::try_from(attribute).unwrap();
        announce_v6[3] = u8::try_from(attribute + 4).unwrap();
        let withdraw_v6 = [
            0, 0, 0, 13, 0x80, 15, 10, 0, 2, 1, 48, 0x20, 0x01, 0x0d, 0xb8, 0, 0x0a,
        ];
        let table: [(&str, &[u8], Vec<Change>); 6] = [
            (
                "IPv4 withdraw",
                &WITHDRAW_V4,
                vec![Change::Withdraw(net("192.0.2.0/24"))],
            ),
            (
                "IPv4 announce",
                &announce_v4,
                vec![Change::Announce(net("192.0.2.0/24"))],
            ),
            (
                "IPv6 withdraw",
                &withdraw_v6,
                vec![Change::Withdraw(net("2001:db8:a::/48"))],
            ),
            (
                "IPv6 announce",
                &announce_v6,
                vec![Change::Announce(net("2001:db8:a::/48"))],
            ),
            ("end of RIB", &[0, 0, 0, 0], vec![]),
            (
                "end of RIB, IPv6",
                &[0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1],
                vec![],
            ),
        ];
        for (description, body, expected) in table {
            assert_eq!(
                Stream::default().push(&message(UPDATE, body)),
                expected,
                "{description}"
            );
        }
    }

    #[test]
    fn messages_are_found_at_any_split_and_after_a_cut_start() {
        let mut bytes = vec![1, 2, 3]; // the tail of a message before the capture
        bytes.extend(message(4, &[]));
        bytes.extend(message(UPDATE, &WITHDRAW_V4));
        let expected = [Change::Withdraw(net("192.0.2.0/24"))];
        for split in 0..bytes.len() {
            let mut stream = Stream::default();
            let mut changes = stream.push(&bytes[..split]);
            changes.extend(stream.push(&bytes[split..]));
            assert_eq!(changes, expected, "split at {split}");
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
