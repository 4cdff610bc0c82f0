//! What this host serves and where: listening TCP sockets, UDP sockets that look like
//! a server's, its addresses, and the interfaces of its default routes. For running without a configuration, and for
//! `interfaces = "auto"`.
//!
//! ```text
//! /proc/self/net/{tcp,udp}{,6} ─▶ sockets ─┐
//! rtnetlink addresses ─────────────────────┴▶ endpoints
//! rtnetlink routes + links ──────────────▶ interfaces
//! ```
//!
//! Sockets are read through the process's own network namespace (`/proc/self/net`),
//! and interfaces by netlink, since `/sys/class/net` shows the namespace of its
//! mount.

mod sockets;

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
use probe_core::config::{Detect, Endpoint, Protocol, Service};
use rtnetlink::{Handle, RouteMessageBuilder};

use self::sockets::endpoints;
use crate::config::{default_probe, usual_application};

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

/// The services that are found here, each with `detect`, and TCP services with a
/// seldom TCP probe.
pub async fn services(detect: Detect) -> Result<Vec<Service>, Error> {
    let mut listeners = Vec::new();
    for (protocol, path) in [
        (Protocol::Tcp, "/proc/self/net/tcp"),
        (Protocol::Tcp, "/proc/self/net/tcp6"),
        (Protocol::Udp, "/proc/self/net/udp"),
        (Protocol::Udp, "/proc/self/net/udp6"),
    ] {
        match std::fs::read_to_string(path) {
            Ok(text) => listeners.extend(sockets::listeners(&text, protocol)),
            // A kernel without IPv6 has no tcp6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.ends_with('6') => {}
            Err(source) => return Err(Error::Sockets { path, source }),
        }
    }
    let clients = sockets::ephemeral_ports();
    listeners.retain(|listener| listener.is_server(&clients));
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
        application: usual_application(endpoint.protocol, endpoint.port),
        detect,
        probe,
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

/// A netlink socket for requests, within a tokio runtime.
pub fn connect() -> Result<Handle, Error> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Netlink)?;
    tokio::spawn(connection);
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

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
