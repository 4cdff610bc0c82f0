//! Transport headers: TCP (RFC 9293), UDP (RFC 768), ICMP (RFC 792, RFC 4443).

use std::net::IpAddr;

use super::{
    checksum::{Checksum, fill, pseudo_header},
    length,
};

/// What an IP packet carries.
#[derive(Clone, Debug)]
pub(super) enum Transport {
    Tcp(Tcp),
    Udp {
        source_port: u16,
        destination_port: u16,
    },
    Icmp {
        kind: u8,
        code: u8,
    },
    /// The payload alone, under this protocol number.
    Raw {
        protocol: u8,
    },
}

/// The fields of a TCP header.
#[derive(Clone, Debug)]
pub(super) struct Tcp {
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) flags: u8,
    pub(super) sequence: u32,
    pub(super) acknowledgment: u32,
    pub(super) window: u16,
    pub(super) options: Vec<u8>,
}

impl Transport {
    /// Its IP protocol number.
    pub(super) fn protocol(&self, source: IpAddr) -> u8 {
        match self {
            Self::Tcp(_) => 6,
            Self::Udp { .. } => 17,
            Self::Icmp { .. } if source.is_ipv4() => 1,
            Self::Icmp { .. } => 58,
            Self::Raw { protocol } => *protocol,
        }
    }

    /// Header and payload.
    pub(super) fn bytes(
        &self,
        source: IpAddr,
        destination: IpAddr,
        payload: &[u8],
        checksum: Checksum,
    ) -> Vec<u8> {
        let (mut bytes, checksum_at) = match self {
            Self::Tcp(tcp) => (tcp.header(), 16),
            Self::Udp {
                source_port,
                destination_port,
            } => {
                let mut header = [source_port, destination_port]
                    .into_iter()
                    .flat_map(|port| port.to_be_bytes())
                    .collect::<Vec<_>>();
                header.extend(length(8 + payload.len()));
                header.extend([0, 0]);
                (header, 6)
            }
            Self::Icmp { kind, code } => (vec![*kind, *code, 0, 0], 2),
            Self::Raw { .. } => return payload.to_vec(),
        };
        bytes.extend(payload);
        let pseudo = match self {
            Self::Icmp { .. } if source.is_ipv4() => Vec::new(),
            Self::Tcp(_) | Self::Udp { .. } | Self::Icmp { .. } | Self::Raw { .. } => {
                pseudo_header(source, destination, self.protocol(source), bytes.len())
            }
        };
        fill(&mut bytes, checksum_at, &pseudo, checksum);
        if matches!(self, Self::Udp { .. }) && checksum == Checksum::Full && bytes[6..8] == [0, 0] {
            // A zero would say "none" (RFC 768).
            bytes[6..8].copy_from_slice(&[0xff, 0xff]);
        }
        bytes
    }
}

impl Tcp {
    fn header(&self) -> Vec<u8> {
        let header_length = 20 + self.options.len();
        let mut header = Vec::new();
        header.extend(self.source_port.to_be_bytes());
        header.extend(self.destination_port.to_be_bytes());
        header.extend(self.sequence.to_be_bytes());
        header.extend(self.acknowledgment.to_be_bytes());
        header.push(u8::try_from(header_length / 4).unwrap_or(15) << 4);
        header.push(self.flags);
        header.extend(self.window.to_be_bytes());
        header.extend([0, 0, 0, 0]);
        header.extend(&self.options);
        header
    }
}
