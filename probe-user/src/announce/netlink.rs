//! The kernel's side of route control: two rtnetlink sockets.
//!
//! In flow [`Change`]s and the wish to read the table; out flow acknowledgements,
//! the table's routes, and [`Event`]s when anybody changes it. Requests and events
//! have a socket each, so that a burst of other programs' events that overruns the
//! one cannot swallow an answer on the other.

use core::{net::IpAddr, time::Duration};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
};

use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteScope, RouteType},
};
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::{
    Handle, MulticastGroup, new_connection_with_strict_check, new_multicast_connection,
    sys::AsyncSocket,
};
use tokio::task::JoinHandle;

use super::{
    reconcile::Change,
    route::{Kind, Route},
};

/// No request waits longer for its answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Room for some 10,000 route events: the kernel drops what does not fit.
const EVENT_BUFFER: usize = 16 << 20;
/// A table that changes while it is read is read again so often.
const DUMP_ATTEMPTS: usize = 5;

/// What somebody did to the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A route was added or replaced.
    Appeared(IpNet, Route),
    /// A route was removed.
    Gone(IpNet, Route),
    /// Events were lost: only reading the table tells.
    Overrun,
}

/// The two sockets.
pub struct Kernel {
    table: u32,
    requests: Handle,
    events: BoxStream<'static, Event>,
    connections: [JoinHandle<()>; 2],
}

impl Drop for Kernel {
    fn drop(&mut self) {
        for connection in &self.connections {
            connection.abort();
        }
    }
}

impl Kernel {
    /// Opens the sockets and subscribes to the route events of both families. Must
    /// be called within a tokio runtime.
    pub fn connect(table: u32) -> io::Result<Self> {
        let (mut requests, handle, _) = new_connection_with_strict_check()?;
        // Errors of a dump come in its last message.
        requests.set_forward_done(true);
        let (mut monitor, _, events) =
            new_multicast_connection(&[MulticastGroup::Ipv4Route, MulticastGroup::Ipv6Route])?;
        enlarge_buffer(monitor.socket_mut().socket_ref());
        let events = events
            .filter_map(move |(message, _)| core::future::ready(event(table, &message)))
            .boxed();
        Ok(Self {
            table,
            requests: handle,
            events,
            connections: [tokio::spawn(requests), tokio::spawn(monitor)],
        })
    }

    /// The next event; none when the socket is lost.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.next().await
    }

    /// The next event if there is one already.
    pub fn next_event_now(&mut self) -> Option<Event> {
        self.events.next().now_or_never().flatten()
    }

    /// Every route of the table, both families.
    pub async fn dump(&mut self) -> io::Result<Vec<(IpNet, Route)>> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut attempt = 1;
            loop {
                let (interrupted, mut found) = self.dump_family(family).await?;
                if !interrupted {
                    routes.append(&mut found);
                    break;
                }
                if attempt == DUMP_ATTEMPTS {
                    return Err(io::Error::new(
                        io::ErrorKind::Interrupted,
                        format!("the table changed during each of {DUMP_ATTEMPTS} readings"),
                    ));
                }
                attempt += 1;
            }
        }
        Ok(routes)
    }

    async fn dump_family(
        &mut self,
        family: AddressFamily,
    ) -> io::Result<(bool, Vec<(IpNet, Route)>)> {
        // A strict dump takes every field of the header as a filter: leave them unset.
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        message.attributes.push(RouteAttribute::Table(self.table));
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;

        let table = self.table;
        let mut routes = Vec::new();
        let mut interrupted = false;
        self.exchange(request, |answer| {
            interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
            // A kernel without IPv6 answers the wish for it with every family.
            if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(message)) =
                &answer.payload
                && message.header.address_family == family
            {
                routes.extend(route(table, message));
            }
        })
        .await
        .or_else(|error| match error.raw_os_error() {
            // A table comes into being with its first route.
            Some(libc::ENOENT) => Ok(()),
            _ => Err(error),
        })?;
        Ok((interrupted, routes))
    }

    /// Makes one change and returns when the kernel has acknowledged it.
    pub async fn change(&mut self, prefix: IpNet, change: Change) -> io::Result<()> {
        let message = |route, kind, scope| build(prefix, self.table, route, kind, scope);
        let ours = |route| {
            RouteNetlinkMessage::NewRoute(message(
                route,
                RouteType::BlackHole,
                RouteScope::Universe,
            ))
        };
        let (payload, flags) = match change {
            Change::Add(route) => (ours(route), NLM_F_CREATE | NLM_F_EXCL),
            Change::Replace(route) => (ours(route), NLM_F_REPLACE),
            // Any kind and scope, but only of our protocol: both families compare
            // the protocol, so a foreign route survives even a race.
            Change::Remove(route) => (
                RouteNetlinkMessage::DelRoute(message(
                    route,
                    RouteType::Unspec,
                    RouteScope::NoWhere,
                )),
                0,
            ),
        };
        let mut request = NetlinkMessage::from(payload);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        self.exchange(request, |_| {}).await
    }

    async fn exchange(
        &mut self,
        request: NetlinkMessage<RouteNetlinkMessage>,
        mut each: impl FnMut(&NetlinkMessage<RouteNetlinkMessage>),
    ) -> io::Result<()> {
        let mut answers = self
            .requests
            .request(request)
            .map_err(|_| io::Error::from(io::ErrorKind::NotConnected))?;
        let all = async {
            while let Some(answer) = answers.next().await {
                let code = match &answer.payload {
                    NetlinkPayload::Error(error) => error.raw_code(),
                    NetlinkPayload::Done(done) => done.code,
                    _ => 0,
                };
                if code < 0 {
                    return Err(io::Error::from_raw_os_error(-code));
                }
                each(&answer);
            }
            Ok(())
        };
        tokio::time::timeout(REQUEST_TIMEOUT, all)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Makes the event socket's buffer large, as far as we may. The default holds some
/// 260 events; with less room an overrun leads to a dump, which is slower.
fn enlarge_buffer(socket: &impl AsFd) {
    if setsockopt(socket, sockopt::RcvBufForce, &EVENT_BUFFER).is_err()
        && let Err(error) = setsockopt(socket, sockopt::RcvBuf, &EVENT_BUFFER)
    {
        tracing::warn!(%error, "the buffer for route events stays small");
    }
}

fn build(
    prefix: IpNet,
    table: u32,
    route: Route,
    kind: RouteType,
    scope: RouteScope,
) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = match prefix {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.header.destination_prefix_length = prefix.prefix_len();
    message.header.protocol = route.protocol.into();
    message.header.kind = kind;
    message.header.scope = scope;
    message.attributes = vec![
        RouteAttribute::Destination(prefix.network().into()),
        RouteAttribute::Table(table),
        RouteAttribute::Priority(route.metric),
    ];
    message
}

fn event(table: u32, message: &NetlinkMessage<RouteNetlinkMessage>) -> Option<Event> {
    match &message.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(message)) => {
            route(table, message).map(|(prefix, route)| Event::Appeared(prefix, route))
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelRoute(message)) => {
            route(table, message).map(|(prefix, route)| Event::Gone(prefix, route))
        }
        NetlinkPayload::Overrun(_) => Some(Event::Overrun),
        _ => None,
    }
}

/// The route of a message, if it stands in `table` and BIRD could learn it: routes
/// with a type of service or a source prefix are other keys, and ignored by it.
fn route(table: u32, message: &RouteMessage) -> Option<(IpNet, Route)> {
    let header = &message.header;
    let mut in_table = u32::from(header.table);
    let mut metric = 0;
    let mut address: IpAddr = match header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(id) => in_table = *id,
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Destination(RouteAddress::Inet(destination)) => {
                address = (*destination).into();
            }
            RouteAttribute::Destination(RouteAddress::Inet6(destination)) => {
                address = (*destination).into();
            }
            _ => {}
        }
    }
    if in_table != table
        || header.tos != 0
        || header.source_prefix_length != 0
        || header.flags.contains(RouteFlags::Cloned)
    {
        return None;
    }
    let prefix = IpNet::new(address, header.destination_prefix_length).ok()?;
    let kind = match header.kind {
        RouteType::BlackHole => Kind::Blackhole,
        RouteType::Unreachable => Kind::Unreachable,
        RouteType::Prohibit => Kind::Prohibit,
        RouteType::Unicast => Kind::Unicast,
        other => Kind::Other(other.into()),
    };
    let route = Route {
        metric,
        protocol: header.protocol.into(),
        kind,
    };
    Some((prefix, route))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Route = Route {
        metric: 32,
        protocol: 201,
        kind: Kind::Blackhole,
    };

    fn message(prefix: &str, table: u32) -> RouteMessage {
        build(
            prefix.parse().unwrap(),
            table,
            OURS,
            RouteType::BlackHole,
            RouteScope::Universe,
        )
    }

    #[test]
    fn what_is_built_reads_back() {
        for prefix in ["192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0", "::/0"] {
            for table in [42, 4242] {
                assert_eq!(
                    route(table, &message(prefix, table)),
                    Some((prefix.parse().unwrap(), OURS)),
                    "{prefix} in table {table}"
                );
            }
        }
    }

    #[test]
    fn a_default_route_comes_without_destination() {
        for (prefix, family) in [
            ("0.0.0.0/0", AddressFamily::Inet),
            ("::/0", AddressFamily::Inet6),
        ] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            message.header.table = 42;
            let (found, _) = route(42, &message).unwrap();
            assert_eq!(found, prefix.parse().unwrap());
        }
    }

    #[test]
    fn routes_that_are_no_concern_of_ours_are_left_out() {
        type Twist = fn(&mut RouteMessage);
        let cases: [(&str, Twist); 4] = [
            ("another table", |message| {
                message.attributes.push(RouteAttribute::Table(4243));
            }),
            ("type of service", |message| message.header.tos = 8),
            ("source prefix", |message| {
                message.header.source_prefix_length = 24;
            }),
            ("cache entry", |message| {
                message.header.flags.insert(RouteFlags::Cloned);
            }),
        ];
        for (description, twist) in cases {
            let mut message = message("2001:db8::/32", 4242);
            twist(&mut message);
            assert_eq!(route(4242, &message), None, "{description}");
        }
    }

    #[test]
    fn lost_events_are_told() {
        let mut message =
            NetlinkMessage::from(RouteNetlinkMessage::NewRoute(message("192.0.2.0/24", 4242)));
        message.payload = NetlinkPayload::Overrun(Vec::new());
        assert_eq!(event(4242, &message), Some(Event::Overrun));
    }
}
