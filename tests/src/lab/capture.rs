//! Hears BGP on the upstream's own link to a site: a packet socket with the
//! kernel's time of arrival, put together per TCP connection.
//!
//! Frames flow in; [`Heard`] events flow out, in the order of arrival. This is the
//! lab's judge of "the withdraw arrived": it depends neither on the daemon nor on
//! the upstream's BIRD having processed it.

use std::{
    collections::BTreeMap,
    io::IoSliceMut,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    net::if_::if_nametoindex,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        socket::{
            AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol,
            SockType, SockaddrLike as _, bind, recvmsg, setsockopt, socket, sockopt,
        },
        time::TimeSpec,
    },
};
use probe_core::Timestamp;

use super::{
    bgp::{Attributes, Change, Route, Stream},
    clock,
    netns::Namespace,
};

/// One route in an UPDATE that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When the kernel took it from the link.
    pub at: Timestamp,
    /// Who sent it.
    pub peer: IpAddr,
    /// What it says.
    pub change: Change,
    /// How preferable it says that is.
    pub attributes: Attributes,
}

/// A running capture on one interface.
pub struct Capture {
    events: mpsc::Receiver<Heard>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Captures from now on.
    pub fn start(node: &Namespace, interface: &str) -> Result<Self> {
        let interface = interface.to_owned();
        let socket = node.inside(move || open(&interface))??;
        let (sender, events) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || listen(&socket, &sender, &stopped))?;
        Ok(Self {
            events,
            stop,
            thread: Some(thread),
        })
    }

    /// The next event, if one comes in time.
    pub fn next(&self, timeout: Duration) -> Option<Heard> {
        self.events.recv_timeout(timeout).ok()
    }

    /// What was heard up to now.
    pub fn drain(&self) -> Vec<Heard> {
        self.events.try_iter().collect()
    }

    /// Fails if anything is heard within two seconds; `what` says why nothing should be.
    pub fn ensure_quiet(&self, what: &str) -> Result<()> {
        thread::sleep(Duration::from_secs(2));
        let events = self.drain();
        ensure!(events.is_empty(), "{what}: the upstream heard {events:?}");
        Ok(())
    }

    /// Waits until `change` arrives and returns when it did.
    pub fn wait_for(&self, change: Change, timeout: Duration) -> Result<Timestamp> {
        Ok(self.wait_for_all(&[change], timeout)?[0])
    }

    /// Waits until all of `changes` have arrived, in any order.
    pub fn wait_for_all(&self, changes: &[Change], timeout: Duration) -> Result<Vec<Timestamp>> {
        let start = Instant::now();
        let mut times = vec![None; changes.len()];
        loop {
            if let Some(times) = times.iter().copied().collect() {
                return Ok(times);
            }
            let Some(heard) = self.next(timeout.saturating_sub(start.elapsed())) else {
                bail!("not heard upstream within {timeout:?}: {changes:?} (heard at {times:?})");
            };
            for (time, _) in times
                .iter_mut()
                .zip(changes)
                .filter(|(_, change)| **change == heard.change)
            {
                time.get_or_insert(heard.at);
            }
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open(interface: &str) -> Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Packet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )?;
    // The filter first: nothing but BGP may ever be queued.
    attach_filter(&socket)?;
    // A segment that finds no room would be missing for good: what BGP says of ten
    // thousand prefixes comes at once.
    setsockopt(&socket, sockopt::RcvBufForce, &(16 << 20))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    bind(socket.as_raw_fd(), &link_address(interface)?)?;
    Ok(socket)
}

/// An interface as the address of a packet socket.
pub fn link_address(interface: &str) -> Result<LinkAddr> {
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET)?,
        sll_protocol: (SockProtocol::EthAll as u16),
        sll_ifindex: if_nametoindex(interface)?.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer is valid for the length given, and the family is AF_PACKET.
    let address = unsafe {
        LinkAddr::from_raw(
            (&raw const address).cast(),
            Some(u32::try_from(size_of::<libc::sockaddr_ll>())?),
        )
    };
    address.with_context(|| format!("no link address of {interface}"))
}

/// A classic BPF program on the packet from its network header on: incoming TCP from
/// or to port 179, of either family, without IPv4 options or IPv6 extensions before TCP.
fn attach_filter(socket: &OwnedFd) -> Result<()> {
    /// Where the kernel's ancillary data begins (`SKF_AD_OFF`), and its packet type.
    const PACKET_TYPE: u32 = 0xffff_f000 + 4;
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF: u16 = 0x28;
    const AND: u16 = 0x54;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let step = |code, k| libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    };
    let outgoing = u32::from(libc::PACKET_OUTGOING);
    let (tcp, bgp) = (6, 179);
    let mut program = [
        step(LOAD_BYTE, PACKET_TYPE),
        step(JUMP_EQUAL, outgoing),
        step(LOAD_BYTE, 0), // the IP version
        step(AND, 0xf0),
        step(JUMP_EQUAL, 0x40),
        step(LOAD_BYTE, 9), // IPv4: protocol, then ports
        step(JUMP_EQUAL, tcp),
        step(LOAD_HALF, 20),
        step(JUMP_EQUAL, bgp),
        step(LOAD_HALF, 22),
        step(JUMP_EQUAL, bgp),
        step(LOAD_BYTE, 6), // IPv6: next header, then ports
        step(JUMP_EQUAL, tcp),
        step(LOAD_HALF, 40),
        step(JUMP_EQUAL, bgp),
        step(LOAD_HALF, 42),
        step(JUMP_EQUAL, bgp),
        step(RETURN, 0x4_0000), // accept
        step(RETURN, 0),        // drop
    ];
    // Where each jump goes if equal and if not; none: to the next step.
    let (accept, drop) = (program.len() - 2, program.len() - 1);
    for (at, on_true, on_false) in [
        (1, Some(drop), None),
        (4, None, Some(11)),
        (6, None, Some(drop)),
        (8, Some(accept), None),
        (10, Some(accept), Some(drop)),
        (12, None, Some(drop)),
        (14, Some(accept), None),
        (16, Some(accept), Some(drop)),
    ] {
        let distance = |to: Option<usize>| u8::try_from(to.map_or(0, |to| to - at - 1));
        program[at].jt = distance(on_true)?;
        program[at].jf = distance(on_false)?;
    }
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len())?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `filter` points to `len` steps that live until the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            u32::try_from(size_of::<libc::sock_fprog>())?,
        )
    };
    Ok(nix::errno::Errno::result(result).map(|_| ())?)
}

fn listen(socket: &OwnedFd, events: &mpsc::Sender<Heard>, stop: &AtomicBool) {
    let mut flows: BTreeMap<Flow, Reassembly> = BTreeMap::new();
    let mut buffer = vec![0; 0x1_0000];
    while !stop.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(50_u8)).is_err() {
            continue;
        }
        while let Some((at, length)) = receive(socket, &mut buffer) {
            let Some((flow, sequence, payload)) = tcp(&buffer[..length]) else {
                continue;
            };
            let routes = flows.entry(flow).or_default().push(sequence, payload);
            for Route { change, attributes } in routes {
                let heard = Heard {
                    at,
                    peer: flow.source,
                    change,
                    attributes,
                };
                if events.send(heard).is_err() {
                    return;
                }
            }
        }
    }
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Option<(Timestamp, usize)> {
    let mut control = nix::cmsg_space!(libc::timespec);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut control),
        MsgFlags::empty(),
    )
    .ok()?;
    let stamp: Option<TimeSpec> = message.cmsgs().ok()?.find_map(|message| {
        if let ControlMessageOwned::ScmTimestampns(stamp) = message {
            Some(stamp)
        } else {
            None
        }
    });
    Some((
        stamp.map_or_else(clock::now, clock::from_realtime),
        message.bytes,
    ))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    source: IpAddr,
    source_port: u16,
    destination_port: u16,
}

/// Flow, sequence number and payload of a TCP packet from its network header on.
fn tcp(packet: &[u8]) -> Option<(Flow, u32, &[u8])> {
    let (source, segment): (IpAddr, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let source = Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?);
            let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
            (
                source.into(),
                packet.get(usize::from(packet[0] & 0xf) * 4..total)?,
            )
        }
        6 => {
            let source = Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?);
            let payload = usize::from(u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]));
            (source.into(), packet.get(40..40 + payload)?)
        }
        _ => return None,
    };
    let [s0, s1, d0, d1, n0, n1, n2, n3, ..] = *segment else {
        return None;
    };
    let offset = usize::from(segment.get(12)? >> 4) * 4;
    let flow = Flow {
        source,
        source_port: u16::from_be_bytes([s0, s1]),
        destination_port: u16::from_be_bytes([d0, d1]),
    };
    Some((
        flow,
        u32::from_be_bytes([n0, n1, n2, n3]),
        segment.get(offset..)?,
    ))
}

/// Puts segments of one direction in order; drops what was seen before.
#[derive(Debug, Default)]
struct Reassembly {
    next: Option<u32>,
    early: BTreeMap<u32, Vec<u8>>,
    stream: Stream,
}

impl Reassembly {
    fn push(&mut self, sequence: u32, payload: &[u8]) -> Vec<Route> {
        if payload.is_empty() {
            return Vec::new();
        }
        self.early.insert(sequence, payload.to_vec());
        let mut routes = Vec::new();
        loop {
            let next = *self.next.get_or_insert(sequence);
            // A segment that begins at or before the expected byte can be used.
            let usable = self
                .early
                .keys()
                .copied()
                .find(|start| start.wrapping_sub(next).cast_signed() <= 0);
            let Some(segment) = usable.and_then(|start| self.early.remove_entry(&start)) else {
                return routes;
            };
            let known = usize::try_from(next.wrapping_sub(segment.0)).unwrap_or(usize::MAX);
            if let Some(fresh) = segment.1.get(known..).filter(|fresh| !fresh.is_empty()) {
                routes.extend(self.stream.push(fresh));
                let length = u32::try_from(fresh.len()).unwrap_or_default();
                self.next = Some(next.wrapping_add(length));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;

    #[test]
    fn segments_out_of_order_and_twice_are_one_stream() {
        // Marker, length 27, UPDATE, one withdrawn route, no attributes.
        let mut message = vec![0xff; 16];
        message.extend([0, 27, 2, 0, 4, 24, 192, 0, 2, 0, 0]);
        let expected = [Change::Withdraw("192.0.2.0/24".parse::<IpNet>().unwrap())];
        // Parts as (start, end), in the order of arrival; the first tells where the stream begins.
        for order in [
            vec![(0, 27)],
            vec![(0, 10), (10, 27)],
            vec![(0, 5), (12, 27), (5, 12)],
            vec![(0, 5), (0, 5), (3, 20), (18, 27)],
        ] {
            let mut flow = Reassembly::default();
            let start = u32::MAX - 7; // wraps on the way
            let changes: Vec<Change> = order
                .iter()
                .flat_map(|&(from, to)| {
                    flow.push(
                        start.wrapping_add(u32::try_from(from).unwrap()),
                        &message[from..to],
                    )
                })
                .map(|route| route.change)
                .collect();
            assert_eq!(changes, expected, "{order:?}");
        }
    }
}
