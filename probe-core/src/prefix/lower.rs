//! Lowering a prefix: what is due by the verdicts about its services, and what holds
//! it.

use core::time::Duration;

use super::{Announcement, Change, Held, Host, Phase, last_site::Leave};
use crate::{
    alarm::Fault,
    command::{Cause, Event, Guard, Reason, SecondLeg},
    config::{Mode, ServiceId},
    level::Level,
    outbox::Outbox,
    recovery::{Absence, Sight},
    time::Timestamp,
    watch::Watch,
};

/// More withdraws than this within [`CYCLE_SPAN`] lock the prefix out.
const MOST_CYCLES: usize = 2;
const CYCLE_SPAN: Duration = Duration::from_mins(15);

impl Announcement {
    /// Lowers the prefix if enough of its services are dead or impaired.
    pub(super) fn lower(
        &mut self,
        services: &[&Watch],
        announced_since: Option<Timestamp>,
        host: &mut Host<'_>,
        out: &mut Outbox,
    ) -> Option<Change> {
        let dead = dead(services);
        let needed = self.config.withdraw_when.failures_needed(services.len());
        if dead.len() >= needed {
            let faults = dead.iter().filter_map(|watch| earliest(watch.faults()));
            let reason = deciding(faults, &ids(&dead))?;
            if let Some(guard) = self.guard(host, &reason) {
                self.hold_faults(&dead, Level::Withdrawn, guard, out);
                return None;
            }
            let mut reason = Reason {
                others: self.witness.others().to_vec(),
                ..passed(reason)
            };
            return match self.may_leave(host.now) {
                Leave::Now => {
                    reason.guards.extend(self.last_site_guards());
                    reason.guards.sort_unstable();
                    self.withdraw(&dead, reason, announced_since, host, out)
                }
                Leave::Later(due) => {
                    self.due = due;
                    self.degrade_instead(reason, announced_since, host, out)
                }
                Leave::Never(guard) => {
                    self.hold_faults(&dead, Level::Withdrawn, guard, out);
                    self.degrade_instead(reason, announced_since, host, out)
                }
            };
        }
        self.tell_held(services, &dead, needed, Level::Withdrawn, out);
        let impaired = impaired(services);
        let is_full = matches!(self.phase, Phase::Announced { .. })
            || (self.mode == Mode::Observe && self.wanted == Some(Level::Full));
        if impaired.len() < needed {
            self.tell_held(services, &impaired, needed, Level::Degraded, out);
            return None;
        }
        if !is_full {
            return None;
        }
        let faults = impaired
            .iter()
            .filter_map(|watch| earliest(faults_or_impairments(watch)));
        let reason = deciding(faults, &ids(&dead))?;
        if let Some(guard) = self.guard(host, &reason) {
            self.hold_faults(&impaired, Level::Degraded, guard, out);
            return None;
        }
        let healthy = announced_since.map_or(Duration::ZERO, |since| host.now.since(since));
        let phase = Phase::Impaired {
            since: host.now,
            clear_since: None,
            hold: self.degrade_flaps.hold_after(healthy, &self.recover),
        };
        host.budget.spend(host.now);
        self.change(Level::Degraded, phase, passed(reason), out)
    }

    /// Who forbids a lowering, whatever the evidence is.
    fn guard(&mut self, host: &Host<'_>, reason: &Reason) -> Option<Guard> {
        if self.mode == Mode::Observe {
            Some(Guard::Observe)
        } else if host.orders.freeze().is_some() {
            Some(Guard::Frozen)
        } else if host.blind && reason.cause == Cause::LiveTrials {
            // Proven before, held by something else, and no longer to be seen.
            Some(Guard::Blind)
        } else if host.budget.allows(host.now) {
            None
        } else {
            self.due = host.budget.due(host.now);
            Some(Guard::BudgetLocal)
        }
    }

    fn withdraw(
        &mut self,
        dead: &[&Watch],
        reason: Reason,
        announced_since: Option<Timestamp>,
        host: &mut Host<'_>,
        out: &mut Outbox,
    ) -> Option<Change> {
        let now = host.now;
        let sights = dead
            .iter()
            .filter_map(|watch| Some((watch.id(), self.sight(watch, now)?)))
            .collect();
        let healthy = announced_since.map_or(Duration::ZERO, |since| now.since(since));
        let hold = self.flaps.hold_after(healthy, &self.recover);
        self.recent.retain(|at| now.since(*at) < CYCLE_SPAN);
        self.recent.push_back(now);
        let absence = Absence::after_withdraw(now, hold, self.recover.hold_max, sights);
        let absence = if self.recent.len() > MOST_CYCLES {
            out.record(Event::LockedOut {
                prefix: self.id,
                withdrawals: u32::try_from(self.recent.len()).unwrap_or(u32::MAX),
                hold: self.recover.hold_max,
            });
            absence.locked_out()
        } else {
            absence
        };
        self.withdrawals += 1;
        host.budget.spend(now);
        self.change(Level::Withdrawn, Phase::Withdrawn(absence), reason, out)
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

    /// Journals what is not due only because suspicions or faults are held.
    fn tell_held(
        &mut self,
        services: &[&Watch],
        counted: &[&Watch],
        needed: usize,
        level: Level,
        out: &mut Outbox,
    ) {
        let degrade = level == Level::Degraded;
        let others = || {
            services
                .iter()
                .filter(|watch| !counted.iter().any(|counted| counted.id() == watch.id()))
        };
        let doubted = others()
            .filter(|watch| {
                !watch.held(degrade).is_empty()
                    || watch.probe_held().is_some()
                    || watch.tolerated().next().is_some()
            })
            .count();
        if doubted == 0 || counted.len() + doubted < needed {
            return;
        }
        let failed = ids(counted);
        for watch in others() {
            for (guard, suspicion, mut reason) in watch.held(degrade) {
                reason.failed_services.clone_from(&failed);
                let held = Held::Suspicion(watch.id(), guard, suspicion.since());
                self.hold(held, guard, level, reason, out);
            }
            if let Some(guard) = watch.probe_held() {
                let mut reason = watch.reason(Cause::Probe, Duration::ZERO);
                reason.failed_services.clone_from(&failed);
                let held = Held::Probe(watch.id(), guard);
                self.hold(held, guard, Level::Withdrawn, reason, out);
            }
            for fault in watch.tolerated() {
                let held = Held::Fault(watch.id(), fault.reason.cause, level, Guard::Policy);
                self.hold(held, Guard::Policy, level, fault.reason.clone(), out);
            }
        }
    }

    /// Journals that a guard holds a lowering that is due.
    pub(super) fn hold_faults(
        &mut self,
        watches: &[&Watch],
        level: Level,
        guard: Guard,
        out: &mut Outbox,
    ) {
        let dead = ids(&dead(watches));
        for watch in watches {
            let all: Vec<&Fault> = match level {
                Level::Degraded => faults_or_impairments(watch).collect(),
                Level::Full | Level::Withdrawn => watch.faults().collect(),
            };
            for fault in all {
                let reason = Reason {
                    failed_services: dead.clone(),
                    ..fault.reason.clone()
                };
                let held = Held::Fault(watch.id(), reason.cause, level, guard);
                self.hold(held, guard, level, reason, out);
            }
        }
    }

    /// The services of which so many are dead, or impaired, that a lowering is due.
    pub(super) fn due_lowering<'a>(
        &self,
        services: &[&'a Watch],
    ) -> Option<(Level, Vec<&'a Watch>)> {
        let needed = self.config.withdraw_when.failures_needed(services.len());
        let dead = dead(services);
        if dead.len() >= needed {
            return Some((Level::Withdrawn, dead));
        }
        let impaired = impaired(services);
        (impaired.len() >= needed).then_some((Level::Degraded, impaired))
    }
}

/// The reason for a lowering that no guard holds, with all that had a say: those who are
/// asked about the evidence before a fault stands, and those of the prefix.
pub(super) fn passed(reason: Reason) -> Reason {
    let trials = reason.cause == Cause::LiveTrials;
    let asked = |guard: &Guard| match guard {
        Guard::NotArmed | Guard::SecondLeg | Guard::Blind => trials,
        // Those that are asked before a withdraw only are added there.
        Guard::LastSite | Guard::WitnessStale => false,
        Guard::Observe
        | Guard::Overload
        | Guard::Policy
        | Guard::BudgetLocal
        | Guard::Pinned
        | Guard::Frozen => true,
    };
    Reason {
        guards: Guard::ALL.into_iter().filter(asked).collect(),
        ..reason
    }
}

/// Those that are to withdraw the prefix.
fn dead<'a>(services: &[&'a Watch]) -> Vec<&'a Watch> {
    having(services, |watch| watch.faults().next().is_some())
}

/// Those that are at least to degrade it.
fn impaired<'a>(services: &[&'a Watch]) -> Vec<&'a Watch> {
    having(services, |watch| {
        faults_or_impairments(watch).next().is_some()
    })
}

fn faults_or_impairments(watch: &Watch) -> impl Iterator<Item = &Fault> {
    watch.faults().chain(watch.impairments())
}

fn having<'a>(services: &[&'a Watch], condition: impl Fn(&Watch) -> bool) -> Vec<&'a Watch> {
    services
        .iter()
        .copied()
        .filter(|watch| condition(watch))
        .collect()
}

pub(super) fn ids(watches: &[&Watch]) -> Vec<ServiceId> {
    watches.iter().map(|watch| watch.id()).collect()
}

fn earliest<'a>(faults: impl Iterator<Item = &'a Fault>) -> Option<&'a Fault> {
    faults.min_by_key(|fault| fault.at)
}

/// The latest fault is the one that made it enough; of two at the same instant, the
/// first in the order of the configuration.
fn deciding<'a>(
    faults: impl DoubleEndedIterator<Item = &'a Fault>,
    dead: &[ServiceId],
) -> Option<Reason> {
    let fault = faults.rev().max_by_key(|fault| fault.at)?;
    Some(Reason {
        failed_services: dead.to_vec(),
        ..fault.reason.clone()
    })
}
