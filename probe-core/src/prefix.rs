//! One prefix. In flow the verdicts about its services and what stands in the table,
//! out flow its level changes, or what holds them.
//!
//! ```text
//!            found withdrawn             good_needed services pass
//!  unread ──────────────────▶ waiting ─────────────────────────────┐
//!     │ found there                                                 ▼
//!     └────────────────────────────────────────────────────▶ announced
//!                                                             │      ▲
//!                             failures_needed services failed │      │ hold, or retry
//!                                                             ▼      │
//!                                                            withdrawn
//! ```
//!
//! In mode `observe` nothing is decided about the table: the phase follows what is
//! found there, and what would be done is recorded as held.

use core::time::Duration;
use std::collections::BTreeSet;

use crate::{
    command::{Cause, Command, Event, Guard, Reason, SecondLeg},
    config::{Mode, Prefix, PrefixId, Recover, ServiceId},
    level::Level,
    outbox::Outbox,
    recovery::{Absence, Flaps, Ready, Sight},
    status::PrefixStatus,
    time::Timestamp,
    watch::Watch,
};

/// Everything that is known about one prefix.
#[derive(Clone, Debug)]
pub struct Announcement {
    id: PrefixId,
    config: Prefix,
    mode: Mode,
    recover: Recover,
    phase: Phase,
    observed: Option<Level>,
    wanted: Option<Level>,
    /// The table held what was wanted since it was wanted.
    in_place: bool,
    flaps: Flaps,
    last_retry: Option<Timestamp>,
    withdrawals: u64,
    held_by: Option<Guard>,
    /// While not announced: when the prefix may return, as far as is known.
    return_due: Option<Timestamp>,
    /// What was recorded as held, so that each cause is recorded once.
    recorded: BTreeSet<Held>,
}

#[derive(Clone, Debug)]
enum Phase {
    Unread,
    Waiting(Absence),
    Announced { since: Timestamp },
    Withdrawn(Absence),
}

/// A change that was held, for as long as its cause lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    /// A first announcement.
    First,
    /// A withdraw because of a service's fault.
    Fault(ServiceId, Cause),
    /// A suspicion, by the time at which it began.
    Suspicion(ServiceId, Guard, Timestamp),
}

impl Announcement {
    /// A prefix whose table was not read yet.
    pub fn new(id: PrefixId, config: Prefix, mode: Mode, recover: Recover) -> Self {
        Self {
            id,
            config,
            mode,
            recover,
            phase: Phase::Unread,
            observed: None,
            wanted: None,
            in_place: false,
            flaps: Flaps::default(),
            last_retry: None,
            withdrawals: 0,
            held_by: None,
            return_due: None,
            recorded: BTreeSet::new(),
        }
    }

    /// Its services.
    pub fn services(&self) -> &[ServiceId] {
        &self.config.services
    }

    /// Whether clients may come by this prefix, as far as is known.
    pub fn is_live(&self) -> bool {
        match self.mode {
            Mode::Observe => true,
            Mode::Enforce => match self.phase {
                Phase::Unread | Phase::Announced { .. } => true,
                Phase::Waiting(_) | Phase::Withdrawn(_) => false,
            },
        }
    }

    /// Takes what stands in the table.
    pub fn observe(&mut self, observed: Level, now: Timestamp, out: &mut Outbox) -> Observed {
        let before = self.observed.replace(observed);
        let adopt = match (&self.phase, self.mode) {
            (Phase::Unread, _) | (_, Mode::Observe) => before != Some(observed),
            // Nothing was decided yet: whoever announces it, it is announced.
            (Phase::Waiting(_), Mode::Enforce) => observed != Level::Withdrawn,
            (Phase::Announced { .. } | Phase::Withdrawn(_), Mode::Enforce) => false,
        };
        if adopt {
            self.adopt(observed, now);
        }
        if self.wanted == Some(observed) {
            self.in_place = true;
        } else if let Some(wanted) = self.wanted.filter(|_| self.in_place) {
            self.in_place = false;
            out.record(Event::RouteDiffers {
                prefix: self.id,
                wanted,
                observed,
            });
        }
        match before {
            None if observed == Level::Withdrawn => Observed::FoundWithdrawn,
            None => Observed::Unchanged,
            Some(before) if before == observed => Observed::Unchanged,
            Some(_) => Observed::Changed,
        }
    }

    fn adopt(&mut self, observed: Level, now: Timestamp) {
        self.wanted = Some(observed);
        self.phase = match observed {
            Level::Full | Level::Degraded => Phase::Announced { since: now },
            Level::Withdrawn => Phase::Waiting(Absence::before_first(now)),
        };
    }

    /// A probe failed that was launched at `launched`.
    pub fn probe_failed(&mut self, service: ServiceId, launched: Timestamp) {
        match &mut self.phase {
            Phase::Withdrawn(absence) => absence.probe_failed(service, launched),
            Phase::Unread | Phase::Waiting(_) | Phase::Announced { .. } => {}
        }
    }

    /// Decides on the verdicts about its services; `watches` are all services by id.
    /// Says to which level the prefix went.
    pub fn decide(&mut self, watches: &[Watch], now: Timestamp, out: &mut Outbox) -> Option<Level> {
        self.held_by = None;
        self.return_due = None;
        let services: Vec<&Watch> = self
            .config
            .services
            .iter()
            .filter_map(|service| watches.get(usize::try_from(service.0).ok()?))
            .collect();
        if services.is_empty() {
            return None;
        }
        self.forget_held(&services);
        match self.phase.clone() {
            Phase::Unread => None,
            Phase::Announced { since } => self.decide_withdraw(&services, Some(since), now, out),
            Phase::Waiting(absence) => {
                let change = self.decide_return(&services, &absence, now, out);
                if self.mode == Mode::Observe {
                    self.decide_withdraw(&services, None, now, out);
                }
                change
            }
            Phase::Withdrawn(absence) => self.decide_return(&services, &absence, now, out),
        }
    }

    fn decide_withdraw(
        &mut self,
        services: &[&Watch],
        announced_since: Option<Timestamp>,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Option<Level> {
        let needed = self.config.withdraw_when.failures_needed(services.len());
        let failed: Vec<&Watch> = failed(services).collect();
        let failed_ids: Vec<ServiceId> = failed.iter().map(|watch| watch.id()).collect();
        let with_services = |reason: &Reason| Reason {
            failed_services: failed_ids.clone(),
            ..reason.clone()
        };
        if failed.len() < needed {
            let held: Vec<_> = services
                .iter()
                .filter(|watch| !watch.has_failed())
                .filter_map(|watch| Some((*watch, watch.held()?)))
                .collect();
            if failed.len() + held.len() >= needed {
                for (watch, (guard, suspicion)) in held {
                    let stood = now.since(suspicion.since());
                    let reason = watch.reason(Cause::LiveTrials, stood, None);
                    let held = Held::Suspicion(watch.id(), guard, suspicion.since());
                    self.hold(held, guard, Level::Withdrawn, with_services(&reason), out);
                }
            }
            return None;
        }
        if self.mode == Mode::Observe {
            for fault in failed.iter().flat_map(|watch| watch.faults()) {
                let reason = with_services(&fault.reason);
                let held = Held::Fault(reason.service, reason.cause);
                self.hold(held, Guard::Observe, Level::Withdrawn, reason, out);
            }
            return None;
        }
        // The latest fault is the one that made it enough; of two at the same
        // instant, the first in the order of the configuration.
        let deciding = failed
            .iter()
            .filter_map(|watch| watch.faults().min_by_key(|fault| fault.at))
            .rev()
            .max_by_key(|fault| fault.at)?;
        let reason = with_services(&deciding.reason);
        let sights = failed
            .iter()
            .filter_map(|watch| Some((watch.id(), self.sight(watch, now)?)))
            .collect();
        let healthy = announced_since.map_or(Duration::ZERO, |since| now.since(since));
        let hold = self.flaps.hold_after(healthy, &self.recover);
        self.withdrawals += 1;
        let absence = Absence::after_withdraw(now, hold, self.recover.hold_max, sights);
        Some(self.change(Level::Withdrawn, Phase::Withdrawn(absence), reason, out))
    }

    /// Whether the probe sees the fault that live trials found; none if they found
    /// none.
    fn sight(&self, watch: &Watch, now: Timestamp) -> Option<Sight> {
        let fault = watch
            .faults()
            .find(|fault| fault.reason.cause == Cause::LiveTrials)?;
        let trial_time = watch
            .config()
            .detect
            .settle
            .saturating_add(self.recover.hold);
        if self
            .last_retry
            .is_some_and(|retry| now <= retry.after(trial_time))
        {
            return Some(Sight::Distrusted);
        }
        let by_probes = matches!(fault.reason.second_leg, Some(SecondLeg::Probes { .. }));
        let first_failure = fault.reason.first_failure.unwrap_or(fault.at);
        let failed_since = watch
            .probing()
            .last_failure()
            .is_some_and(|(at, _)| *at >= first_failure);
        Some(if by_probes || failed_since {
            Sight::Saw
        } else {
            Sight::Unseen
        })
    }

    fn decide_return(
        &mut self,
        services: &[&Watch],
        absence: &Absence,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Option<Level> {
        let needed = self.config.withdraw_when.good_needed(services.len());
        let mut ready: Vec<Ready> = services
            .iter()
            .filter_map(|watch| absence.ready(watch.id(), watch.probing().passing_since()))
            .collect();
        ready.sort_unstable();
        let deciding = *ready.get(needed - 1)?;
        self.return_due = Some(deciding.at);
        if deciding.at > now {
            return None;
        }
        let retry = ready.iter().take(needed).any(|ready| ready.retry);
        let cause = match &self.phase {
            Phase::Withdrawn(_) if retry => Cause::Retry,
            Phase::Withdrawn(_) => Cause::Recovered,
            Phase::Unread | Phase::Waiting(_) | Phase::Announced { .. } => Cause::FirstAnnouncement,
        };
        let watch = services
            .iter()
            .find(|watch| watch.id() == deciding.service)?;
        let passing_since = watch.probing().passing_since().unwrap_or(now);
        let stood = match cause {
            Cause::Retry => now.since(absence.since),
            Cause::LiveTrials | Cause::Probe | Cause::FirstAnnouncement | Cause::Recovered => {
                now.since(passing_since.max(absence.since))
            }
        };
        let mut reason = watch.reason(cause, stood, None);
        reason.failed_services = failed(services).map(Watch::id).collect();
        if self.mode == Mode::Observe {
            self.hold(Held::First, Guard::Observe, Level::Full, reason, out);
            return None;
        }
        if cause == Cause::Retry {
            self.last_retry = Some(now);
        }
        Some(self.change(Level::Full, Phase::Announced { since: now }, reason, out))
    }

    fn change(&mut self, level: Level, phase: Phase, reason: Reason, out: &mut Outbox) -> Level {
        self.phase = phase;
        self.wanted = Some(level);
        self.in_place = false;
        self.return_due = None;
        out.push(Command::SetLevel {
            prefix: self.id,
            level,
            reason: Box::new(reason),
        });
        level
    }

    fn hold(&mut self, held: Held, guard: Guard, level: Level, reason: Reason, out: &mut Outbox) {
        self.held_by = Some(guard);
        if self.recorded.insert(held) {
            out.record(Event::Held {
                prefix: self.id,
                level,
                guard,
                reason: Box::new(reason),
            });
        }
    }

    /// What was held is over when its cause is.
    fn forget_held(&mut self, services: &[&Watch]) {
        let watch = |id: ServiceId| services.iter().find(move |watch| watch.id() == id);
        let waiting = matches!(self.phase, Phase::Waiting(_));
        self.recorded.retain(|held| match *held {
            Held::First => waiting,
            Held::Fault(id, cause) => watch(id)
                .is_some_and(|watch| watch.faults().any(|fault| fault.reason.cause == cause)),
            Held::Suspicion(id, _, since) => {
                watch(id).is_some_and(|watch| watch.suspect_since() == Some(since))
            }
        });
    }

    /// When the prefix may return, if that is known.
    pub fn due(&self) -> Option<Timestamp> {
        self.return_due
    }

    /// Its status.
    pub fn status(&self, now: Timestamp) -> PrefixStatus {
        let withdrawn = match &self.phase {
            Phase::Withdrawn(_) => true,
            Phase::Unread | Phase::Waiting(_) | Phase::Announced { .. } => false,
        };
        PrefixStatus {
            prefix: self.id,
            wanted: self.wanted,
            observed: self.observed,
            held_by: self.held_by,
            hold_left: self
                .return_due
                .filter(|_| withdrawn)
                .map(|due| due.since(now)),
            withdrawals: self.withdrawals,
        }
    }
}

/// What an observation of the table meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// The first one, and the prefix is not announced.
    FoundWithdrawn,
    /// The level is another one than before.
    Changed,
    /// Nothing new.
    Unchanged,
}

fn failed<'a>(services: &'a [&'a Watch]) -> impl Iterator<Item = &'a Watch> {
    services.iter().copied().filter(|watch| watch.has_failed())
}
