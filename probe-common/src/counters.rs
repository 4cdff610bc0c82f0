//! What is counted for every packet of a service. One value per service and CPU;
//! every field is monotonic.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The counters of one service on one CPU.
///
/// "In" is towards the service, "out" from it. Bytes are those of the IP packet.
/// A GSO buffer at egress counts as the segments it will become.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Counters {
    /// Packets in.
    pub packets_in: u64,
    /// IP bytes in.
    pub bytes_in: u64,
    /// Packets out.
    pub packets_out: u64,
    /// IP bytes out.
    pub bytes_out: u64,
    /// Segments in with SYN and without ACK (RFC 9293 section 3.5).
    pub syn: u64,
    /// ... of these, repeats of a SYN that still waits (same ISN).
    pub syn_retransmissions: u64,
    /// Segments out with SYN and ACK.
    pub synack: u64,
    /// ... of these, repeats of a SYN-ACK.
    pub synack_retransmissions: u64,
    /// Segments in with FIN.
    pub fin_in: u64,
    /// Segments out with FIN.
    pub fin_out: u64,
    /// RST in, by [`RstPhase`].
    pub rst_in: [u64; RstPhase::COUNT],
    /// RST out, by [`RstPhase`].
    pub rst_out: [u64; RstPhase::COUNT],
    /// Handshakes whose ACK matched our SYN-ACK: the client has shown that it
    /// receives at its address.
    pub verified: u64,
    /// Trials that could not start: no room in the handshake table.
    pub trials_without_room: u64,
    /// SYNs that start no trial: bad checksum, TCP MD5 or AO option, with FIN, or
    /// with data.
    pub syn_not_judged: u64,
}

impl Counters {
    /// Adds another CPU's values.
    pub fn add(&mut self, other: &Self) {
        let Self {
            packets_in,
            bytes_in,
            packets_out,
            bytes_out,
            syn,
            syn_retransmissions,
            synack,
            synack_retransmissions,
            fin_in,
            fin_out,
            rst_in,
            rst_out,
            verified,
            trials_without_room,
            syn_not_judged,
        } = other;
        self.packets_in += packets_in;
        self.bytes_in += bytes_in;
        self.packets_out += packets_out;
        self.bytes_out += bytes_out;
        self.syn += syn;
        self.syn_retransmissions += syn_retransmissions;
        self.synack += synack;
        self.synack_retransmissions += synack_retransmissions;
        self.fin_in += fin_in;
        self.fin_out += fin_out;
        for (sum, value) in self.rst_in.iter_mut().zip(rst_in) {
            *sum += value;
        }
        for (sum, value) in self.rst_out.iter_mut().zip(rst_out) {
            *sum += value;
        }
        self.verified += verified;
        self.trials_without_room += trials_without_room;
        self.syn_not_judged += syn_not_judged;
    }
}

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
    /// The flow is not in the handshake table (any more).
    Unmatched = 3,
}

impl RstPhase {
    /// How many phases there are.
    pub const COUNT: usize = 4;

    /// All of them, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Refused,
        Self::HalfOpen,
        Self::Established,
        Self::Unmatched,
    ];

    /// The name used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::HalfOpen => "half_open",
            Self::Established => "established",
            Self::Unmatched => "unmatched",
        }
    }
}
