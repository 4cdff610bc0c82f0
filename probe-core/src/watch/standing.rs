//! What stands against a service: what was proven, what is suspected, and who holds it.

use core::time::Duration;

use super::Watch;
use crate::{
    alarm::{Alarm, Fault, Purpose},
    command::{Cause, Class, Guard, Reason},
    config::Action,
    judge::Judge,
    suspicion::Suspicion,
    time::Timestamp,
};

impl Watch {
    /// Why it is held to be dead, as far as that is to withdraw: by live trials, by its
    /// probe, by both, or not.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.acting(Action::Withdraw)
    }

    /// Why it is held to be impaired, which at most degrades.
    pub fn impairments(&self) -> impl Iterator<Item = &Fault> {
        self.acting(Action::Degrade)
    }

    /// What is known against it and by the configuration is to change nothing.
    pub fn tolerated(&self) -> impl Iterator<Item = &Fault> {
        self.acting(Action::Hold)
    }

    fn acting(&self, action: Action) -> impl Iterator<Item = &Fault> {
        let alarms = self.judges.iter().flat_map(|judge| &judge.alarms);
        alarms
            .filter_map(|alarm| alarm.fault.as_ref())
            .chain(&self.probe_fault)
            .filter(move |fault| self.action(fault) == action)
    }

    fn action(&self, fault: &Fault) -> Action {
        match fault.reason.class {
            Some(Class::Host) => self.classify.host,
            Some(Class::Path) => self.classify.path.min(Action::Degrade),
            Some(Class::Grey) => self.classify.grey.min(Action::Degrade),
            Some(Class::Quiet) => self.classify.quiet,
            Some(Class::Service) | None => self.classify.service,
        }
    }

    /// Whether it is held to be dead, whatever is to be done about it.
    pub fn has_failed(&self) -> bool {
        self.probe_fault.is_some()
            || self.judges.iter().any(|judge| {
                judge
                    .alarms
                    .iter()
                    .any(|alarm| alarm.purpose == Purpose::Withdraw && alarm.fault.is_some())
            })
    }

    /// Whether it is in doubt: dead, or suspected to be.
    pub fn is_doubted(&self) -> bool {
        self.has_failed() || self.suspect_since().is_some()
    }

    /// Whether nothing stands against it, not even what is held or tolerated.
    pub fn is_unblemished(&self) -> bool {
        let mut alarms = self.judges.iter().flat_map(|judge| &judge.alarms);
        self.probe_fault.is_none()
            && self.probe_held.is_none()
            && alarms.all(|alarm| alarm.fault.is_none() && alarm.suspicion.is_none())
    }

    /// Whether judging it can come to nothing, whatever the time is: nothing stands against
    /// it, and no detector has an alarm. It stays so until it takes something in.
    pub fn rests(&self) -> bool {
        let mut alarms = self.judges.iter().flat_map(|judge| &judge.alarms);
        self.probe_fault.is_none()
            && self.probe_held.is_none()
            && self.probing.verdict() != Some(false)
            && alarms.all(Alarm::rests)
    }

    /// Whether any suspicion stands.
    pub(super) fn is_suspect(&self) -> bool {
        self.judges
            .iter()
            .any(|judge| judge.alarms.iter().any(|alarm| alarm.suspicion.is_some()))
    }

    /// Whether something is suspected or was proven of it.
    pub fn is_disturbed(&self) -> bool {
        let has_fault = |judge: &Judge| judge.alarms.iter().any(|alarm| alarm.fault.is_some());
        self.is_suspect() || self.probe_fault.is_some() || self.judges.iter().any(has_fault)
    }

    /// The guards that hold suspicions of this effect, with the reason so far.
    pub fn held(&self, degrade: bool) -> Vec<(Guard, Suspicion, Reason)> {
        self.judges
            .iter()
            .flat_map(|judge| judge.alarms.iter().map(move |alarm| (judge, alarm)))
            .filter(|(_, alarm)| alarm.purpose.is_degrade() == degrade)
            .filter_map(|(judge, alarm)| {
                let (guard, suspicion) = (alarm.held?, alarm.suspicion?);
                let (cause, stood) = (Cause::LiveTrials, Duration::ZERO);
                let reason = self.reason_of(judge, &alarm.detector, cause, stood, None);
                Some((guard, suspicion, reason))
            })
            .collect()
    }

    /// The guard that holds a fall of the probe, if one does.
    pub fn probe_held(&self) -> Option<Guard> {
        self.probe_held
    }

    /// Since when it is suspected to be dead.
    pub fn suspect_since(&self) -> Option<Timestamp> {
        self.suspicions(false).map(Suspicion::since).min()
    }

    /// The suspicions that stand and would degrade, or withdraw.
    pub fn suspicions(&self, degrade: bool) -> impl Iterator<Item = &Suspicion> {
        self.judges
            .iter()
            .flat_map(|judge| &judge.alarms)
            .filter(move |alarm| alarm.purpose.is_degrade() == degrade)
            .filter_map(|alarm| alarm.suspicion.as_ref())
    }
}
