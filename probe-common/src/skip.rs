//! Why a packet was not measured. A failed measurement is never a failed trial.

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
    /// A fragment: only the first one has ports, and it has no whole segment.
    Fragment = 4,
    /// More than two VLAN tags or more than six IPv6 extension headers.
    TooManyHeaders = 5,
    /// A map that must exist did not answer.
    NoTable = 6,
}

impl Skip {
    /// How many reasons there are.
    pub const COUNT: usize = 7;

    /// All of them, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] = [
        Self::NotIp,
        Self::NotTransport,
        Self::Truncated,
        Self::Malformed,
        Self::Fragment,
        Self::TooManyHeaders,
        Self::NoTable,
    ];

    /// The name used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not_ip",
            Self::NotTransport => "not_transport",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::Fragment => "fragment",
            Self::TooManyHeaders => "too_many_headers",
            Self::NoTable => "no_table",
        }
    }
}
