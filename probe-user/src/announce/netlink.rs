//! The kernel's side of route control: two rtnetlink sockets.
//!
//! In flow [`Change`]s and the wish to read the table; out flow acknowledgements,
//! the table's routes, and [`Event`]s when anybody changes it. Requests and events
//! have a socket each, so that a burst of other programs' events that overruns the
//! one cannot swallow an answer on the other.

mod message;

use core::time::Duration;
use std::{io, os::fd::AsFd};

use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAttribute, RouteMessage},
};
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::{
    Handle, MulticastGroup, new_connection_with_strict_check, new_multicast_connection,
    sys::AsyncSocket,
};
use tokio::task::JoinHandle;

use super::{reconcile::Change, route::Route};

/// No request waits longer for its answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
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
    pub fn connect(table: u32, event_buffer_bytes: usize) -> io::Result<Self> {
        let (mut requests, handle, _) = new_connection_with_strict_check()?;
        // Errors of a dump come in its last message.
        requests.set_forward_done(true);
        let (mut monitor, _, events) =
            new_multicast_connection(&[MulticastGroup::Ipv4Route, MulticastGroup::Ipv6Route])?;
        set_buffer(monitor.socket_mut().socket_ref(), event_buffer_bytes);
        let events = events
            .filter_map(move |(message, _)| core::future::ready(message::event(table, &message)))
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
    pub async fn dump(&self) -> io::Result<Vec<(IpNet, Route)>> {
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

    async fn dump_family(&self, family: AddressFamily) -> io::Result<(bool, Vec<(IpNet, Route)>)> {
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
            if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(inner)) =
                &answer.payload
                && inner.header.address_family == family
            {
                routes.extend(message::route(table, inner));
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

    /// Makes one change and returns when the kernel has acknowledged it. Several may
    /// be under way at once; the kernel makes them in the order in which they were
    /// sent.
    pub async fn change(&self, prefix: IpNet, change: Change) -> io::Result<()> {
        let request = message::request(prefix, self.table, change);
        self.exchange(request, |_| {}).await
    }

    async fn exchange(
        &self,
        request: NetlinkMessage<RouteNetlinkMessage>,
        mut each: impl FnMut(&NetlinkMessage<RouteNetlinkMessage>),
    ) -> io::Result<()> {
        let mut answers = self
            .requests
            .clone()
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

/// Sets the size of the event socket's buffer, as far as we may. The default holds
/// some 260 events; with less room an overrun leads to a dump, which is slower.
fn set_buffer(socket: &impl AsFd, bytes: usize) {
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err()
        && let Err(error) = setsockopt(socket, sockopt::RcvBuf, &bytes)
    {
        tracing::warn!(%error, "the buffer for route events stays small");
    }
}
