//! The handshake table: a fixed 4-way set-associative array of flow entries,
//! shared by all services and touched only by SYN, SYN-ACK, RST and gated packets.
//!
//! ```text
//!              SYN                SYN-ACK               ACK of it
//!   Empty ───────────▶ Waiting ───────────▶ HalfOpen ───────────▶ Established
//!                         │ RST either way     │ RST                  │ RST
//!                         └────────────────────┴──────────▶ Closed ◀──┘
//! ```
//!
//! Ingress and egress run on different CPUs, so every transition is one
//! compare-exchange on the state word, which carries a generation: whoever loses
//! the race, or finds that the entry was taken over in between, does nothing.

use crate::{
    cell::{Atomics, Shared},
    service::{Address, hash},
    verifier::bounded,
};

/// Sets of the table.
pub const SETS: usize = 1 << 15;
/// Entries of a set.
pub const WAYS: usize = 4;

/// How far a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Never used.
    Empty,
    /// Being written by another CPU.
    Busy,
    /// SYN seen: the trial `connect` is undecided.
    Waiting,
    /// SYN-ACK seen.
    HalfOpen,
    /// The client's ACK matched our SYN-ACK: verified.
    Established,
    /// Ended by a RST.
    Closed,
}

/// An entry's state word: the phase in the lowest byte, above it a generation that
/// changes with each owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(u32);

impl State {
    /// The phase in this word.
    #[inline(always)]
    pub fn phase(self) -> Phase {
        match self.0 & 0xff {
            0 => Phase::Empty,
            2 => Phase::Waiting,
            3 => Phase::HalfOpen,
            4 => Phase::Established,
            5 => Phase::Closed,
            _ => Phase::Busy,
        }
    }

    /// Whether the entry has an owner and can be read.
    #[inline(always)]
    fn is_known(self) -> bool {
        !matches!(self.phase(), Phase::Empty | Phase::Busy)
    }

    /// The same owner in another phase.
    #[inline(always)]
    fn with(self, phase: Phase) -> Self {
        Self(self.0 & !0xff | phase as u32)
    }

    /// The next owner, still writing.
    #[inline(always)]
    fn next_owner(self) -> Self {
        Self(self.0.wrapping_add(0x100)).with(Phase::Busy)
    }
}

/// What names a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// The client's address.
    pub client: Address,
    /// The client's port.
    pub client_port: u16,
    /// Index of the service.
    pub service: u32,
}

impl FlowKey {
    /// The flow's hash: its set, and its place in the gate.
    #[inline(always)]
    pub fn hash(&self, seed: u64) -> u64 {
        hash(
            seed,
            &self.client,
            u64::from(self.client_port) << 32 | u64::from(self.service),
        )
    }
}

/// One flow's handshake: one cache line.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Handshake {
    state: Shared<u32>,
    service: Shared<u32>,
    client: [Shared<u32>; 4],
    client_port: Shared<u32>,
    /// Initial sequence number of the client.
    isn: Shared<u32>,
    /// Initial sequence number of the service.
    iss: Shared<u32>,
    ring: Shared<u32>,
    syn_ns: Shared<u64>,
    expires_ns: Shared<u64>,
    reserved: u64,
}

const _: () = assert!(size_of::<Handshake>() == 64);

/// The set of a flow.
#[repr(C)]
#[derive(Debug, Default)]
pub struct HandshakeSet {
    /// Its entries.
    pub entries: [Handshake; WAYS],
}

const _: () = assert!(size_of::<HandshakeSet>() == 64 * WAYS);

/// The index of the set of a flow with this hash.
#[inline(always)]
pub fn set_index(hash: u64) -> u32 {
    (hash >> 40) as u32 & (SETS as u32 - 1)
}

/// What a SYN writes into its entry.
#[derive(Clone, Copy, Debug)]
pub struct NewFlow {
    /// Whose flow.
    pub key: FlowKey,
    /// Initial sequence number of the client.
    pub isn: u32,
    /// The cohort ring of its trial.
    pub ring: u32,
    /// When the SYN came.
    pub syn_ns: u64,
    /// When the trial is late.
    pub expires_ns: u64,
}

/// A trial that ended undecided because its entry was needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// Its cohort ring.
    pub ring: u32,
    /// When it started.
    pub syn_ns: u64,
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

impl Handshake {
    /// The state word as it is now.
    #[inline(always)]
    pub fn state(&self) -> State {
        State(self.state.load())
    }

    /// The client's initial sequence number.
    #[inline(always)]
    pub fn isn(&self) -> u32 {
        self.isn.load()
    }

    /// The service's initial sequence number.
    #[inline(always)]
    pub fn iss(&self) -> u32 {
        self.iss.load()
    }

    /// The cohort ring of its trial.
    #[inline(always)]
    pub fn ring(&self) -> u32 {
        self.ring.load()
    }

    /// When its SYN came.
    #[inline(always)]
    pub fn syn_ns(&self) -> u64 {
        self.syn_ns.load()
    }

    /// Moves from the state that was seen to `phase`; false if another CPU was first.
    #[inline(always)]
    pub fn advance<A: Atomics>(&self, seen: State, phase: Phase) -> bool {
        A::compare_exchange(&self.state, seen.0, seen.with(phase).0)
    }

    /// SYN-ACK out: from Waiting to `HalfOpen`.
    #[inline(always)]
    pub fn answer<A: Atomics>(&self, seen: State, iss: u32) -> bool {
        if !self.advance::<A>(seen, Phase::Busy) {
            return false;
        }
        self.iss.store(iss);
        self.state.store(seen.with(Phase::HalfOpen).0);
        true
    }

    /// Takes the entry for a new flow.
    #[inline(always)]
    fn take<A: Atomics>(&self, seen: State, flow: &NewFlow) -> Inserted {
        let owner = seen.next_owner();
        if !A::compare_exchange(&self.state, seen.0, owner.0) {
            return Inserted::NoRoom;
        }
        let former = Evicted {
            ring: self.ring(),
            syn_ns: self.syn_ns(),
        };
        let words = &flow.key.client.0;
        self.service.store(flow.key.service);
        self.client[0].store(words[0]);
        self.client[1].store(words[1]);
        self.client[2].store(words[2]);
        self.client[3].store(words[3]);
        self.client_port.store(u32::from(flow.key.client_port));
        self.isn.store(flow.isn);
        self.iss.store(0);
        self.ring.store(flow.ring);
        self.syn_ns.store(flow.syn_ns);
        self.expires_ns.store(flow.expires_ns);
        self.state.store(owner.with(Phase::Waiting).0);
        if seen.phase() == Phase::Waiting {
            Inserted::Evicting(former)
        } else {
            Inserted::Free
        }
    }

    #[inline(always)]
    fn is_of(&self, key: &FlowKey) -> bool {
        self.client[3].load() == key.client.0[3]
            && self.client_port.load() == u32::from(key.client_port)
            && self.service.load() == key.service
            && self.client[0].load() == key.client.0[0]
            && self.client[1].load() == key.client.0[1]
            && self.client[2].load() == key.client.0[2]
    }

    /// How dear the entry is: the lower one gives way. At [`UNDECIDED`] or above it
    /// holds an undecided trial and must stay. Of the same class the older gives way.
    ///
    /// A half-open entry has had its answer, so spoofed SYNs cannot hold the table.
    #[inline(always)]
    fn worth(&self, now_ns: u64) -> u64 {
        let class: u64 = match self.state().phase() {
            Phase::Empty => 0,
            Phase::Closed => 1,
            Phase::HalfOpen => 2,
            Phase::Established => 3,
            Phase::Waiting if self.expires_ns.load() < now_ns => 1,
            Phase::Waiting | Phase::Busy => UNDECIDED >> CLASS_SHIFT,
        };
        // Opaque, or the verifier would go on with each class on its own.
        core::hint::black_box(class << CLASS_SHIFT | self.syn_ns() >> (64 - CLASS_SHIFT))
    }
}

const CLASS_SHIFT: u32 = 61;
const UNDECIDED: u64 = 4 << CLASS_SHIFT;

impl HandshakeSet {
    /// The flow's entry and the state in which it was found.
    #[inline(always)]
    pub fn find(&self, key: &FlowKey) -> Option<(&Handshake, State)> {
        let found = |way: usize| {
            let entry: &Handshake = &self.entries[way];
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
    pub fn insert<A: Atomics>(&self, own: Option<(&Handshake, State)>, flow: &NewFlow) -> Inserted {
        let (entry, seen) = match own {
            Some(own) => own,
            None => match self.least_dear(flow.syn_ns) {
                Some(entry) => (entry, entry.state()),
                None => return Inserted::NoRoom,
            },
        };
        // Another CPU may have begun to take it since it was weighed.
        if seen.phase() == Phase::Busy {
            return Inserted::NoRoom;
        }
        entry.take::<A>(seen, flow)
    }

    #[inline(always)]
    fn least_dear(&self, now_ns: u64) -> Option<&Handshake> {
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
