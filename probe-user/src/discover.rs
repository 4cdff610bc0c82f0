//! What this host serves and where: listening TCP sockets, its addresses, and the
//! interfaces of its default routes. For running without a configuration, and for
//! `interfaces = "auto"`.
//!
//! ```text
//! /proc/self/net/tcp{,6} ─▶ listeners ─┐
//! rtnetlink addresses ─────────────────┴▶ endpoints
//! rtnetlink routes + links ──────────────▶ interfaces
//! ```
//!
//! Sockets are read through the process's own network namespace (`/proc/self/net`),
//! and interfaces by netlink, since `/sys/class/net` shows the namespace of its
//! mount.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures_util::TryStreamExt;
use netlink_packet_route::{
    address::{AddressAttribute, AddressHeaderFlags, AddressScope},
    link::LinkAttribute,
    route::{RouteAttribute, RouteHeader, RouteMessage, RouteType},
};
use probe_core::config::{Application, Detect, Endpoint, Protocol, Service};
use rtnetlink::{Handle, RouteMessageBuilder};

use crate::config::default_probe;

/// Time between two probes of a found service: seldom, since nobody asked for them.
const PROBE_INTERVAL: std::time::Duration = std::time::Duration::from_mins(1);

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sockets could not be read.
    #[error("cannot read {path}: {source}\nhelp: mount /proc, or configure the services")]
    Sockets {
        /// Which file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No netlink socket.
    #[error(
        "cannot open a netlink socket: {0}\nhelp: allow AF_NETLINK, or configure the interfaces"
    )]
    Netlink(#[source] io::Error),
    /// The kernel did not answer.
    #[error("cannot ask the kernel for its {what}: {source}")]
    Dump {
        /// For what.
        what: &'static str,
        /// Why.
        source: rtnetlink::Error,
    },
    /// There is no default route.
    #[error(
        "there is no default route whose interface could be measured\nhelp: name the interfaces: `interfaces = [\"eth0\"]` in [daemon], or `--interface eth0`"
    )]
    NoDefaultRoute,
}

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Its address; unspecified means every address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

/// The services that listen here, each with `detect` and a seldom TCP probe.
pub async fn services(detect: Detect) -> Result<Vec<Service>, Error> {
    let mut listeners = Vec::new();
    for path in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        match std::fs::read_to_string(path) {
            Ok(text) => listeners.extend(parse_listeners(&text)),
            // A kernel without IPv6 has no tcp6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.ends_with('6') => {}
            Err(source) => return Err(Error::Sockets { path, source }),
        }
    }
    let addresses = addresses(&connect()?).await?;
    Ok(endpoints(&listeners, &addresses)
        .into_iter()
        .map(|endpoint| service(endpoint, detect))
        .collect())
}

fn service(endpoint: Endpoint, detect: Detect) -> Service {
    let mut probe = default_probe(endpoint);
    probe.interval = PROBE_INTERVAL;
    Service {
        name: endpoint.to_string(),
        endpoint,
        application: Application::default(),
        detect,
        probe,
    }
}

/// The listening sockets in the text of `/proc/net/tcp` or `tcp6`. Lines that cannot
/// be read are no listeners.
pub fn parse_listeners(text: &str) -> Vec<Listener> {
    const LISTEN: &str = "0A";
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let local = fields.next()?;
            let _remote = fields.next()?;
            (fields.next()? == LISTEN).then(|| parse_socket(local))?
        })
        .collect()
}

/// `0100007F:0277`: the address as 32-bit words of the host's byte order, the port
/// as a number.
fn parse_socket(text: &str) -> Option<Listener> {
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
    Some(Listener { address, port })
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
                    protocol: Protocol::Tcp,
                }),
        );
    }
    found.into_iter().collect()
}

fn is_reachable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    }
}

/// Whether this host (this network namespace) has an interface of that name.
pub fn interface_exists(name: &str) -> bool {
    nix::net::if_::if_nametoindex(name).is_ok()
}

/// The names of the interfaces of the default routes of both families, in order.
pub async fn default_interfaces() -> Result<Vec<String>, Error> {
    let handle = connect()?;
    let mut indices = BTreeSet::new();
    for request in [
        RouteMessageBuilder::<Ipv4Addr>::new().build(),
        RouteMessageBuilder::<Ipv6Addr>::new().build(),
    ] {
        let mut routes = handle.route().get(any_route(request)).execute();
        while let Some(route) = routes.try_next().await.map_err(|source| Error::Dump {
            what: "routes",
            source,
        })? {
            indices.extend(default_route_interfaces(&route));
        }
    }
    let mut names = Vec::new();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await.map_err(|source| Error::Dump {
        what: "interfaces",
        source,
    })? {
        if indices.contains(&link.header.index) {
            names.extend(link.attributes.into_iter().find_map(|attribute| {
                if let LinkAttribute::IfName(name) = attribute {
                    Some(name)
                } else {
                    None
                }
            }));
        }
    }
    if names.is_empty() {
        return Err(Error::NoDefaultRoute);
    }
    Ok(names)
}

/// The builder's own defaults would filter the answer: table main is meant, any
/// protocol, scope and kind.
fn any_route(mut request: RouteMessage) -> RouteMessage {
    request.header.kind = RouteType::Unspec;
    request.header.protocol = netlink_packet_route::route::RouteProtocol::Unspec;
    request.header.scope = netlink_packet_route::route::RouteScope::Universe;
    request
}

/// The interfaces of a default unicast route of the main table; of all its next
/// hops, if it has several.
fn default_route_interfaces(route: &RouteMessage) -> Vec<u32> {
    if route.header.destination_prefix_length != 0
        || route.header.table != RouteHeader::RT_TABLE_MAIN
        || route.header.kind != RouteType::Unicast
    {
        return Vec::new();
    }
    route
        .attributes
        .iter()
        .flat_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => vec![*index],
            RouteAttribute::MultiPath(hops) => hops.iter().map(|hop| hop.interface_index).collect(),
            _ => Vec::new(),
        })
        .collect()
}

/// The host's addresses of global scope.
async fn addresses(handle: &Handle) -> Result<Vec<IpAddr>, Error> {
    let mut found = BTreeSet::new();
    let mut messages = handle.address().get().execute();
    while let Some(message) = messages.try_next().await.map_err(|source| Error::Dump {
        what: "addresses",
        source,
    })? {
        if message.header.scope != AddressScope::Universe
            || message.header.flags.contains(AddressHeaderFlags::Tentative)
        {
            continue;
        }
        // On a point-to-point link `Address` is the peer's and `Local` ours.
        let mut address = None;
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(local) => address = Some(*local),
                AddressAttribute::Address(other) => address = address.or(Some(*other)),
                _ => {}
            }
        }
        found.extend(address);
    }
    Ok(found.into_iter().collect())
}

fn connect() -> Result<Handle, Error> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Netlink)?;
    tokio::spawn(connection);
    Ok(handle)
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
            shown(&parse_listeners(TCP)),
            ["127.0.0.1:631", "0.0.0.0:80", "192.0.2.10:443"]
        );
        assert_eq!(
            shown(&parse_listeners(TCP6)),
            [
                "[::]:22",
                "[2001:db8::10]:443",
                "192.0.2.10:8080",
                "[::1]:53"
            ]
        );
        assert_eq!(parse_listeners(""), []);
    }

    #[test]
    fn a_wildcard_answers_on_every_address_and_loopback_serves_nobody() {
        let listener = |address: &str, port| Listener {
            address: address.parse().unwrap(),
            port,
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

    #[test]
    fn the_interfaces_of_all_next_hops_of_a_default_route_count() {
        let mut route = RouteMessageBuilder::<Ipv4Addr>::new().build();
        route.header.table = RouteHeader::RT_TABLE_MAIN;
        route.header.kind = RouteType::Unicast;
        route.attributes = vec![RouteAttribute::Oif(3)];
        assert_eq!(default_route_interfaces(&route), [3]);
        let mut other = route.clone();
        other.header.destination_prefix_length = 24;
        assert!(default_route_interfaces(&other).is_empty());
        let mut blackhole = route;
        blackhole.header.kind = RouteType::BlackHole;
        assert!(default_route_interfaces(&blackhole).is_empty());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn this_host_can_be_asked() {
        assert!(interface_exists("lo"));
        assert!(!interface_exists("no-such-if"));
        services(crate::config::Settings::without_file().detect)
            .await
            .unwrap();
    }
}
