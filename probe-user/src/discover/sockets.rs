//! Sockets, and whom they serve.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use probe_core::config::{Endpoint, Protocol};

/// Well-known ports (RFC 6335).
const WELL_KNOWN: RangeInclusive<u16> = 1..=1023;
/// At a wildcard only these are known to be servers.
const SERVERS: [u16; 2] = [53, 443];
/// Well-known ports of clients: DHCP, for IPv4 and IPv6.
const CLIENTS: [u16; 2] = [68, 546];

/// A socket to which strangers may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Its address; unspecified means every address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its IP protocol.
    pub protocol: Protocol,
}

impl Listener {
    /// Whether it is a server's. A UDP socket does not say; a client's looks the same
    /// while it waits for its answer.
    pub fn is_server(&self, ephemeral: &RangeInclusive<u16>) -> bool {
        match self.protocol {
            Protocol::Tcp => true,
            Protocol::Udp => {
                let known = if self.address.is_unspecified() {
                    SERVERS.contains(&self.port)
                } else {
                    WELL_KNOWN.contains(&self.port) && !CLIENTS.contains(&self.port)
                };
                known && !ephemeral.contains(&self.port)
            }
        }
    }
}

/// The ports that the kernel gives to clients.
pub fn ephemeral_ports() -> RangeInclusive<u16> {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| parse_range(&text))
        .unwrap_or(32_768..=60_999)
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut ports = text.split_ascii_whitespace().map(str::parse);
    Some(ports.next()?.ok()?..=ports.next()?.ok()?)
}

/// The sockets in the text of `/proc/net/tcp`, `tcp6`, `udp` or `udp6` to which
/// strangers may send: listening ones of TCP, unconnected ones of UDP. Lines that
/// cannot be read are none.
pub fn listeners(text: &str, protocol: Protocol) -> Vec<Listener> {
    // TCP_LISTEN and TCP_CLOSE of include/net/tcp_states.h.
    let state = match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
    };
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let local = fields.next()?;
            let _remote = fields.next()?;
            (fields.next()? == state).then(|| parse_socket(local, protocol))?
        })
        .collect()
}

/// `0100007F:0277`: the address as 32-bit words of the host's byte order, the port
/// as a number.
fn parse_socket(text: &str, protocol: Protocol) -> Option<Listener> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16)
        .ok()
        .filter(|port| *port != 0)?;
    let word = |range| {
        let word: &str = address.get(range)?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0..8)?)),
        32 => {
            let mut octets = [0; 16];
            for (index, octets) in octets.chunks_exact_mut(4).enumerate() {
                octets.copy_from_slice(&word(index * 8..index * 8 + 8)?);
            }
            // An IPv4 address in IPv6 clothes is an IPv4 listener.
            Ipv6Addr::from(octets).to_canonical()
        }
        _ => return None,
    };
    Some(Listener {
        address,
        port,
        protocol,
    })
}

/// Each listener at each address it answers on. A wildcard answers on every address
/// of the host; the IPv6 wildcard on the IPv4 ones too, as is the kernel's default.
/// Loopback and link-local addresses serve nobody else.
pub fn endpoints(listeners: &[Listener], addresses: &[IpAddr]) -> Vec<Endpoint> {
    let mut found = BTreeSet::new();
    for listener in listeners {
        let all_families = listener.address == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let at: Vec<IpAddr> = if listener.address.is_unspecified() {
            addresses
                .iter()
                .copied()
                .filter(|address| all_families || address.is_ipv4() == listener.address.is_ipv4())
                .collect()
        } else {
            vec![listener.address]
        };
        found.extend(
            at.into_iter()
                .filter(|address| is_reachable(*address))
                .map(|address| Endpoint {
                    address,
                    port: listener.port,
                    protocol: listener.protocol,
                }),
        );
    }
    found.into_iter().collect()
}

fn is_reachable(address: IpAddr) -> bool {
    let for_one = match address {
        IpAddr::V4(address) => !address.is_link_local() && !address.is_broadcast(),
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    };
    for_one && !address.is_loopback() && !address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21344 1 0000000000000000 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21350 1 0000000000000000 100 0 0 10 0
   2: 0A0200C0:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21351 1 0000000000000000 100 0 0 10 0
   3: 0A0200C0:01BB 076433C6:C350 01 00000000:00000000 00:00000000 00000000     0        0 21352 1 0000000000000000 100 0 0 10 0
   4: broken
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: B80D0120000000000000000010000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   2: 0000000000000000FFFF00000A0200C0:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   3: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
";

    fn shown(listeners: &[Listener]) -> Vec<String> {
        listeners
            .iter()
            .map(|listener| std::net::SocketAddr::new(listener.address, listener.port).to_string())
            .collect()
    }

    // The samples are of a little-endian host, as the kernel prints words in its own order.
    #[cfg(target_endian = "little")]
    #[test]
    fn only_listening_sockets_are_listeners() {
        assert_eq!(
            shown(&listeners(TCP, Protocol::Tcp)),
            ["127.0.0.1:631", "0.0.0.0:80", "192.0.2.10:443"]
        );
        assert_eq!(
            shown(&listeners(TCP6, Protocol::Tcp)),
            [
                "[::]:22",
                "[2001:db8::10]:443",
                "192.0.2.10:8080",
                "[::1]:53"
            ]
        );
        assert_eq!(listeners("", Protocol::Tcp), []);
    }

    #[test]
    fn a_wildcard_answers_on_every_address_and_loopback_serves_nobody() {
        let listener = |address: &str, port| Listener {
            address: address.parse().unwrap(),
            port,
            protocol: Protocol::Tcp,
        };
        let addresses: Vec<IpAddr> = ["127.0.0.1", "192.0.2.10", "2001:db8::10", "fe80::1", "::1"]
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        let found = endpoints(
            &[
                listener("0.0.0.0", 80),
                listener("::", 22),
                listener("127.0.0.1", 25),
                listener("192.0.2.10", 80),
            ],
            &addresses,
        );
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "192.0.2.10:22/tcp",
                "192.0.2.10:80/tcp",
                "[2001:db8::10]:22/tcp"
            ]
        );
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn udp_sockets_that_look_like_a_server_s_are_services() {
        const UDP: &str = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
   10: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0
   11: 0A0200C0:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0
   12: 0A0200C0:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0
   13: 0A0200C0:007B 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0
   14: 00000000:007B 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0
   15: 00000000:A1B2 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0
   16: 0A0200C0:A1B2 08080808:0035 01 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0
   17: 00000000:01BB 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0
";
        let ephemeral = parse_range("32768\t60999\n").unwrap();
        let mut found = listeners(UDP, Protocol::Udp);
        assert_eq!(found.len(), 7, "a connected socket serves one peer");
        found.retain(|listener| listener.is_server(&ephemeral));
        assert_eq!(
            shown(&found),
            [
                "0.0.0.0:53",
                "192.0.2.10:53",
                "192.0.2.10:123",
                "0.0.0.0:443"
            ]
        );
        let wide = parse_range("1 65535").unwrap();
        assert!(!found.iter().any(|listener| listener.is_server(&wide)));
    }
}
