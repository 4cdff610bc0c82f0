//! One step of a connection: what a segment changes, and the trials that end and
//! start by it.

use crate::{
    flow::{Entry, State},
    trial::{Begun, Kind, Outcome},
};

use super::{Flow, Tables, trials};

/// What a segment changes.
pub struct Step {
    pub next: State,
    /// How the present trial ends.
    pub ends: Option<Outcome>,
    /// The trial that starts.
    pub begins: Option<Kind>,
    /// How the trial `finish`, which starts and ends at once, ends.
    pub finishes: Option<bool>,
}

impl Step {
    /// No change.
    #[inline(always)]
    pub fn none(seen: State) -> Self {
        Self {
            next: seen,
            ends: None,
            begins: None,
            finishes: None,
        }
    }

    /// Marks a FIN. The first FIN of an established connection is its good end.
    #[inline(always)]
    pub fn mark_fin(&mut self, mark: u32) {
        if self.next.is_established() && !self.next.any(State::FIN_IN | State::FIN_OUT) {
            self.finishes = Some(true);
        }
        self.next = self.next.marked(mark);
    }
}

/// Does what the step says, unless another CPU was first.
#[inline(always)]
pub fn take<T: Tables>(
    tables: &T,
    flow: &Flow<'_>,
    entry: &Entry,
    seen: State,
    step: &Step,
) -> Option<Taken> {
    if step.next == seen {
        return Some(Taken::No);
    }
    let now_ns = tables.now_ns();
    let former = entry.trial();
    let done = if let Some(kind) = step.begins {
        let (trial, ring) = trials::new_trial(tables, &flow.service, kind, now_ns)?;
        let done = entry.begin::<T>(seen, step.next, &trial);
        if done {
            ring.begin::<T>(now_ns);
            if kind == Kind::Request {
                add_begun(tables, flow, Begun::Request);
            }
        }
        done
    } else {
        entry.advance::<T>(seen, step.next)
    };
    if !done {
        return Some(Taken::No);
    }
    if let Some(outcome) = step.ends {
        trials::end(tables, flow.key.service, former, now_ns, outcome)?;
    }
    if let Some(succeeded) = step.finishes {
        trials::judge(tables, &flow.service, Kind::Finish, now_ns, succeeded)?;
        add_begun(tables, flow, Begun::Finish);
    }
    Some(Taken::At(now_ns))
}

/// A client that opened many connections long ago may begin trials on all of them at
/// once; so these are counted by network, too.
#[inline(always)]
fn add_begun<T: Tables>(tables: &T, flow: &Flow<'_>, begun: Begun) {
    tables.add_begun(flow.key.service, begun, flow.key.client.network_bucket());
}

/// Whether a step was taken, and when.
pub enum Taken {
    No,
    At(u64),
}
