//! From a frame to counters and trial outcomes: the whole measurement, as pure
//! functions over tables.
//!
//! Ingress and egress are the two entry points, one per hook. In the kernel the
//! tables are maps; on the host they are plain memory. Nothing here changes a
//! packet, and no error changes its fate.
//!
//! ```text
//! ingress, egress ─▶ quick ─▶ counters, done with
//!                      │ no
//!                      ▼
//!                    parse::network ─┬─▶ tcp ──▶ segment ─▶ connection ─▶ trial
//!                                    │    └────▶ sampled ──────────────▶ trial
//!                                    ├─▶ udp ──▶ exchange ─────────────▶ trial
//!                                    └─▶ icmp ───────────┴─────────────▶ trial
//! ```

mod connection;
mod exchange;
mod icmp;
mod quick;
mod reset;
mod sampled;
mod step;
mod tcp;
mod tcp_dns;
mod trials;
mod udp;

pub use self::quick::plain;

use crate::{
    cell::Atomics,
    cohort::CohortRing,
    counters::{Counters, Traffic},
    ends::{Ends, FlowHashKey},
    flow::{FlowKey, Set},
    latency::SharedHistogram,
    packet::Packet,
    parse::{self, ICMP, ICMPV6, Network, tunnel::Tunnels},
    sample::{Cell, Holder},
    service::{Found, TCP, UDP},
    skip::Skip,
    state::State,
    syn::ChecksumRule,
    trial::Begun,
    uplink::Uplink,
};

/// The tables of a measurement and its surroundings.
pub trait Tables: Atomics {
    /// Nanoseconds of the monotonic clock. Costs a helper call in the kernel, so it
    /// is asked only where a trial starts or ends.
    fn now_ns(&self) -> u64;
    /// The same, some milliseconds late, for the price of a load.
    fn coarse_now_ns(&self) -> u64;
    /// How a SYN's checksum may look.
    fn checksum_rule(&self) -> ChecksumRule;
    /// Which tunnels the interface carries.
    fn tunnels(&self, state: &State) -> Tunnels;
    /// What nearly every packet needs.
    fn state(&self) -> Option<&State>;
    /// Changes this CPU's counts of what every packet of a service adds to.
    fn count_traffic(&self, service: u32, change: impl FnOnce(&mut Traffic)) -> Option<()>;
    /// Changes this CPU's counters of a service.
    fn count(&self, service: u32, change: impl FnOnce(&mut Counters)) -> Option<()>;
    /// The latencies of a service's trials: the service's index times
    /// [`RINGS_PER_BLOCK`](crate::trial::RINGS_PER_BLOCK) plus the kind's slot.
    fn latencies(&self, index: u32) -> Option<&SharedHistogram>;
    /// Adds one verified handshake to a network bucket of a service.
    fn add_verified(&self, service: u32, network_bucket: usize);
    /// Adds one trial that begins to a network bucket of a service.
    fn add_begun(&self, service: u32, begun: Begun, network_bucket: usize);
    /// Adds one SERVFAIL to a name bucket of a service.
    fn add_servfail(&self, service: u32, name_bucket: usize);
    /// The set of a TCP connection with this hash.
    fn connections(&self, hash: u64) -> Option<&Set>;
    /// The set of a UDP exchange with this hash.
    fn exchanges(&self, hash: u64) -> Option<&Set>;
    /// Who holds the sample cell that a service has for a connection with this hash.
    fn holder(&self, service: u32, hash: u64) -> Option<&Holder>;
    /// That cell.
    fn cell(&self, service: u32, hash: u64) -> Option<&Cell>;
    /// How many packets the buffer stands for (GRO) or will become (GSO); none also means
    /// one. Free, but not kept in a register.
    fn segments(&self) -> u32;
    /// The index of the packet's interface. Likewise.
    fn interface(&self) -> u32;
    /// The counts of an interface.
    fn uplink(&self, interface: u32) -> Option<&Uplink>;
    /// A cohort ring.
    fn ring(&self, index: u32) -> Option<CohortRing<'_>>;
    /// Wakes user space, if it asked for that since it was last woken.
    fn wake(&self);
    /// Tells a trace of a packet of a service; free unless tracing is on.
    fn trace(&self, event: &Event);
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards the service.
    In,
    /// From the service.
    Out,
}

/// A TCP control segment, for a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which way.
    pub direction: Direction,
    /// Whose.
    pub key: FlowKey,
    /// TCP control bits.
    pub flags: u8,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
}

/// What a packet turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// A packet of a service.
    Service,
    /// A packet of nobody that we measure.
    Other,
}

/// A packet's flow: whose it is, its name, and its hash, computed once a packet.
struct Flow<'a> {
    service: Found<'a>,
    key: FlowKey,
    hash: u64,
}

impl<'a> Flow<'a> {
    #[inline(always)]
    fn new(flow_key: &FlowHashKey, service: Found<'a>, ends: &Ends) -> Self {
        Self {
            service,
            key: FlowKey {
                client: ends.client,
                client_port: ends.client_port,
                service: service.id,
                local_port: (ends.local_port_protocol >> 16) as u16,
            },
            hash: flow_key.hash(ends),
        }
    }
}

/// Measures a frame on its way in.
///
/// # Errors
/// The reason why the frame could not be measured.
#[inline(always)]
pub fn ingress<T: Tables, P: Packet + ?Sized>(tables: &T, packet: &P) -> Result<Measured, Skip> {
    match plain(tables, packet, Direction::In) {
        Some(measured) => Ok(measured),
        None => ingress_of_any(tables, packet),
    }
}

/// Measures a frame on its way out.
///
/// # Errors
/// The reason why the frame could not be measured.
#[inline(always)]
pub fn egress<T: Tables, P: Packet + ?Sized>(tables: &T, packet: &P) -> Result<Measured, Skip> {
    match plain(tables, packet, Direction::Out) {
        Some(measured) => Ok(measured),
        None => egress_of_any(tables, packet),
    }
}

/// The second part of [`ingress`].
///
/// # Errors
/// As there.
#[inline(always)]
pub fn ingress_of_any<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
) -> Result<Measured, Skip> {
    let state = tables.state().ok_or(Skip::NoTable)?;
    let network = parse::network(packet, tables.tunnels(state), &state.services)?;
    match network.protocol {
        TCP => tcp::ingress(tables, packet, state, &network),
        UDP => udp::ingress(tables, packet, state, &network),
        _ => Err(Skip::NotTransport),
    }
}

/// The second part of [`egress`].
///
/// # Errors
/// As there.
#[inline(always)]
pub fn egress_of_any<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
) -> Result<Measured, Skip> {
    let state = tables.state().ok_or(Skip::NoTable)?;
    let network = parse::network(packet, tables.tunnels(state), &state.services)?;
    match network.protocol {
        TCP => tcp::egress(tables, packet, state, &network),
        UDP => udp::egress(tables, packet, state, &network),
        ICMP | ICMPV6 => icmp::egress(tables, packet, state, &network),
        _ => Err(Skip::NotTransport),
    }
}

/// How many packets on the wire the buffer is.
#[inline(always)]
fn packets<T: Tables>(tables: &T) -> u64 {
    u64::from(tables.segments().max(1))
}

/// IP bytes on the wire: a GSO or GRO buffer has one set of headers, its packets
/// have one each.
#[inline(always)]
fn wire_bytes<T: Tables>(tables: &T, network: &Network, transport_header: u32) -> u64 {
    let length = u64::from(network.ip_length);
    let segments = tables.segments();
    if segments <= 1 {
        return length;
    }
    length + u64::from(segments - 1) * u64::from(network.header_length + transport_header)
}
