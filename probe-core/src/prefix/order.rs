//! What the operator's orders do to a prefix: a pin holds it at a level, a drain takes
//! it out in two steps. An order is carried out even while the host is frozen; only
//! mode `observe` changes nothing.

use core::time::Duration;

use super::{Announcement, Change, Held, Host, Phase, last_site::Leave};
use crate::{
    command::{Cause, Guard, Reason},
    config::Mode,
    input::Directive,
    level::Level,
    outbox::Outbox,
    recovery::Absence,
    time::Timestamp,
    watch::Watch,
};

impl Announcement {
    pub(super) fn decide_pinned(
        &mut self,
        services: &[&Watch],
        level: Level,
        directive: &Directive,
        host: &Host<'_>,
        out: &mut Outbox,
    ) -> Option<Change> {
        let now = host.now;
        if self.mode == Mode::Observe {
            let reason = ordered(services, Cause::Pin, Some(directive))?;
            let held = Held::Order(Guard::Observe);
            self.hold(held, Guard::Observe, level, reason, out);
            return None;
        }
        if self.wanted != Some(level) {
            let reason = ordered(services, Cause::Pin, Some(directive))?;
            let phase = match level {
                Level::Full => Phase::Announced { since: now },
                Level::Degraded => Phase::Impaired {
                    since: now,
                    clear_since: None,
                    hold: Duration::ZERO,
                },
                Level::Withdrawn => Phase::Waiting(Absence::before_first(now)),
            };
            return self.change(level, phase, reason, out);
        }
        if let Some((due, watches)) = self.due_lowering(services)
            && due < level
        {
            self.hold_faults(&watches, due, Guard::Pinned, out);
        }
        None
    }

    /// Begins, goes on with, or ends a drain.
    pub(super) fn decide_drain(
        &mut self,
        services: &[&Watch],
        host: &Host<'_>,
        out: &mut Outbox,
    ) -> Option<Change> {
        let now = host.now;
        let order = host.orders.drain(self.id);
        let rests = match &self.phase {
            Phase::Drained { level, .. } => order.is_some() && *level == Level::Withdrawn,
            Phase::Unread
            | Phase::Waiting(_)
            | Phase::Announced { .. }
            | Phase::Impaired { .. }
            | Phase::Canary { .. }
            | Phase::Withdrawn(_) => order.is_none(),
        };
        if rests {
            return None;
        }
        let reason = ordered(services, Cause::Drain, order)?;
        match (self.phase.clone(), order) {
            (Phase::Drained { since, .. }, Some(_)) => {
                let ends = since.after(self.config.drain);
                if ends > now {
                    self.due = Some(ends);
                    return None;
                }
                self.leave_by_order(reason, now, out)
            }
            (Phase::Drained { level, .. }, None) => match level {
                Level::Withdrawn => {
                    self.phase = Phase::Waiting(Absence::before_first(now));
                    None
                }
                Level::Degraded | Level::Full => {
                    let phase = Phase::Announced { since: now };
                    self.change(Level::Full, phase, reason, out)
                }
            },
            (_, None) => None,
            (_, Some(_)) if self.mode == Mode::Observe => {
                let held = Held::Order(Guard::Observe);
                self.hold(held, Guard::Observe, Level::Withdrawn, reason, out);
                None
            }
            (_, Some(_)) if self.is_live() && !self.config.drain.is_zero() => {
                self.change(Level::Degraded, drained(now, Level::Degraded), reason, out)
            }
            (_, Some(_)) if !self.is_live() => {
                let phase = drained(now, Level::Withdrawn);
                self.change(Level::Withdrawn, phase, reason, out)
            }
            (_, Some(_)) => self.leave_by_order(reason, now, out),
        }
    }

    /// The last step of a drain. Where nobody else announces the prefix, it stays
    /// degraded, unless the operator wants even that.
    fn leave_by_order(
        &mut self,
        reason: Reason,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Option<Change> {
        let is_forced = reason.order.as_ref().is_some_and(|order| order.force);
        let leave = if is_forced {
            Leave::Now
        } else {
            self.may_leave(now)
        };
        let reason = Reason {
            others: self.witness.others().to_vec(),
            ..reason
        };
        let due = match leave {
            Leave::Now => {
                let phase = drained(now, Level::Withdrawn);
                return self.change(Level::Withdrawn, phase, reason, out);
            }
            Leave::Later(due) => due,
            Leave::Never(guard) => {
                let held = Held::Order(guard);
                self.hold(held, guard, Level::Withdrawn, reason.clone(), out);
                None
            }
        };
        let since = if let Phase::Drained { since, .. } = self.phase {
            since
        } else {
            now
        };
        let change = self.change(
            Level::Degraded,
            drained(since, Level::Degraded),
            reason,
            out,
        );
        self.due = due;
        change
    }
}

fn drained(since: Timestamp, level: Level) -> Phase {
    Phase::Drained { since, level }
}

fn ordered(services: &[&Watch], cause: Cause, directive: Option<&Directive>) -> Option<Reason> {
    Some(Reason {
        order: directive.cloned(),
        ..services.first()?.reason(cause, Duration::ZERO)
    })
}
