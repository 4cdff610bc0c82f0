//! Hears what happens in one kernel routing table of a node: the independent
//! witness of "the kernel's route is gone", whatever the daemon's journal says.

use std::{
    net::IpAddr,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use ipnet::IpNet;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    route::{RouteAddress, RouteAttribute, RouteMessage},
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv,
        setsockopt, socket, sockopt,
    },
};
use probe_core::Timestamp;

use super::{clock, netns::Namespace};

/// One change of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteEvent {
    /// When the notification was read.
    pub at: Timestamp,
    /// Which prefix.
    pub prefix: IpNet,
    /// Whether a route was added or replaced; otherwise it was deleted.
    pub present: bool,
    /// The route's protocol number.
    pub protocol: u8,
}

/// A running watch.
pub struct RouteWatch {
    events: mpsc::Receiver<RouteEvent>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RouteWatch {
    /// Watches `table` of `node` from now on.
    pub fn start(node: &Namespace, table: u32) -> Result<Self> {
        let socket = node.inside(open)??;
        let (sender, events) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("routes".to_owned())
            .spawn(move || listen(&socket, table, &sender, &stopped))?;
        Ok(Self {
            events,
            stop,
            thread: Some(thread),
        })
    }

    /// The next event, if one comes in time.
    pub fn next(&self, timeout: Duration) -> Option<RouteEvent> {
        self.events.recv_timeout(timeout).ok()
    }

    /// Waits until the route of `prefix` appears or vanishes.
    pub fn wait_for(&self, prefix: IpNet, present: bool, timeout: Duration) -> Result<RouteEvent> {
        let start = Instant::now();
        while let Some(event) = self.next(timeout.saturating_sub(start.elapsed())) {
            if event.prefix == prefix && event.present == present {
                return Ok(event);
            }
        }
        bail!("within {timeout:?} no route event: {prefix}, present: {present}")
    }

    /// What was heard up to now.
    pub fn drain(&self) -> Vec<RouteEvent> {
        self.events.try_iter().collect()
    }
}

impl Drop for RouteWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open() -> Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkRoute,
    )?;
    // Room for some 10,000 events: the kernel drops what does not fit.
    setsockopt(&socket, sockopt::RcvBufForce, &(16 << 20))?;
    let groups = u32::try_from(libc::RTMGRP_IPV4_ROUTE | libc::RTMGRP_IPV6_ROUTE)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

fn listen(socket: &OwnedFd, table: u32, events: &mpsc::Sender<RouteEvent>, stop: &AtomicBool) {
    clock::stamp_promptly();
    let mut buffer = vec![0; 0x1_0000];
    while !stop.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(50_u8)).is_err() {
            continue;
        }
        while let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            let at = clock::now();
            for event in parse(&buffer[..length], table, at) {
                if events.send(event).is_err() {
                    return;
                }
            }
        }
    }
}

fn parse(mut bytes: &[u8], table: u32, at: Timestamp) -> Vec<RouteEvent> {
    let mut found = Vec::new();
    while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) {
        let length = usize::try_from(message.header.length)
            .unwrap_or(0)
            .next_multiple_of(4);
        let event = match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
                Some((route, true))
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelRoute(route)) => {
                Some((route, false))
            }
            _ => None,
        };
        found.extend(event.and_then(|(route, present)| {
            let (prefix, of_table) = key(&route)?;
            let protocol = u8::from(route.header.protocol);
            (of_table == table).then_some(RouteEvent {
                at,
                prefix,
                present,
                protocol,
            })
        }));
        match bytes.get(length..) {
            Some(rest) if length > 0 => bytes = rest,
            _ => break,
        }
    }
    found
}

fn key(route: &RouteMessage) -> Option<(IpNet, u32)> {
    let mut table = u32::from(route.header.table);
    let mut destination: Option<IpAddr> = None;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(RouteAddress::Inet(address)) => {
                destination = Some((*address).into());
            }
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => {
                destination = Some((*address).into());
            }
            _ => {}
        }
    }
    let prefix = IpNet::new(destination?, route.header.destination_prefix_length).ok()?;
    Some((prefix, table))
}
