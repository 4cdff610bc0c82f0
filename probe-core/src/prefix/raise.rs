//! Raising a prefix: from absence when its services pass for the hold, from a canary
//! when its time was good, from impairment when nothing is wrong any more. Only pins,
//! drains, a freeze, mode `observe` and the hold stand in the way; never evidence.

use core::time::Duration;

use super::{Announcement, Change, Held, Host, Phase, lower::ids};
use crate::{
    command::{Cause, Guard, Reason},
    config::Mode,
    level::Level,
    outbox::Outbox,
    recovery::{Absence, Ready},
    time::Timestamp,
    watch::Watch,
};

/// A canary with too little traffic ends after this time of passing probes.
const CANARY_TIME: Duration = Duration::from_mins(1);
/// The failure ratio up to which a canary's trials are good.
const CANARY_FAILURES: f64 = 0.05;

impl Announcement {
    pub(super) fn raise_absent(
        &mut self,
        services: &[&Watch],
        absence: &Absence,
        host: &Host<'_>,
        out: &mut Outbox,
    ) -> Option<Change> {
        let now = host.now;
        let needed = self.config.withdraw_when.good_needed(services.len());
        let mut ready: Vec<Ready> = services
            .iter()
            .filter_map(|watch| absence.ready(watch.id(), watch.probing().passing_since()))
            .collect();
        ready.sort_unstable();
        let deciding = *ready.get(needed - 1)?;
        self.due = Some(deciding.at);
        if deciding.at > now {
            return None;
        }
        let retry = ready.iter().take(needed).any(|ready| ready.retry);
        let withdrawn = matches!(self.phase, Phase::Withdrawn(_));
        let cause = match (withdrawn, retry) {
            (true, true) => Cause::Retry,
            (true, false) => Cause::Recovered,
            (false, _) => Cause::FirstAnnouncement,
        };
        let watch = services
            .iter()
            .find(|watch| watch.id() == deciding.service)?;
        let passing_since = watch.probing().passing_since().unwrap_or(now);
        let since = if cause == Cause::Retry {
            absence.since
        } else {
            passing_since.max(absence.since)
        };
        let mut reason = watch.reason(cause, now.since(since));
        reason.failed_services = failed(services);
        let level = if withdrawn && self.recover.canary {
            Level::Degraded
        } else {
            Level::Full
        };
        if self.is_raise_held(level, &reason, host, out) {
            return None;
        }
        if cause == Cause::Retry {
            self.last_retry = Some(now);
        }
        let phase = match level {
            Level::Degraded => Phase::Canary { since: now },
            Level::Full | Level::Withdrawn => Phase::Announced { since: now },
        };
        self.change(level, phase, reason, out)
    }

    pub(super) fn raise_canary(
        &mut self,
        services: &[&Watch],
        since: Timestamp,
        host: &Host<'_>,
        out: &mut Outbox,
    ) -> Option<Change> {
        let now = host.now;
        let ends = since.after(CANARY_TIME);
        let is_good = |watch: &&&Watch| {
            let (trials, failing) = watch.since_announced();
            let enough = trials >= u64::from(watch.config().detect.arm_after);
            let passing = watch
                .probing()
                .passing_since()
                .is_some_and(|passing| passing <= since);
            !watch.is_doubted()
                && if enough {
                    failing <= CANARY_FAILURES
                } else {
                    passing && ends <= now
                }
        };
        let needed = self.config.withdraw_when.good_needed(services.len());
        let good = services.iter().filter(is_good).count();
        self.due = Some(ends).filter(|ends| *ends > now);
        if good < needed {
            return None;
        }
        let reason = services.first()?.reason(Cause::Canary, now.since(since));
        if self.is_raise_held(Level::Full, &reason, host, out) {
            return None;
        }
        self.change(Level::Full, Phase::Announced { since }, reason, out)
    }

    pub(super) fn raise_impaired(
        &mut self,
        services: &[&Watch],
        (since, clear_since, hold): (Timestamp, Option<Timestamp>, Duration),
        host: &Host<'_>,
        out: &mut Outbox,
    ) -> Option<Change> {
        let now = host.now;
        if self.mode == Mode::Observe {
            return None;
        }
        let clear = self.due_lowering(services).is_none()
            && !services.iter().any(|watch| watch.is_doubted());
        let clear_since = clear.then(|| clear_since.unwrap_or(now));
        self.phase = Phase::Impaired {
            since,
            clear_since,
            hold,
        };
        let returns_at = clear_since?.after(hold);
        self.due = Some(returns_at);
        if returns_at > now {
            return None;
        }
        let reason = services.first()?.reason(Cause::Recovered, hold);
        if self.is_raise_held(Level::Full, &reason, host, out) {
            return None;
        }
        self.change(Level::Full, Phase::Announced { since: now }, reason, out)
    }

    pub(super) fn is_raise_held(
        &mut self,
        level: Level,
        reason: &Reason,
        host: &Host<'_>,
        out: &mut Outbox,
    ) -> bool {
        let guard = if self.mode == Mode::Observe {
            Guard::Observe
        } else if host.orders.freeze().is_some() {
            Guard::Frozen
        } else {
            return false;
        };
        self.due = None;
        self.hold(Held::Raise(guard), guard, level, reason.clone(), out);
        true
    }
}

fn failed(services: &[&Watch]) -> Vec<crate::config::ServiceId> {
    let failed: Vec<&Watch> = services
        .iter()
        .copied()
        .filter(|watch| watch.has_failed())
        .collect();
    ids(&failed)
}
