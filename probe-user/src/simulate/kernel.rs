//! The kernel's side of one simulated service: trials and their ends flow in, the
//! readings that the daemon would take flow out. The one place of the simulation that
//! knows how a reading is built.
//!
//! A ring has one of two shapes. The fine one is the daemon's own. The coarse one has
//! wide buckets, for calm hours that are read once a second; its trials end in the
//! bucket in which they start.

use std::time::Duration;

use probe_common::{
    address::NETWORK_BUCKETS,
    cohort::{BUCKETS, width_shift},
    trial::Kind,
};
use probe_core::{
    Timestamp,
    config::ServiceId,
    input::{Bucket, CohortReading, ServiceReading, TrialReading},
};

use crate::journal::record::nanoseconds;

/// A bucket of a coarse ring is 2^30 ns wide: 1.07 s.
const COARSE_SHIFT: u8 = 30;

/// How wide the buckets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As in the kernel.
    Fine,
    /// For calm hours.
    Coarse,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Answered; the client proved itself, and is of the network with this hash.
    Verified(u8),
    /// Answered, and nothing more was heard of the client.
    Answered,
    /// Turned down.
    Refused,
    /// Nobody can say.
    Abandoned,
}

impl End {
    /// Whether the service answered.
    pub fn is_answer(self) -> bool {
        match self {
            Self::Verified(_) | Self::Answered => true,
            Self::Refused | Self::Abandoned => false,
        }
    }
}

/// Trials that ended where they started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch {
    /// Trials.
    pub trials: u64,
    /// ... of which failed.
    pub failed: u64,
}

/// One service's maps.
#[derive(Clone, Debug)]
pub struct Kernel {
    width_shift: u8,
    deadline: Duration,
    buckets: Vec<Bucket>,
    verified: Vec<u32>,
}

impl Kernel {
    /// Maps that count from somewhere, as they would after a restart of the daemon.
    pub fn new(deadline: Duration, initial: u32) -> Self {
        let bucket = Bucket {
            started: initial,
            succeeded: initial,
            failed: 0,
            abandoned: 0,
        };
        Self {
            width_shift: width_shift(nanoseconds(deadline)),
            deadline,
            buckets: vec![bucket; BUCKETS],
            verified: vec![initial; NETWORK_BUCKETS],
        }
    }

    /// Takes another shape: a new ring.
    pub fn reshape(&mut self, shape: Shape) {
        self.width_shift = match shape {
            Shape::Fine => width_shift(nanoseconds(self.deadline)),
            Shape::Coarse => COARSE_SHIFT,
        };
        self.buckets.fill(Bucket::default());
    }

    /// A trial started; says whether the bell rings: the trials of one deadline ago
    /// are still undecided.
    pub fn start(&mut self, at: Timestamp) -> bool {
        let bucket = self.bucket(at);
        bucket.started = bucket.started.wrapping_add(1);
        let width = Duration::from_nanos(1 << self.width_shift);
        let then = at
            .as_nanos()
            .saturating_sub(nanoseconds(self.deadline + width));
        let then = self.bucket(Timestamp::from_nanos(then));
        let ended = then
            .succeeded
            .wrapping_add(then.failed)
            .wrapping_add(then.abandoned);
        then.started != ended
    }

    /// The trial that started at `start` ended in time.
    pub fn end(&mut self, start: Timestamp, end: End) {
        let bucket = self.bucket(start);
        let counter = match end {
            End::Verified(_) | End::Answered => &mut bucket.succeeded,
            End::Refused => &mut bucket.failed,
            End::Abandoned => &mut bucket.abandoned,
        };
        *counter = counter.wrapping_add(1);
        if let End::Verified(network) = end {
            self.verify(usize::from(network), 1);
        }
    }

    /// Trials that started and ended at about `at`.
    pub fn batch(&mut self, at: Timestamp, batch: Batch) {
        let counts = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let bucket = self.bucket(at);
        bucket.started = bucket.started.wrapping_add(counts(batch.trials));
        bucket.failed = bucket.failed.wrapping_add(counts(batch.failed));
        let succeeded = batch.trials.saturating_sub(batch.failed);
        bucket.succeeded = bucket.succeeded.wrapping_add(counts(succeeded));
    }

    /// So many handshakes of one network were verified.
    pub fn verify(&mut self, network: usize, count: u32) {
        let counter = &mut self.verified[network % NETWORK_BUCKETS];
        *counter = counter.wrapping_add(count);
    }

    fn bucket(&mut self, start: Timestamp) -> &mut Bucket {
        let bucket = start.as_nanos() >> self.width_shift;
        let slot = usize::try_from(bucket % BUCKETS as u64).unwrap_or_default();
        &mut self.buckets[slot]
    }

    /// What the daemon would read now.
    pub fn reading(&self, service: ServiceId) -> ServiceReading {
        ServiceReading {
            service,
            trials: vec![TrialReading {
                kind: Kind::Connect,
                ring: CohortReading {
                    width_shift: self.width_shift.into(),
                    deadline: self.deadline,
                    after_deadline: 0,
                    buckets: self.buckets.clone(),
                },
            }],
            verified: self.verified.clone(),
            requests: Vec::new(),
            finishes: Vec::new(),
            servfails: vec![0; NETWORK_BUCKETS],
        }
    }
}
