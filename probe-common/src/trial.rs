//! Trials and cohort rings.
//!
//! A trial starts at one packet and succeeds, fails, is abandoned, or is late at
//! its deadline. Outcomes are added to the ring's bucket of the trial's *start*, so
//! a bucket is a cohort: what became of those that started together. All counts
//! only grow; user space keeps what it has seen and looks at differences, so
//! nothing is ever reset and nothing can be lost between two readings.
//!
//! The ring spans at least twice the deadline, and an outcome is added only while
//! the trial is younger than the deadline, so a bucket's laps cannot mix.

use crate::cell::{Atomics, Shared};

/// Buckets of a cohort ring.
pub const BUCKETS: usize = 64;
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

/// Trials that started in one bucket's span of time: cumulative over all laps.
#[repr(C)]
#[derive(Debug, Default)]
pub struct CohortBucket {
    /// Trials started.
    pub started: Shared<u32>,
    /// ... of which succeeded in time.
    pub succeeded: Shared<u32>,
    /// ... of which failed at once.
    pub failed: Shared<u32>,
    /// ... of which nobody can say: the entry was evicted, or the client gave up.
    pub abandoned: Shared<u32>,
}

impl CohortBucket {
    /// An unused bucket.
    pub const fn new() -> Self {
        Self {
            started: Shared::new(0),
            succeeded: Shared::new(0),
            failed: Shared::new(0),
            abandoned: Shared::new(0),
        }
    }

    /// Whether a trial of this bucket is undecided.
    #[inline(always)]
    pub fn has_undecided(&self) -> bool {
        let ended = self
            .succeeded
            .load()
            .wrapping_add(self.failed.load())
            .wrapping_add(self.abandoned.load());
        self.started.load() != ended
    }
}

/// The cohort ring of one service and trial kind.
#[repr(C)]
#[derive(Debug)]
pub struct CohortRing {
    /// When an unanswered trial is late. Set before the ring is first used.
    pub deadline_ns: Shared<u64>,
    /// Outcomes that came after the deadline and are in no bucket.
    pub after_deadline: Shared<u32>,
    /// Width of a bucket as a power of two of nanoseconds. Set with the deadline.
    pub width_shift: Shared<u8>,
    /// Whether something was counted since user space last set this to 0. Of a thousand
    /// services most are at rest, and their rings need not be read.
    touched: Shared<u8>,
    reserved: [u8; 2],
    /// The buckets.
    pub buckets: [CohortBucket; BUCKETS],
}

const _: () = assert!(size_of::<CohortBucket>() == 16);
const _: () = assert!(size_of::<CohortRing>() == 16 + 16 * BUCKETS);

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

impl CohortRing {
    /// A ring that was never used, for trials with this deadline.
    pub fn new(deadline_ns: u64) -> Self {
        Self {
            deadline_ns: Shared::new(deadline_ns),
            after_deadline: Shared::new(0),
            width_shift: Shared::new(width_shift(deadline_ns)),
            touched: Shared::new(0),
            reserved: [0; 2],
            buckets: [const { CohortBucket::new() }; BUCKETS],
        }
    }

    /// The bucket of trials that started at `start_ns`.
    #[inline(always)]
    pub fn bucket(&self, start_ns: u64) -> &CohortBucket {
        let shift = self.width_shift.load() & 63;
        &self.buckets[(start_ns >> shift) as usize & (BUCKETS - 1)]
    }

    /// A trial starts.
    #[inline(always)]
    pub fn begin<A: Atomics>(&self, start_ns: u64) {
        A::add(&self.bucket(start_ns).started, 1);
        self.touch();
    }

    /// A trial that started at `start_ns` ends.
    #[inline(always)]
    pub fn end<A: Atomics>(&self, start_ns: u64, now_ns: u64, outcome: Outcome) {
        A::add(self.counter(start_ns, now_ns, outcome), 1);
        self.touch();
    }

    #[inline(always)]
    fn counter(&self, start_ns: u64, now_ns: u64, outcome: Outcome) -> &Shared<u32> {
        if now_ns.saturating_sub(start_ns) > self.deadline_ns.load() {
            return &self.after_deadline;
        }
        let bucket = self.bucket(start_ns);
        match outcome {
            Outcome::Succeeded => &bucket.succeeded,
            Outcome::Failed => &bucket.failed,
            Outcome::Abandoned => &bucket.abandoned,
        }
    }

    /// Says that something was counted, after it was. Stored only where that is news, so
    /// that CPUs do not take the line from each other at every packet.
    #[inline(always)]
    fn touch(&self) {
        if self.touched.load() == 0 {
            self.touched.store(1);
        }
    }

    /// Whether something was counted since the last call. What is read after a full memory
    /// barrier after this call holds all that was counted before it, except, on processors
    /// that order less than x86, for what a CPU is counting just now.
    pub fn take_touched(&self) -> bool {
        let touched = self.touched.load() != 0;
        if touched {
            self.touched.store(0);
        }
        touched
    }

    /// Whether trials that started one deadline ago, and a bucket more, are still
    /// undecided: silence, seen at a packet rather than at a reading.
    #[inline(always)]
    pub fn is_silent(&self, now_ns: u64) -> bool {
        let width_ns = 1u64 << (self.width_shift.load() & 63);
        let then_ns = now_ns.wrapping_sub(self.deadline_ns.load().wrapping_add(width_ns));
        self.bucket(then_ns).has_undecided()
    }
}

/// The narrowest bucket width, as a power of two of nanoseconds, with which a ring
/// spans at least twice `deadline_ns`. At least 2^16 ns (66 µs).
pub fn width_shift(deadline_ns: u64) -> u8 {
    let mut shift: u8 = 16;
    while shift < 40 && (BUCKETS as u64) << shift < deadline_ns.saturating_mul(2) {
        shift += 1;
    }
    shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostTables;

    #[test]
    fn the_ring_spans_twice_the_deadline_and_no_more_than_needed() {
        for deadline_ms in [1u64, 5, 50, 100, 200, 1_000, 60_000] {
            let deadline_ns = deadline_ms * 1_000_000;
            let span = (BUCKETS as u64) << width_shift(deadline_ns);
            assert!(span >= 2 * deadline_ns, "{deadline_ms} ms");
            assert!(
                span < 4 * deadline_ns || width_shift(deadline_ns) == 16,
                "{deadline_ms} ms"
            );
        }
    }

    #[test]
    fn a_ring_is_marked_by_whatever_is_counted_there() {
        let ring = CohortRing::new(100_000_000);
        assert!(!ring.take_touched(), "never used");
        ring.begin::<HostTables>(0);
        assert!(ring.take_touched());
        assert!(!ring.take_touched(), "taken");
        ring.end::<HostTables>(0, 1, Outcome::Succeeded);
        assert!(ring.take_touched());
        ring.end::<HostTables>(0, 200_000_000, Outcome::Failed);
        assert!(ring.take_touched(), "after the deadline, too");
    }

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
