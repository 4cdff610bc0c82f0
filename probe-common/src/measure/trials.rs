//! The beginning and the end of trials.

use crate::{
    cohort::CohortRing,
    flow::{Evicted, NewTrial},
    service::Found,
    trial::{Kind, Outcome, RINGS_PER_BLOCK},
};

use super::Tables;

/// A trial of this kind that starts now, and its ring.
#[inline(always)]
pub fn new_trial<'a, T: Tables>(
    tables: &'a T,
    service: &Found<'_>,
    kind: Kind,
    now_ns: u64,
) -> Option<(NewTrial, CohortRing<'a>)> {
    let index = service.ring(kind);
    let ring = tables.ring(index)?;
    let trial = NewTrial {
        ring: index,
        started_ns: now_ns,
        expires_ns: now_ns + ring.head.deadline_ns.load(),
    };
    Some((trial, ring))
}

/// Ends a trial. One that succeeds tells how long it took.
#[inline(always)]
pub fn end<T: Tables>(
    tables: &T,
    service: u32,
    trial: Evicted,
    now_ns: u64,
    outcome: Outcome,
) -> Option<()> {
    let ring = tables.ring(trial.ring)?;
    ring.end::<T>(trial.started_ns, now_ns, outcome);
    match outcome {
        Outcome::Succeeded => {
            let slot = trial.ring & (RINGS_PER_BLOCK as u32 - 1);
            tables
                .latencies(service * RINGS_PER_BLOCK as u32 + slot)?
                .add::<T>(now_ns.saturating_sub(trial.started_ns));
        }
        Outcome::Failed => tables.wake(),
        Outcome::Abandoned => {}
    }
    Some(())
}

/// A trial that ends as it starts.
#[inline(always)]
pub fn judge<T: Tables>(
    tables: &T,
    service: &Found<'_>,
    kind: Kind,
    now_ns: u64,
    succeeded: bool,
) -> Option<()> {
    let ring = tables.ring(service.ring(kind))?;
    let outcome = if succeeded {
        Outcome::Succeeded
    } else {
        Outcome::Failed
    };
    ring.begin::<T>(now_ns);
    ring.end::<T>(now_ns, now_ns, outcome);
    Some(())
}
