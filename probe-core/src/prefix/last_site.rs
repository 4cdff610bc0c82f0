//! The guard `last_site`: a prefix is not withdrawn where nobody else announces it.
//!
//! Two hosts that fail at the same instant see each other announce, and would both
//! withdraw. So a withdraw has two steps, as in a mutual exclusion by flags: degrade,
//! which tells the others that this host is no refuge any more; wait one round; look
//! again, and withdraw only if somebody is still full.
//!
//! ```text
//! this host   full ──▶ degraded ────── round ──────▶ looks ──▶ withdrawn, or stays
//! another     hears of it within the delay d < round ┘
//! ```
//!
//! Of two that wait, one heard of the other's degrading before it looked, if the round
//! is longer than d. One host of all may go first: it withdraws at once where another
//! site is full. Whoever waits hears of that before it looks if the round is longer than
//! twice d, since what that host saw was up to d old. Should the delay ever be longer,
//! both may be out until they hear of each other: then they come back, see below.

use core::time::Duration;

use super::{Announcement, Change, Host, Phase, lower::passed};
use crate::{
    command::{Cause, Guard, Reason},
    config::{LastSite, Race},
    level::Level,
    outbox::Outbox,
    time::Timestamp,
    watch::Watch,
    witness::Refuge,
};

/// Whether a prefix may be withdrawn now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It may.
    Now,
    /// Not before the others know: degraded until then, if it is degraded already.
    Later(Option<Timestamp>),
    /// It may not.
    Never(Guard),
}

impl Announcement {
    /// Whether it may be withdrawn, as far as other hosts are concerned.
    pub(super) fn may_leave(&self, now: Timestamp) -> Leave {
        let LastSite::Hold(Race { goes_first, round }) = self.config.last_site else {
            return Leave::Now;
        };
        match self.witness.refuge() {
            Refuge::Nowhere => Leave::Never(Guard::LastSite),
            Refuge::Unknown => Leave::Never(Guard::WitnessStale),
            Refuge::Site if goes_first => Leave::Now,
            Refuge::Site | Refuge::Neighbour => {
                match self.degraded_since.map(|since| since.after(round)) {
                    Some(ends) if ends <= now => Leave::Now,
                    ends => Leave::Later(ends),
                }
            }
        }
    }

    /// The guards that have let a withdraw pass; none where they are not asked.
    pub(super) fn last_site_guards(&self) -> Vec<Guard> {
        match self.config.last_site {
            LastSite::Allow | LastSite::Unwitnessed => Vec::new(),
            LastSite::Hold(_) => vec![Guard::LastSite, Guard::WitnessStale],
        }
    }

    /// Degraded is all that is possible, or all that is possible yet.
    pub(super) fn degrade_instead(
        &mut self,
        reason: Reason,
        announced_since: Option<Timestamp>,
        host: &mut Host<'_>,
        out: &mut Outbox,
    ) -> Option<Change> {
        let now = host.now;
        if matches!(self.phase, Phase::Impaired { .. }) {
            return None;
        }
        let healthy = announced_since.map_or(Duration::ZERO, |since| now.since(since));
        let phase = Phase::Impaired {
            // Not now: when it is withdrawn in the end, its flaps are forgiven for the
            // time in which it was well.
            since: announced_since.unwrap_or(now),
            clear_since: None,
            hold: self.degrade_flaps.hold_after(healthy, &self.recover),
        };
        let due = self.due;
        let change = self.change(Level::Degraded, phase, passed(reason), out);
        if change.is_some() {
            host.budget.spend(now);
        }
        self.due = due;
        change
    }

    /// A prefix that was withdrawn comes back degraded when for a whole round nobody
    /// else announced it: then there is nothing to be lost.
    pub(super) fn return_as_last(
        &mut self,
        services: &[&Watch],
        host: &Host<'_>,
        out: &mut Outbox,
    ) -> Option<Change> {
        let LastSite::Hold(Race { round, .. }) = self.config.last_site else {
            return None;
        };
        let now = host.now;
        let Phase::Withdrawn(absence) = &self.phase else {
            return None;
        };
        let alone_since = self.witness.nobody_since()?.max(absence.since);
        let returns_at = alone_since.after(round);
        if returns_at > now {
            self.due = Some(self.due.map_or(returns_at, |due| due.min(returns_at)));
            return None;
        }
        let reason = Reason {
            others: self.witness.others().to_vec(),
            ..services
                .first()?
                .reason(Cause::LastSite, now.since(alone_since))
        };
        if self.is_raise_held(Level::Degraded, &reason, host, out) {
            return None;
        }
        let phase = Phase::Impaired {
            since: now,
            clear_since: None,
            hold: self.recover.hold,
        };
        self.change(Level::Degraded, phase, reason, out)
            // The verdicts stand: it is full again only when they are over.
            .map(|_| Change { returns: false })
    }
}
