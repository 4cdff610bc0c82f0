//! The internet checksum (RFC 1071), and what a checksum field may hold.

use std::net::IpAddr;

use super::length;

/// What a checksum field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    /// As on a wire.
    Full,
    /// Only the pseudo-header's sum, as an offloading sender leaves it.
    Partial,
    /// None: UDP over IPv4 allows it (RFC 768).
    Zero,
    /// One that does not fit.
    Wrong,
}

/// RFC 1071's sum, by bytes.
pub(super) fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

/// The pseudo-header. That of IPv6 (RFC 8200 section 8.1) has wider fields than that
/// of IPv4 (RFC 9293 section 3.1), but the same sum for packets below 64 KiB.
pub(super) fn pseudo_header(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: usize,
) -> Vec<u8> {
    let mut header = Vec::new();
    for address in [source, destination] {
        match address {
            IpAddr::V4(address) => header.extend(address.octets()),
            IpAddr::V6(address) => header.extend(address.octets()),
        }
    }
    header.extend([0, protocol]);
    header.extend(length(payload));
    header
}

/// Fills in the two bytes at `at`, which are zero, for `bytes` behind `pseudo`.
pub(super) fn fill(bytes: &mut [u8], at: usize, pseudo: &[u8], checksum: Checksum) {
    let value = match checksum {
        Checksum::Full => !sum(&[pseudo, bytes].concat()),
        Checksum::Partial => sum(pseudo),
        Checksum::Zero => 0,
        Checksum::Wrong => !sum(&[pseudo, bytes].concat()) ^ 0x5555,
    };
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
