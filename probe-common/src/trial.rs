//! Trials: what is asked of a service, over and over.
//!
//! A trial starts at one packet and succeeds, fails, is abandoned, or is late at
//! its deadline. The [`cohort`](crate::cohort) rings count what becomes of them.

/// Rings of one service in one block: one for each kind of trial that its protocol
/// has. A service has two blocks, so that a change of deadlines can start new rings.
pub const RINGS_PER_BLOCK: usize = 8;
/// Rings of one service.
pub const RINGS_PER_SERVICE: usize = 2 * RINGS_PER_BLOCK;

/// Where something of a service lies, of which each has a power of two: `number` is the
/// service's index times `each` and the thing's place in the service. All services' first
/// things lie together, then all second ones: a host with thousands of services needs one
/// or two kinds of each all the time, and the others hardly ever, so what is needed lies
/// on a few of the processor's pages.
#[inline(always)]
pub const fn by_place(number: u32, each: usize, capacity: u32) -> u32 {
    let each = each as u32;
    (number & (each - 1)) * capacity + number / each
}

/// The number of a service's latencies of the kind with this slot, as [`by_place`] wants it.
#[inline(always)]
pub const fn latencies_number(service: u32, slot: usize) -> u32 {
    service * RINGS_PER_BLOCK as u32 + slot as u32
}

/// What a trial asks of a service.
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[repr(u8)]
pub enum Kind {
    /// Is a SYN answered by a SYN-ACK?
    Connect,
    /// Does a server that speaks first do so after the handshake?
    Greet,
    /// Does the client's ACK follow the SYN-ACK?
    Handshake,
    /// Is the first payload of a client answered by payload?
    Request,
    /// Does a connection end by FIN rather than by a RST of ours?
    Finish,
    /// Is a span of an active connection free of retransmissions of ours?
    Deliver,
    /// Is the status of the first HTTP/1 response below 500?
    Status,
    /// Is a UDP datagram answered?
    Answer,
    /// Is a DNS response something other than SERVFAIL?
    Resolve,
    /// Is a QUIC Initial answered?
    Quic,
}

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = 10;

    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Connect,
        Self::Greet,
        Self::Handshake,
        Self::Request,
        Self::Finish,
        Self::Deliver,
        Self::Status,
        Self::Answer,
        Self::Resolve,
        Self::Quic,
    ];
    /// Those of a TCP service.
    pub const TCP: &'static [Self] = Self::ALL.split_at(7).0;
    /// Those of a UDP service.
    pub const UDP: &'static [Self] = Self::ALL.split_at(7).1;

    /// Its ring's place in a block: TCP and UDP kinds share the places, as no
    /// service has both.
    #[inline(always)]
    pub const fn slot(self) -> usize {
        let kind = self as usize;
        let udp = Self::Answer as usize;
        if kind < udp { kind } else { kind - udp }
    }

    /// The name used in configuration and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Greet => "greet",
            Self::Handshake => "handshake",
            Self::Request => "request",
            Self::Finish => "finish",
            Self::Deliver => "deliver",
            Self::Status => "status",
            Self::Answer => "answer",
            Self::Resolve => "resolve",
            Self::Quic => "quic",
        }
    }

    /// Whether the kernel reports only what fails: a trial of which nothing was
    /// heard by its deadline has succeeded.
    pub const fn silence_is_success(self) -> bool {
        matches!(self, Self::Deliver)
    }

    /// Whether the time from start to success is measured.
    pub const fn has_latency(self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::Greet
                | Self::Handshake
                | Self::Request
                | Self::Answer
                | Self::Quic
        )
    }
}

/// Trials of clients that proved themselves, of which it is counted by network who began
/// them: at most one of each a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Begun {
    /// The trials `request`, and with them `status`.
    Request,
    /// The trials `finish`.
    Finish,
}

impl Begun {
    /// How many there are.
    pub const COUNT: usize = 2;

    /// Where a service's counts by network stand.
    #[inline(always)]
    pub const fn index(self, service: u32) -> u32 {
        service * Self::COUNT as u32 + self as u32
    }
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered as it should be.
    Succeeded,
    /// Turned down at once.
    Failed,
    /// Nobody can say.
    Abandoned,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_one_protocol_have_rings_of_their_own() {
        for kinds in [Kind::TCP, Kind::UDP] {
            let mut slots: Vec<usize> = kinds.iter().map(|kind| kind.slot()).collect();
            slots.dedup();
            assert_eq!(slots.len(), kinds.len());
            assert!(slots.iter().all(|slot| *slot < RINGS_PER_BLOCK));
        }
    }
}
