//! What is counted for every packet of a service. One value per service and CPU;
//! every field is monotonic.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{cell::Shared, verifier::bounded};

/// What every packet of a service adds to, on one CPU. Apart from its [`Counters`], so
/// that those of thousands of services lie together on a few of the processor's pages.
///
/// "In" is towards the service, "out" from it. Bytes are those of the (inner) IP
/// packet. A GSO or GRO buffer counts as the segments that it stands for.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Traffic {
    /// Packets in.
    pub packets_in: u64,
    /// IP bytes in.
    pub bytes_in: u64,
    /// Packets out.
    pub packets_out: u64,
    /// IP bytes out.
    pub bytes_out: u64,
}

/// What some packets of a service add to, on one CPU.
#[repr(C, align(64))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Counters {
    // Once or so a connection: the first cache line.
    /// Segments in with SYN and without ACK (RFC 9293 section 3.5).
    pub syn: u64,
    /// Segments out with SYN and ACK.
    pub synack: u64,
    /// Handshakes whose ACK matched our SYN-ACK: the client has shown that it
    /// receives at its address.
    pub verified: u64,
    /// Verified connections in which the client sent the first payload.
    pub client_first: u64,
    /// Verified connections in which the service sent the first payload.
    pub server_first: u64,
    /// Connections that took a sample cell.
    pub sampled: u64,
    /// Segments in with FIN.
    pub fin_in: u64,
    /// Segments out with FIN.
    pub fin_out: u64,

    // Sampled connections: the second.
    /// Segments with payload or FIN of sampled connections in.
    pub sampled_segments_in: u64,
    /// ... out.
    pub sampled_segments_out: u64,
    /// ... of those in, repeats of what had been seen before.
    pub retransmissions_in: u64,
    /// ... of those out.
    pub retransmissions_out: u64,
    /// ... of those in, that fill a gap: overtaken on the way, or lost before us and
    /// sent again.
    pub out_of_order_in: u64,
    /// Keep-alives of sampled connections in (RFC 9293 section 3.8.4).
    pub keep_alives_in: u64,
    /// ... out.
    pub keep_alives_out: u64,
    /// Connections that were to be sampled, but found their cell in use.
    pub cells_busy: u64,

    // DNS: the third.
    /// DNS queries in.
    pub dns_queries: u64,
    /// DNS responses out by [`RcodeClass`].
    pub dns_responses: [u64; RcodeClass::COUNT],

    // What should be rare.
    /// RST in, by [`RstPhase`].
    pub rst_in: [u64; RstPhase::COUNT],
    /// RST out, by [`RstPhase`].
    pub rst_out: [u64; RstPhase::COUNT],
    /// Segments in that say "no room" (window 0, without SYN, FIN and RST).
    pub zero_window_in: u64,
    /// Segments out that say so.
    pub zero_window_out: u64,
    /// Of the SYNs, repeats of one that still waits (same ISN).
    pub syn_retransmissions: u64,
    /// Of the SYNs, those that start no trial: bad checksum, TCP MD5 or AO option,
    /// with FIN or data, or for a connection that lives (RFC 5961 section 4).
    pub syn_not_judged: u64,
    /// Of the SYN-ACKs, repeats.
    pub synack_retransmissions: u64,
    /// Trials that could not start: no room in the table.
    pub trials_without_room: u64,
    /// ICMP "unreachable" messages out about a packet to the service.
    pub unreachable_out: u64,
    /// Of the DNS queries (or what should have been one), those that no server needs to
    /// answer.
    pub dns_malformed: u64,
    /// Datagrams in that begin with a QUIC Initial.
    pub quic_initials_in: u64,
    /// Datagrams out that begin with a QUIC Initial.
    pub quic_initials_out: u64,
    /// QUIC Retry out.
    pub quic_retries: u64,
    /// QUIC Version Negotiation out.
    pub quic_version_negotiations: u64,
    /// First HTTP/1 responses of connections by class: 1xx to 5xx.
    pub http_responses: [u64; HTTP_CLASSES],
    /// Explicit padding, to an odd number of cache lines: at a power of two, one line of
    /// every service would share an eighth of a cache's sets.
    pub reserved: [u64; 3],
}

/// Classes of HTTP status codes: 1xx to 5xx.
pub const HTTP_CLASSES: usize = 5;

const _: () = assert!(size_of::<Counters>() == 7 * 64);
const _: () = assert!(core::mem::offset_of!(Counters, sampled_segments_in) == 64);
const _: () = assert!(core::mem::offset_of!(Counters, dns_queries) == 2 * 64);

/// Counts of one CPU that are read as words.
macro_rules! words {
    ($counts:ident as $shared:ident) => {
        impl $counts {
            /// How many words they are.
            pub const WORDS: usize = size_of::<Self>() / 8;

            /// Adds another CPU's values.
            pub fn add(&mut self, other: &Self) {
                let sums: &mut [u64; Self::WORDS] = zerocopy::transmute_mut!(self);
                let values: &[u64; Self::WORDS] = zerocopy::transmute_ref!(other);
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = sum.wrapping_add(*value);
                }
            }
        }

        #[doc = concat!("[`", stringify!($counts), "`] as user space sees them while the kernel counts.")]
        #[repr(C)]
        #[derive(Debug)]
        pub struct $shared([Shared<u64>; $counts::WORDS]);

        impl $shared {
            /// The values as they are now.
            pub fn read(&self) -> $counts {
                let words: [u64; $counts::WORDS] =
                    core::array::from_fn(|index| self.0[index].load());
                zerocopy::transmute!(words)
            }

            /// Forgets all values.
            pub fn clear(&self) {
                for word in &self.0 {
                    word.store(0);
                }
            }
        }
    };
}

words!(Traffic as SharedTraffic);
words!(Counters as SharedCounters);

/// How far a connection was when a RST came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum RstPhase {
    /// It answers a SYN: nobody listens, or the client took its SYN back.
    Refused = 0,
    /// After the SYN-ACK, before the client proved itself.
    HalfOpen = 1,
    /// After the handshake.
    Established = 2,
    /// After a FIN: the connection was at its end anyway.
    Stray = 3,
    /// The connection is not in the handshake table (any more).
    Unmatched = 4,
    /// Its sequence number is not one that the receiver accepts (RFC 9293 section
    /// 3.10.7, RFC 5961 section 3).
    Invalid = 5,
}

impl RstPhase {
    /// How many phases there are.
    pub const COUNT: usize = 6;

    /// All of them, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Refused,
        Self::HalfOpen,
        Self::Established,
        Self::Stray,
        Self::Unmatched,
        Self::Invalid,
    ];

    /// Its place in the counters.
    #[inline(always)]
    pub fn index(self) -> usize {
        // Masked to eight and checked against six: the verifier knows no enum.
        bounded(self as usize, 7)
    }

    /// The name used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::HalfOpen => "half_open",
            Self::Established => "established",
            Self::Stray => "stray",
            Self::Unmatched => "unmatched",
            Self::Invalid => "invalid",
        }
    }
}

/// What a DNS response says (RFC 1035 section 4.1.1), without the upper bits that
/// EDNS adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum RcodeClass {
    /// 0.
    NoError = 0,
    /// 1: the server did not understand the query.
    FormErr = 1,
    /// 2: the server cannot answer.
    ServFail = 2,
    /// 3: the name does not exist.
    NxDomain = 3,
    /// 4: the server does not do such queries.
    NotImp = 4,
    /// 5: the server does not want to answer.
    Refused = 5,
    /// Any other.
    Other = 6,
}

impl RcodeClass {
    /// How many classes there are.
    pub const COUNT: usize = 7;

    /// All of them, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] = [
        Self::NoError,
        Self::FormErr,
        Self::ServFail,
        Self::NxDomain,
        Self::NotImp,
        Self::Refused,
        Self::Other,
    ];

    /// The place in the counters of a response code.
    #[inline(always)]
    pub fn index_of(rcode: u8) -> usize {
        let class = if rcode < Self::Other as u8 {
            rcode as usize
        } else {
            Self::Other as usize
        };
        bounded(class, 7)
    }

    /// The name used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoError => "noerror",
            Self::FormErr => "formerr",
            Self::ServFail => "servfail",
            Self::NxDomain => "nxdomain",
            Self::NotImp => "notimp",
            Self::Refused => "refused",
            Self::Other => "other",
        }
    }
}
