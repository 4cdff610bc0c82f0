//! The flow tables: fixed 4-way set-associative arrays of entries, shared by all
//! services. One is for TCP connections, touched only by SYN, SYN-ACK, RST, FIN and
//! gated segments; one is for UDP exchanges.
//!
//! ```text
//!            SYN             SYN-ACK            ACK of it, verified
//!   Empty ─────────▶ Waiting ─────────▶ HalfOpen ─────────▶ Verified ◀──┐ greeting
//!     query │          │                   │           server first ▼   │ out
//!           │          │ answer, RST       │ RST              Greeting ─┘
//!           ▼          ▼                   ▼            payload in │
//!        Waiting ──▶ Closed ◀──────────────┴─── RST ◀── Requesting ◀┘
//!                                                           │ payload out
//!                                                           ▼
//!                                                       Exchanged
//! ```
//! Waiting, `HalfOpen`, Greeting and Requesting each hold one undecided trial.
//!
//! Ingress and egress run on different CPUs, so every transition is one
//! compare-exchange on the state word, which carries a generation: whoever loses
//! the race, or finds that the entry was taken over in between, does nothing.

use crate::{
    address::Address,
    cell::{Atomics, Shared},
    service::MAX_SERVICES,
    uplink::Ways,
    verifier::bounded,
};

/// Entries of a set.
pub const WAYS: usize = 4;
/// Sets of the table of TCP connections, unless configured.
pub const DEFAULT_HANDSHAKE_SETS: u32 = 1 << 15;
/// Sets of the table of UDP exchanges, unless configured.
pub const DEFAULT_QUERY_SETS: u32 = 1 << 13;
/// Most sets of a table.
pub const MAX_SETS: u32 = 1 << 20;

/// How far a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Never used.
    Empty,
    /// Being written by another CPU.
    Busy,
    /// SYN, query or QUIC Initial seen: the trial `connect`, `answer` or `quic` is
    /// undecided.
    Waiting,
    /// SYN-ACK seen: the trial `handshake` is undecided.
    HalfOpen,
    /// The client's ACK matched our SYN-ACK.
    Verified,
    /// Verified, and the trial `greet` is undecided.
    Greeting,
    /// The client sent payload: the trial `request` is undecided.
    Requesting,
    /// Payload went both ways.
    Exchanged,
    /// Answered (UDP), or ended by a RST.
    Closed,
}

/// An entry's state word: phase, marks, and above them a generation that changes
/// with each owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(u32);

const PHASE: u32 = 0xf;
const OWNER: u32 = 0x100;

impl State {
    /// Mark: a FIN came in.
    pub const FIN_IN: u32 = 0x10;
    /// Mark: a FIN went out.
    pub const FIN_OUT: u32 = 0x20;
    /// Mark: it is known who sent the first payload.
    pub const SPOKEN: u32 = 0x40;
    /// Mark: the client was told to come again (QUIC Retry, Version Negotiation).
    pub const RETRIED: u32 = 0x80;

    /// The phase in this word.
    #[inline(always)]
    pub fn phase(self) -> Phase {
        match self.0 & PHASE {
            0 => Phase::Empty,
            2 => Phase::Waiting,
            3 => Phase::HalfOpen,
            4 => Phase::Verified,
            5 => Phase::Greeting,
            6 => Phase::Requesting,
            7 => Phase::Exchanged,
            8 => Phase::Closed,
            _ => Phase::Busy,
        }
    }

    /// Whether the entry has an owner and can be read.
    #[inline(always)]
    fn is_known(self) -> bool {
        self.0 & PHASE > Phase::Busy as u32
    }

    /// Whether the handshake is done and no RST came since.
    #[inline(always)]
    pub fn is_established(self) -> bool {
        let phase = self.0 & PHASE;
        phase >= Phase::Verified as u32 && phase <= Phase::Exchanged as u32
    }

    /// Whether a trial of its is undecided.
    #[inline(always)]
    pub fn is_undecided(self) -> bool {
        matches!(
            self.phase(),
            Phase::Waiting | Phase::HalfOpen | Phase::Greeting | Phase::Requesting
        )
    }

    /// Whether any of the marks in `bits` is set.
    #[inline(always)]
    pub fn any(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// The same owner and marks in another phase.
    #[inline(always)]
    #[must_use]
    pub fn with(self, phase: Phase) -> Self {
        Self(self.0 & !PHASE | phase as u32)
    }

    /// The same with these marks.
    #[inline(always)]
    #[must_use]
    pub fn marked(self, bits: u32) -> Self {
        Self(self.0 | bits)
    }

    /// The next owner, still writing.
    #[inline(always)]
    fn next_owner(self) -> Self {
        Self((self.0 & !(OWNER - 1)).wrapping_add(OWNER) | Phase::Busy as u32)
    }
}

/// What names a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// The client's address.
    pub client: Address,
    /// The client's port; above it, for DNS, the query's ID.
    pub client_port: u32,
    /// Index of the service.
    pub service: u32,
    /// At which port of it: one that has every port may be asked at several.
    pub local_port: u16,
}

impl FlowKey {
    /// The service and its port in one word.
    #[inline(always)]
    fn served(&self) -> u32 {
        self.service | u32::from(self.local_port) << SERVED_PORT
    }
}

/// Above the service's index, of twelve bits.
const SERVED_PORT: u32 = 16;
const _: () = assert!(MAX_SERVICES <= 1 << SERVED_PORT);

/// One flow: one cache line.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Entry {
    state: Shared<u32>,
    /// The service's index and, above it, its port.
    served: Shared<u32>,
    client: [Shared<u64>; 2],
    client_port: Shared<u32>,
    /// Initial sequence number of the client; for UDP a hash of what it asked.
    client_number: Shared<u32>,
    /// Initial sequence number of the service.
    service_number: Shared<u32>,
    /// The client's next sequence number.
    client_next: Shared<u32>,
    /// Start of the latest trial.
    started_ns: Shared<u64>,
    expires_ns: Shared<u64>,
    /// Cohort ring of the latest trial.
    ring: Shared<u32>,
    /// [`Ways`] of a connection.
    ways: Shared<u32>,
}

const _: () = assert!(size_of::<Entry>() == 64);

/// A set as words, the way user space reads it.
pub type SetWords = [u64; size_of::<Set>() / 8];

/// An entry as it was at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How far the flow was.
    pub state: State,
    /// Index of the service.
    pub service: u32,
    /// The client's address.
    pub client: Address,
    /// Cohort ring of the latest trial.
    pub ring: u32,
    /// When that started.
    pub started_ns: u64,
    /// When that is late.
    pub expires_ns: u64,
}

impl Seen {
    /// The entries of a set.
    pub fn of(set: &SetWords) -> impl Iterator<Item = Self> + '_ {
        set.chunks_exact(size_of::<Entry>() / 8).map(|words| Self {
            state: State(words[0] as u32),
            service: (words[0] >> 32) as u32 & ((1 << SERVED_PORT) - 1),
            client: Address([words[1], words[2]]),
            started_ns: words[5],
            expires_ns: words[6],
            ring: words[7] as u32,
        })
    }
}

const _: () = assert!(
    core::mem::offset_of!(Entry, served) == 4
        && core::mem::offset_of!(Entry, client) == 8
        && core::mem::offset_of!(Entry, started_ns) == 40
        && core::mem::offset_of!(Entry, expires_ns) == 48
        && core::mem::offset_of!(Entry, ring) == 56
);

/// The set of a flow.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Set {
    /// Its entries.
    pub entries: [Entry; WAYS],
}

const _: () = assert!(size_of::<Set>() == 64 * WAYS);

/// The index of the set of a flow with this hash, in a table of `sets` sets (a power
/// of two).
#[inline(always)]
pub fn set_index(hash: u64, sets: u32) -> u32 {
    (hash >> 44) as u32 & sets.wrapping_sub(1)
}

/// How a client begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Newcomer {
    /// Its initial sequence number, or the hash of what it asks.
    pub number: u32,
    /// By which interface it came; nothing for UDP.
    pub ways: Ways,
}

/// A trial that begins.
#[derive(Clone, Copy, Debug)]
pub struct NewTrial {
    /// Its cohort ring.
    pub ring: u32,
    /// When it starts.
    pub started_ns: u64,
    /// When it is late.
    pub expires_ns: u64,
}

/// A trial that ends undecided because its entry was needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// Its cohort ring.
    pub ring: u32,
    /// When it started.
    pub started_ns: u64,
}

/// Whether a new flow found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// Every entry of its set holds an undecided trial, or another CPU was first.
    NoRoom,
    /// It has an entry that nobody needed.
    Free,
    /// It has an entry whose trial was undecided.
    Evicting(Evicted),
}

impl Entry {
    /// The state word as it is now.
    #[inline(always)]
    pub fn state(&self) -> State {
        State(self.state.load())
    }

    /// The client's initial sequence number, or the hash of what it asked.
    #[inline(always)]
    pub fn client_number(&self) -> u32 {
        self.client_number.load()
    }

    /// The service's initial sequence number.
    #[inline(always)]
    pub fn service_number(&self) -> u32 {
        self.service_number.load()
    }

    /// The service answered once more, with this number.
    #[inline(always)]
    pub fn set_service_number(&self, sequence: u32) {
        self.service_number.store(sequence);
    }

    /// The client's next sequence number, as far as the gate let see.
    #[inline(always)]
    pub fn client_next(&self) -> u32 {
        self.client_next.load()
    }

    /// The client sent up to here.
    #[inline(always)]
    pub fn set_client_next(&self, sequence: u32) {
        self.client_next.store(sequence);
    }

    /// By which interfaces the connection came and was answered.
    #[inline(always)]
    pub fn ways(&self) -> Ways {
        Ways::of_word(self.ways.load())
    }

    /// The latest trial.
    #[inline(always)]
    pub fn trial(&self) -> Evicted {
        Evicted {
            ring: self.ring.load(),
            started_ns: self.started_ns.load(),
        }
    }

    /// Whether the latest trial is past its deadline.
    #[inline(always)]
    pub fn is_late(&self, now_ns: u64) -> bool {
        self.expires_ns.load() < now_ns
    }

    /// Moves from the state that was seen to another; false if another CPU was first.
    #[inline(always)]
    pub fn advance<A: Atomics>(&self, seen: State, next: State) -> bool {
        A::compare_exchange(&self.state, seen.0, next.0)
    }

    /// As [`advance`](Self::advance), into a state with a new undecided trial.
    #[inline(always)]
    pub fn begin<A: Atomics>(&self, seen: State, next: State, trial: &NewTrial) -> bool {
        if !self.advance::<A>(seen, seen.with(Phase::Busy)) {
            return false;
        }
        self.write_trial(trial);
        self.state.store(next.0);
        true
    }

    /// SYN-ACK out: from Waiting to `HalfOpen`.
    #[inline(always)]
    pub fn answer<A: Atomics>(
        &self,
        seen: State,
        service_number: u32,
        ways: Ways,
        trial: &NewTrial,
    ) -> bool {
        if !self.advance::<A>(seen, seen.with(Phase::Busy)) {
            return false;
        }
        self.service_number.store(service_number);
        self.ways.store(ways.word());
        self.write_trial(trial);
        self.state.store(seen.with(Phase::HalfOpen).0);
        true
    }

    #[inline(always)]
    fn write_trial(&self, trial: &NewTrial) {
        self.ring.store(trial.ring);
        self.started_ns.store(trial.started_ns);
        self.expires_ns.store(trial.expires_ns);
    }

    /// Takes the entry for a new flow in phase Waiting.
    #[inline(always)]
    fn take<A: Atomics>(
        &self,
        seen: State,
        key: &FlowKey,
        client: Newcomer,
        trial: &NewTrial,
    ) -> Inserted {
        let owner = seen.next_owner();
        if !A::compare_exchange(&self.state, seen.0, owner.0) {
            return Inserted::NoRoom;
        }
        let former = self.trial();
        self.served.store(key.served());
        self.client[0].store(key.client.0[0]);
        self.client[1].store(key.client.0[1]);
        self.client_port.store(key.client_port);
        self.client_number.store(client.number);
        self.client_next.store(client.number.wrapping_add(1));
        self.service_number.store(0);
        self.ways.store(client.ways.word());
        self.write_trial(trial);
        self.state.store(owner.with(Phase::Waiting).0);
        if seen.is_undecided() {
            Inserted::Evicting(former)
        } else {
            Inserted::Free
        }
    }

    #[inline(always)]
    fn is_of(&self, key: &FlowKey) -> bool {
        self.client[1].load() == key.client.0[1]
            && self.client_port.load() == key.client_port
            && self.served.load() == key.served()
            && self.client[0].load() == key.client.0[0]
    }

    /// How dear the entry is: the lower one gives way. At [`UNDECIDED`] or above it
    /// holds a trial that says something about the service, and must stay until that
    /// trial is late. Of the same class the older gives way.
    ///
    /// A half-open entry has had its answer, so spoofed SYNs cannot hold the table.
    #[inline(always)]
    fn worth(&self, now_ns: u64) -> u64 {
        let late = self.is_late(now_ns);
        let class: u64 = match self.state().phase() {
            Phase::Empty => 0,
            Phase::Closed => 1,
            Phase::HalfOpen => 2,
            Phase::Verified | Phase::Exchanged => 3,
            Phase::Waiting | Phase::Greeting | Phase::Requesting if late => 1,
            Phase::Waiting | Phase::Greeting | Phase::Requesting | Phase::Busy => {
                UNDECIDED >> CLASS_SHIFT
            }
        };
        // Opaque, or the verifier would go on with each class on its own.
        core::hint::black_box(class << CLASS_SHIFT | self.started_ns.load() >> (64 - CLASS_SHIFT))
    }
}

const CLASS_SHIFT: u32 = 61;
const UNDECIDED: u64 = 4 << CLASS_SHIFT;

impl Set {
    /// The flow's entry and the state in which it was found.
    #[inline(always)]
    pub fn find(&self, key: &FlowKey) -> Option<(&Entry, State)> {
        let found = |way: usize| {
            let entry: &Entry = &self.entries[way];
            entry.is_of(key) && entry.state().is_known()
        };
        let way = if found(0) {
            0
        } else if found(1) {
            1
        } else if found(2) {
            2
        } else if found(3) {
            3
        } else {
            return None;
        };
        let entry = &self.entries[bounded(way, WAYS - 1)];
        Some((entry, entry.state()))
    }

    /// Takes an entry for a new flow: the one it has, else the least dear.
    #[inline(always)]
    pub fn insert<A: Atomics>(
        &self,
        own: Option<(&Entry, State)>,
        key: &FlowKey,
        client: Newcomer,
        trial: &NewTrial,
    ) -> Inserted {
        let (entry, seen) = match own {
            Some(own) => own,
            None => match self.least_dear(trial.started_ns) {
                Some(entry) => (entry, entry.state()),
                None => return Inserted::NoRoom,
            },
        };
        // Another CPU may have begun to take it since it was weighed.
        if seen.phase() == Phase::Busy {
            return Inserted::NoRoom;
        }
        entry.take::<A>(seen, key, client, trial)
    }

    #[inline(always)]
    fn least_dear(&self, now_ns: u64) -> Option<&Entry> {
        let (mut way, mut least) = (0, UNDECIDED);
        for other in 0..WAYS {
            let worth = self.entries[other].worth(now_ns);
            if worth < least {
                (way, least) = (other, worth);
            }
        }
        (least < UNDECIDED).then(|| &self.entries[bounded(way, WAYS - 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostTables;

    #[test]
    fn a_client_may_ask_two_ports_of_one_service_from_one_port() {
        let set = Set::default();
        let key = |local_port| FlowKey {
            client: Address::v4(7),
            client_port: 40_000,
            service: 3,
            local_port,
        };
        let trial = NewTrial {
            ring: 0,
            started_ns: 1,
            expires_ns: 2,
        };
        for port in [80, 443] {
            assert!(set.find(&key(port)).is_none());
            set.insert::<HostTables>(None, &key(port), Newcomer::default(), &trial);
        }
        let found = [80, 443].map(|port| set.find(&key(port)).unwrap().0);
        assert!(!core::ptr::eq(found[0], found[1]));
        let words: SetWords = core::array::from_fn(|word| {
            if word % 8 == 0 {
                2 | 0x1bb_0003 << 32
            } else {
                0
            }
        });
        assert!(
            Seen::of(&words).all(|seen| seen.service == 3),
            "the port is above it"
        );
    }
}
