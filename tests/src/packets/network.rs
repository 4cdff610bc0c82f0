//! IPv4 and IPv6 headers (RFC 791, RFC 8200).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    checksum::{Checksum, fill},
    length,
};

/// The network layer of a frame.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) options: Vec<u8>,
    pub(super) extensions: Vec<(u8, Vec<u8>)>,
    pub(super) fragment: u16,
}

impl Network {
    pub(super) fn new(source: IpAddr, destination: IpAddr) -> Self {
        assert_eq!(
            source.is_ipv4(),
            destination.is_ipv4(),
            "a packet has one IP version"
        );
        Self {
            source,
            destination,
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: 0,
        }
    }

    /// The Ethernet type of its version.
    pub(super) fn ethertype(&self) -> [u8; 2] {
        ethertype(self.source)
    }

    /// All headers, for a payload of this protocol and length.
    pub(super) fn header(&self, protocol: u8, payload: usize) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.header4(source, destination, protocol, payload)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.header6(source, destination, protocol, payload)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                unreachable!("`new` takes one IP version only")
            }
        }
    }

    fn header4(
        &self,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: u8,
        payload: usize,
    ) -> Vec<u8> {
        let header_length = 20 + self.options.len();
        let mut header = vec![0x40 | u8::try_from(header_length / 4).unwrap_or(15), 0];
        header.extend(length(header_length + payload));
        header.extend([0, 0]);
        header.extend(self.fragment.to_be_bytes());
        header.extend([64, protocol, 0, 0]);
        header.extend(source.octets());
        header.extend(destination.octets());
        header.extend(&self.options);
        fill(&mut header, 10, &[], Checksum::Full);
        header
    }

    fn header6(
        &self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        protocol: u8,
        payload: usize,
    ) -> Vec<u8> {
        let extensions: usize = self.extensions.iter().map(|(_, rest)| rest.len() + 1).sum();
        let numbers: Vec<u8> = self
            .extensions
            .iter()
            .map(|(number, _)| *number)
            .chain([protocol])
            .collect();
        let mut header = vec![0x60, 0, 0, 0];
        header.extend(length(extensions + payload));
        header.extend([numbers[0], 64]);
        header.extend(source.octets());
        header.extend(destination.octets());
        for ((_, rest), next) in self.extensions.iter().zip(&numbers[1..]) {
            header.push(*next);
            header.extend(rest);
        }
        header
    }
}

/// The Ethernet type of an address's IP version.
pub(super) fn ethertype(address: IpAddr) -> [u8; 2] {
    match address {
        IpAddr::V4(_) => [0x08, 0x00],
        IpAddr::V6(_) => [0x86, 0xdd],
    }
}
