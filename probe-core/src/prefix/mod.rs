//! One prefix. In flow the verdicts about its services, the operator's orders and what
//! stands in the table; out flow its level changes, or what holds them.
//!
//! ```text
//!          found withdrawn           good_needed services pass
//!  unread ───────────────▶ waiting ───────────────┬────────────┐
//!    │ found there                                 ▼ (canary)   ▼
//!    └──────────────────────────────────────────▶ canary ──▶ announced ◀──▶ impaired
//!                                                  ▲ │           │ failures     │
//!                              hold, or retry      │ ▼           ▼ needed       ▼
//!                                                 withdrawn ◀───┴──────────────┘
//!  drained: by order from anywhere, and to waiting or announced when it ends
//! ```
//!
//! In mode `observe` nothing is decided about the table: the phase follows what is
//! found there, and what would be done is recorded as held.

mod last_site;
mod lower;
mod memory;
mod order;
mod raise;
mod reconfigure;

use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};

use ipnet::IpNet;

pub use self::memory::Memory;
use crate::{
    budget::Budget,
    command::{Cause, Command, Event, Guard, Reason},
    config::{Mode, Prefix, PrefixId, Recover, ServiceId},
    level::Level,
    operator::Orders,
    outbox::Outbox,
    recovery::{Absence, Flaps},
    status::{PrefixStatus, Standing},
    time::Timestamp,
    watch::Watch,
    witness::{Other, Witness},
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
    /// The table has held level degraded since.
    degraded_since: Option<Timestamp>,
    /// Who else announces it.
    witness: Witness,
    wanted: Option<Level>,
    /// The table held what was wanted since it was wanted.
    in_place: bool,
    flaps: Flaps,
    degrade_flaps: Flaps,
    /// Withdraws of the last quarter of an hour.
    recent: VecDeque<Timestamp>,
    last_retry: Option<Timestamp>,
    withdrawals: u64,
    held_by: Option<Guard>,
    /// When something is due that no input brings, as far as is known.
    due: Option<Timestamp>,
    /// What was recorded as held, so that each cause is recorded once.
    recorded: BTreeSet<Held>,
}

#[derive(Clone, Debug)]
enum Phase {
    Unread,
    Waiting(Absence),
    Announced {
        since: Timestamp,
    },
    /// Degraded by a fault that is less than death.
    Impaired {
        /// In this phase since.
        since: Timestamp,
        /// Nothing is wrong since.
        clear_since: Option<Timestamp>,
        /// It returns when nothing was wrong for so long.
        hold: Duration,
    },
    /// Degraded on its way back.
    Canary {
        since: Timestamp,
    },
    /// Degraded, and then withdrawn, by order.
    Drained {
        since: Timestamp,
        level: Level,
    },
    Withdrawn(Absence),
}

/// A change that was held, for as long as its cause lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    /// An announcement.
    Raise(Guard),
    /// A lowering because of a service's fault.
    Fault(ServiceId, Cause, Level, Guard),
    /// A lowering because of a service's probe.
    Probe(ServiceId, Guard),
    /// A suspicion, by the time at which it began.
    Suspicion(ServiceId, Guard, Timestamp),
    /// An order.
    Order(Guard),
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

/// What holds for all prefixes while they decide.
pub struct Host<'a> {
    /// All services by id.
    pub watches: &'a [Watch],
    /// Of each whether it gives no prefix a reason to be lowered.
    pub unblemished: &'a [bool],
    /// What the operator has ordered.
    pub orders: &'a Orders,
    /// How often prefixes may be lowered.
    pub budget: &'a mut Budget,
    /// Whether the sensor cannot be believed now.
    pub blind: bool,
    /// The time.
    pub now: Timestamp,
}

/// A level change that was commanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whether clients could not come before and can now.
    pub returns: bool,
}

impl Announcement {
    /// A prefix whose table was not read yet.
    pub fn new(id: PrefixId, config: Prefix, mode: Mode, recover: Recover) -> Self {
        Self {
            id,
            config: reconfigure::in_order(config),
            mode,
            recover,
            phase: Phase::Unread,
            observed: None,
            degraded_since: None,
            witness: Witness::default(),
            wanted: None,
            in_place: false,
            flaps: Flaps::default(),
            degrade_flaps: Flaps::default(),
            recent: VecDeque::new(),
            last_retry: None,
            withdrawals: 0,
            held_by: None,
            due: None,
            recorded: BTreeSet::new(),
        }
    }

    /// Its identity.
    pub fn id(&self) -> PrefixId {
        self.id
    }

    /// The announced network.
    pub fn prefix(&self) -> IpNet {
        self.config.prefix
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
                Phase::Unread
                | Phase::Announced { .. }
                | Phase::Impaired { .. }
                | Phase::Canary { .. } => true,
                Phase::Drained { level, .. } => level != Level::Withdrawn,
                Phase::Waiting(_) | Phase::Withdrawn(_) => false,
            },
        }
    }

    /// The level that is to stand in the table; none while whoever announces it may
    /// do so.
    pub fn kept(&self) -> Option<Level> {
        match (self.mode, &self.phase) {
            (Mode::Observe, _) | (Mode::Enforce, Phase::Unread | Phase::Waiting(_)) => None,
            (
                Mode::Enforce,
                Phase::Announced { .. }
                | Phase::Impaired { .. }
                | Phase::Canary { .. }
                | Phase::Drained { .. }
                | Phase::Withdrawn(_),
            ) => self.wanted,
        }
    }

    /// Takes what stands in the table.
    pub fn observe(&mut self, observed: Level, now: Timestamp, out: &mut Outbox) -> Observed {
        let before = self.observed.replace(observed);
        self.degraded_since =
            (observed == Level::Degraded).then(|| self.degraded_since.unwrap_or(now));
        let adopt = match (&self.phase, self.mode) {
            (Phase::Unread, _) | (_, Mode::Observe) => before != Some(observed),
            // Nothing was decided yet: whoever announces it, it is announced.
            (Phase::Waiting(_), Mode::Enforce) => observed != Level::Withdrawn,
            (
                Phase::Announced { .. }
                | Phase::Impaired { .. }
                | Phase::Canary { .. }
                | Phase::Drained { .. }
                | Phase::Withdrawn(_),
                Mode::Enforce,
            ) => false,
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

    /// Takes who else announces it. Says whether the level of any of them changed.
    pub fn hear(&mut self, others: Vec<Other>, now: Timestamp) -> bool {
        self.witness.hear(others, now)
    }

    fn adopt(&mut self, observed: Level, now: Timestamp) {
        self.wanted = Some(observed);
        self.phase = match observed {
            Level::Full => Phase::Announced { since: now },
            // Somebody had a reason: it is full again after a hold without any.
            Level::Degraded => Phase::Impaired {
                since: now,
                clear_since: None,
                hold: self.recover.hold,
            },
            Level::Withdrawn => Phase::Waiting(Absence::before_first(now)),
        };
    }

    /// A probe failed that was launched at `launched`.
    pub fn probe_failed(&mut self, service: ServiceId, launched: Timestamp) {
        match &mut self.phase {
            Phase::Withdrawn(absence) => absence.probe_failed(service, launched),
            Phase::Unread
            | Phase::Waiting(_)
            | Phase::Announced { .. }
            | Phase::Impaired { .. }
            | Phase::Canary { .. }
            | Phase::Drained { .. } => {}
        }
    }

    fn watched<'a>(&self, watches: &'a [Watch]) -> Vec<&'a Watch> {
        self.config
            .services
            .iter()
            .filter_map(|service| watches.get(usize::try_from(service.0).ok()?))
            .collect()
    }

    /// The level that the verdicts about its services ask for, whatever holds it.
    pub fn asked_for(&self, watches: &[Watch]) -> Level {
        self.due_lowering(&self.watched(watches))
            .map_or(Level::Full, |(level, _)| level)
    }

    /// Decides on orders and on the verdicts about its services.
    pub fn decide(&mut self, host: &mut Host<'_>, out: &mut Outbox) -> Option<Change> {
        self.rest();
        let services = self.watched(host.watches);
        if services.is_empty() {
            return None;
        }
        self.forget_held(&services, host.orders);
        if matches!(self.phase, Phase::Unread) {
            return None;
        }
        if let Some((level, directive)) = host.orders.pin(self.id) {
            return self.decide_pinned(&services, *level, directive, host, out);
        }
        if let Some(change) = self.decide_drain(&services, host, out) {
            return Some(change);
        }
        match self.phase.clone() {
            Phase::Unread | Phase::Drained { .. } => None,
            Phase::Announced { since } => self.lower(&services, Some(since), host, out),
            Phase::Impaired {
                since,
                clear_since,
                hold,
            } => self
                .lower(&services, Some(since), host, out)
                .or_else(|| self.raise_impaired(&services, (since, clear_since, hold), host, out)),
            Phase::Canary { since } => self
                .lower(&services, Some(since), host, out)
                .or_else(|| self.raise_canary(&services, since, host, out)),
            Phase::Waiting(absence) => {
                let change = self.raise_absent(&services, &absence, host, out);
                if self.mode == Mode::Observe {
                    self.lower(&services, None, host, out);
                }
                change
            }
            Phase::Withdrawn(absence) => self
                .raise_absent(&services, &absence, host, out)
                .or_else(|| self.return_as_last(&services, host, out)),
        }
    }

    /// Nothing is held, and nothing due.
    pub fn rest(&mut self) {
        self.held_by = None;
        self.due = None;
    }

    /// Whether there is nothing to decide: nothing stands against any service, and the level
    /// is what that asks for, or what was ordered. It stays so until the table, an order for
    /// it, or what stands against its services has changed.
    pub fn rests(&self, host: &Host<'_>) -> bool {
        let unblemished = |service: &ServiceId| {
            let index = usize::try_from(service.0).unwrap_or(usize::MAX);
            host.unblemished.get(index).copied().unwrap_or(false)
        };
        let as_ordered = match (host.orders.pin(self.id), host.orders.drain(self.id)) {
            (Some((level, _)), _) => self.mode == Mode::Enforce && self.wanted == Some(*level),
            (None, Some(_)) => matches!(
                self.phase,
                Phase::Drained {
                    level: Level::Withdrawn,
                    ..
                }
            ),
            (None, None) => matches!(self.phase, Phase::Announced { .. }),
        };
        as_ordered
            && !matches!(self.phase, Phase::Unread)
            && self.recorded.is_empty()
            && self.config.services.iter().all(unblemished)
    }

    /// Commands a level, unless that is what is wanted already.
    fn change(
        &mut self,
        level: Level,
        phase: Phase,
        reason: Reason,
        out: &mut Outbox,
    ) -> Option<Change> {
        let returns = !self.is_live();
        self.phase = phase;
        self.due = None;
        if self.wanted.replace(level) == Some(level) {
            return None;
        }
        self.in_place = false;
        out.push(Command::SetLevel {
            prefix: self.id,
            level,
            reason: Box::new(reason),
        });
        Some(Change {
            returns: returns && level != Level::Withdrawn,
        })
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
    fn forget_held(&mut self, services: &[&Watch], orders: &Orders) {
        let watch = |id: ServiceId| services.iter().find(move |watch| watch.id() == id);
        let absent = !self.is_live() || matches!(self.phase, Phase::Waiting(_));
        let frozen = orders.freeze().is_some();
        let ordered = orders.has(self.id);
        self.recorded.retain(|held| match *held {
            Held::Raise(Guard::Frozen) => frozen,
            Held::Raise(_) => absent,
            Held::Order(_) => ordered,
            Held::Fault(id, cause, _, _) => watch(id).is_some_and(|watch| {
                watch
                    .faults()
                    .chain(watch.impairments())
                    .chain(watch.tolerated())
                    .any(|fault| fault.reason.cause == cause)
            }),
            Held::Probe(id, _) => {
                watch(id).is_some_and(|watch| watch.probing().verdict() == Some(false))
            }
            Held::Suspicion(id, _, since) => watch(id).is_some_and(|watch| {
                [false, true].into_iter().any(|degrade| {
                    watch
                        .suspicions(degrade)
                        .any(|suspicion| suspicion.since() == since)
                })
            }),
        });
    }

    /// When something is due that no input brings, if that is known.
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Its status.
    pub fn status(&self, orders: &Orders, now: Timestamp) -> PrefixStatus {
        let (standing, waits) = match &self.phase {
            Phase::Unread => (Standing::Unread, false),
            Phase::Waiting(_) => (Standing::Waiting, false),
            Phase::Announced { .. } => (Standing::Announced, false),
            Phase::Impaired { .. } => (Standing::Impaired, true),
            Phase::Canary { .. } => (Standing::Canary, true),
            Phase::Drained { .. } => (Standing::Drained, false),
            Phase::Withdrawn(absence) if absence.is_locked_out() => (Standing::LockedOut, true),
            Phase::Withdrawn(_) => (Standing::Withdrawn, true),
        };
        PrefixStatus {
            prefix: self.id,
            wanted: self.wanted,
            observed: self.observed,
            standing,
            held_by: self.held_by,
            orders: orders.of(self.id),
            hold_left: self.due.filter(|_| waits).map(|due| due.since(now)),
            withdrawals: self.withdrawals,
            others: self.witness.others().to_vec(),
        }
    }
}
