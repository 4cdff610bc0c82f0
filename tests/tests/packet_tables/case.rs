//! A row of a table: what goes in, and what must be seen. Packets and bytes each way
//! are checked in every case; see [`Script`].

use probe_common::{
    address::NETWORK_BUCKETS,
    counters::{Counters, RstPhase, Traffic},
    skip::Skip,
    trial::Kind,
};

use crate::{script::Script, services::To};

/// What became of trials of one kind.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub struct Trials {
    pub started: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub abandoned: u32,
    pub after_deadline: u32,
}

/// No trial.
pub const NONE: Trials = Trials {
    started: 0,
    succeeded: 0,
    failed: 0,
    abandoned: 0,
    after_deadline: 0,
};
/// One of which nothing was heard.
pub const WAITING: Trials = Trials { started: 1, ..NONE };
/// One that succeeded.
pub const SUCCEEDED: Trials = Trials {
    succeeded: 1,
    ..WAITING
};
/// One that failed at once.
pub const FAILED: Trials = Trials {
    failed: 1,
    ..WAITING
};
/// One of which nobody can say.
pub const ABANDONED: Trials = Trials {
    abandoned: 1,
    ..WAITING
};
/// One that ended after its deadline.
pub const LATE: Trials = Trials {
    after_deadline: 1,
    ..WAITING
};

impl Trials {
    /// Both together.
    pub const fn and(self, other: Self) -> Self {
        Self {
            started: self.started + other.started,
            succeeded: self.succeeded + other.succeeded,
            failed: self.failed + other.failed,
            abandoned: self.abandoned + other.abandoned,
            after_deadline: self.after_deadline + other.after_deadline,
        }
    }
}

/// What was counted, of all services together.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct Seen {
    pub traffic: Traffic,
    pub counters: Counters,
    pub trials: [Trials; Kind::COUNT],
    /// Verified handshakes, counted by networks.
    pub verified: u64,
    /// SERVFAILs, and in how many name buckets.
    pub servfails: (u32, usize),
    pub skips: [u64; Skip::COUNT],
}

/// What is counted of the same trials by interface, and by network as they begin.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub struct Also {
    /// Answered and completed handshakes of the interface by which the SYN came.
    pub came: (u64, u64),
    /// ... and of that by which the SYN-ACK left.
    pub left: (u64, u64),
    /// Trials `deliver`, and those that failed.
    pub spans: (u64, u64),
    /// Trials `request` and `finish`.
    pub begun: (u64, u64),
}

impl Also {
    /// What belongs to these trials where there is one interface.
    pub fn of(trials: &[Trials; Kind::COUNT], verified: u64) -> Self {
        let of = |kind| trials[kind as usize];
        let handshakes = (u64::from(of(Kind::Handshake).started), verified);
        let deliver = of(Kind::Deliver);
        Self {
            came: handshakes,
            left: handshakes,
            spans: (
                u64::from(deliver.started),
                u64::from(deliver.failed + deliver.after_deadline),
            ),
            begun: (
                u64::from(of(Kind::Request).started),
                u64::from(of(Kind::Finish).started),
            ),
        }
    }

    /// What was counted since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let since = |now: (u64, u64), then: (u64, u64)| (now.0 - then.0, now.1 - then.1);
        Self {
            came: since(self.came, before.came),
            left: since(self.left, before.left),
            spans: since(self.spans, before.spans),
            begun: since(self.begun, before.begun),
        }
    }
}

/// SERVFAILs by name bucket.
pub type Names = [u32; NETWORK_BUCKETS];

/// Where a case can happen.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Where {
    /// On the host and in the kernel by every hook.
    Everywhere,
    /// In the kernel by the tc hooks, where one buffer can be several packets.
    Tc,
    /// On the host and by XDP: the kernel makes no socket buffer of such a frame.
    NotTc,
}

type Frames = Box<dyn Fn(Script) -> Script>;

/// A row of a table.
pub struct Case {
    pub description: &'static str,
    pub to: To,
    pub frames: Frames,
    pub seen: Seen,
    pub happens: Where,
    /// Whether there is an IPv4 and an IPv6 form of it.
    pub families: &'static [bool],
}

/// A case for a service, in which nothing is seen yet but packets and bytes.
pub fn case(
    to: To,
    description: &'static str,
    frames: impl Fn(Script) -> Script + 'static,
) -> Case {
    Case {
        description,
        to,
        frames: Box::new(frames),
        seen: Seen::default(),
        happens: Where::Everywhere,
        families: &[false, true],
    }
}

impl Case {
    /// Only over IPv4.
    pub fn v4(mut self) -> Self {
        self.families = &[false];
        self
    }

    /// Only over IPv6.
    pub fn v6(mut self) -> Self {
        self.families = &[true];
        self
    }

    /// Only at the tc hooks.
    pub fn by_tc(mut self) -> Self {
        self.happens = Where::Tc;
        self
    }

    /// Not at the tc hooks.
    pub fn not_by_tc(mut self) -> Self {
        self.happens = Where::NotTc;
        self
    }

    /// Sets counters.
    pub fn counts(mut self, change: impl FnOnce(&mut Counters)) -> Self {
        change(&mut self.seen.counters);
        self
    }

    /// Expects trials of a kind, besides those that are.
    pub fn trials(mut self, kind: Kind, trials: Trials) -> Self {
        let all = &mut self.seen.trials[kind as usize];
        *all = all.and(trials);
        self
    }

    /// Expects a verified client, counted by its network.
    pub fn verified(mut self) -> Self {
        self.seen.verified += 1;
        self
    }

    /// Expects a SYN and its trial.
    pub fn syn(self, connect: Trials) -> Self {
        self.counts(|c| c.syn += 1).trials(Kind::Connect, connect)
    }

    /// Expects a SYN, its SYN-ACK and their trials.
    pub fn half_open(self, handshake: Trials) -> Self {
        self.syn(SUCCEEDED)
            .counts(|c| c.synack += 1)
            .trials(Kind::Handshake, handshake)
    }

    /// Expects one handshake.
    pub fn established(mut self) -> Self {
        if self.to == To::Sampled {
            self.seen.counters.sampled += 1;
        }
        self.verified()
            .half_open(SUCCEEDED)
            .counts(|c| c.verified += 1)
    }

    /// Expects one handshake after which the client spoke first, and this outcome.
    pub fn requested(self, request: Trials) -> Self {
        self.established()
            .counts(|c| c.client_first += 1)
            .trials(Kind::Request, request)
    }

    /// Expects a RST in.
    pub fn rst_in(self, phase: RstPhase) -> Self {
        self.counts(|c| c.rst_in[phase as usize] += 1)
    }

    /// Expects a RST out.
    pub fn rst_out(self, phase: RstPhase) -> Self {
        self.counts(|c| c.rst_out[phase as usize] += 1)
    }

    /// Expects frames that are not measured.
    pub fn skips(mut self, reason: Skip) -> Self {
        self.seen.skips[reason as usize] += 1;
        self
    }

    /// Expects SERVFAILs, and in how many name buckets.
    pub fn servfails(mut self, count: u32, buckets: usize) -> Self {
        self.seen.servfails = (count, buckets);
        self
    }
}
