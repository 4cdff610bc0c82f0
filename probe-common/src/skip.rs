//! Why a packet was not measured. A failed measurement is never a failed trial.

use crate::cell::Shared;

/// How often each reason was met, on one CPU: a cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default)]
pub struct SkipCounters(pub [u64; Skip::COUNT]);

const _: () = assert!(size_of::<SkipCounters>() == 64);

/// [`SkipCounters`] as user space sees them while the kernel counts.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct SharedSkips(pub [Shared<u64>; Skip::COUNT]);

/// Why a packet was passed unmeasured; one counter each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Skip {
    /// Neither IPv4 nor IPv6 (ARP, LLDP, ...).
    NotIp = 0,
    /// A transport protocol that is not measured.
    NotTransport = 1,
    /// Shorter than its headers say, or not linear that far.
    Truncated = 2,
    /// A header field that contradicts itself (IHL below 5, data offset below 5).
    Malformed = 3,
    /// A fragment that is not the first one: it has no ports.
    LaterFragment = 4,
    /// More than two VLAN tags or more than six IPv6 extension headers.
    TooManyHeaders = 5,
    /// A map that must exist did not answer.
    NoTable = 6,
    /// A tunnel with something inside that is not understood, or with another
    /// tunnel inside.
    UnknownTunnel = 7,
}

impl Skip {
    /// How many reasons there are.
    pub const COUNT: usize = 8;

    /// All of them, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] = [
        Self::NotIp,
        Self::NotTransport,
        Self::Truncated,
        Self::Malformed,
        Self::LaterFragment,
        Self::TooManyHeaders,
        Self::NoTable,
        Self::UnknownTunnel,
    ];

    /// The name used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not_ip",
            Self::NotTransport => "not_transport",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::LaterFragment => "later_fragment",
            Self::TooManyHeaders => "too_many_headers",
            Self::NoTable => "no_table",
            Self::UnknownTunnel => "unknown_tunnel",
        }
    }
}
