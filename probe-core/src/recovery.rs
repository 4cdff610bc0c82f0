//! In flow what the probes say about a withdrawn prefix, out flows when it may
//! return.
//!
//! Probes must pass for the hold. The hold doubles with every flap, up to its
//! maximum, because upstreams damp routes that flap for much longer than any hold
//! (RFC 2439, RFC 7196); one flap is forgiven for ten base holds of health.
//!
//! A probe that kept passing during the fault is blind to it and cannot end it. Such
//! a service gets one retry after the longest hold.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    config::{Recover, ServiceId},
    time::Timestamp,
};

/// One flap is forgiven after so many base holds of health.
const FORGIVEN_AFTER_HOLDS: u32 = 10;

/// The recent history of one prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flaps {
    count: u32,
}

impl Flaps {
    /// The hold after a withdraw that came when the prefix had been announced for
    /// `healthy`.
    pub fn hold_after(&mut self, healthy: Duration, recover: &Recover) -> Duration {
        let unit = recover.hold.saturating_mul(FORGIVEN_AFTER_HOLDS).as_nanos();
        let forgiven = healthy.as_nanos().checked_div(unit).unwrap_or(u128::MAX);
        let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
        self.count = self.count.saturating_sub(forgiven);
        let factor = 2_u32.saturating_pow(self.count);
        self.count = self.count.saturating_add(1);
        recover.hold.saturating_mul(factor).min(recover.hold_max)
    }
}

/// Whether the probe can see the fault that withdrew its service's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// It failed during the fault.
    Saw,
    /// It kept passing so far. A probe launched before the withdraw may still fail.
    Unseen,
    /// The last retry failed: what the probe says is not believed this time.
    Distrusted,
}

/// A prefix that is not announced.
#[derive(Clone, Debug)]
pub struct Absence {
    /// Since when.
    pub since: Timestamp,
    hold: Duration,
    hold_max: Duration,
    /// The services that live trials condemned.
    sights: Vec<(ServiceId, Sight)>,
    locked_out: bool,
}

/// An absence as it is remembered over a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    age: Duration,
    hold: Duration,
    hold_max: Duration,
    sights: Vec<(ServiceId, Sight)>,
    locked_out: bool,
}

impl Remembered {
    /// Gives the condemned services other names; those that have none any more are
    /// forgotten.
    pub fn rename(&mut self, rename: impl Fn(ServiceId) -> Option<ServiceId>) {
        rename_sights(&mut self.sights, rename);
    }
}

fn rename_sights(
    sights: &mut Vec<(ServiceId, Sight)>,
    rename: impl Fn(ServiceId) -> Option<ServiceId>,
) {
    sights.retain_mut(|(service, _)| match rename(*service) {
        Some(renamed) => {
            *service = renamed;
            true
        }
        None => false,
    });
}

/// A service that may serve again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ready {
    /// From when on.
    pub at: Timestamp,
    /// Which one.
    pub service: ServiceId,
    /// Whether this is only a try.
    pub retry: bool,
}

impl Absence {
    /// A prefix that was never announced by us: no hold.
    pub fn before_first(since: Timestamp) -> Self {
        Self {
            since,
            hold: Duration::ZERO,
            hold_max: Duration::ZERO,
            sights: Vec::new(),
            locked_out: false,
        }
    }

    /// A prefix that was withdrawn.
    pub fn after_withdraw(
        since: Timestamp,
        hold: Duration,
        hold_max: Duration,
        sights: Vec<(ServiceId, Sight)>,
    ) -> Self {
        Self {
            since,
            hold,
            hold_max,
            sights,
            locked_out: false,
        }
    }

    /// The same, but nothing ends it before the longest hold.
    #[must_use]
    pub fn locked_out(mut self) -> Self {
        self.locked_out = true;
        self
    }

    /// Gives the condemned services other names; those that have none any more are
    /// forgotten.
    pub fn rename(&mut self, rename: impl Fn(ServiceId) -> Option<ServiceId>) {
        rename_sights(&mut self.sights, rename);
    }

    /// Whether it was withdrawn too often.
    pub fn is_locked_out(&self) -> bool {
        self.locked_out
    }

    /// What is worth remembering at `now`.
    pub fn remember(&self, now: Timestamp) -> Remembered {
        Remembered {
            age: now.since(self.since),
            hold: self.hold,
            hold_max: self.hold_max,
            sights: self.sights.clone(),
            locked_out: self.locked_out,
        }
    }

    /// What was remembered `ago`.
    pub fn recall(remembered: &Remembered, ago: Duration, now: Timestamp) -> Self {
        Self {
            since: now.before(remembered.age.saturating_add(ago)),
            hold: remembered.hold,
            hold_max: remembered.hold_max,
            sights: remembered.sights.clone(),
            locked_out: remembered.locked_out,
        }
    }

    /// A probe of `service`, launched at `launched`, failed. If it was launched while
    /// the fault was on, it sees the fault; what fails later may be another one.
    pub fn probe_failed(&mut self, service: ServiceId, launched: Timestamp) {
        for (condemned, sight) in &mut self.sights {
            if *condemned == service && *sight == Sight::Unseen && launched <= self.since {
                *sight = Sight::Saw;
            }
        }
    }

    /// When `service` may serve again, if its probe passes since `passing_since`.
    pub fn ready(&self, service: ServiceId, passing_since: Option<Timestamp>) -> Option<Ready> {
        let passing_since = passing_since?;
        let blind = self.sights.iter().any(|(condemned, sight)| {
            *condemned == service
                && match sight {
                    Sight::Saw => false,
                    Sight::Unseen | Sight::Distrusted => true,
                }
        });
        let at = if blind || self.locked_out {
            self.since.after(self.hold_max).max(passing_since)
        } else {
            passing_since.max(self.since).after(self.hold)
        };
        Some(Ready {
            at,
            service,
            retry: blind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECOVER: Recover = Recover {
        hold: Duration::from_mins(1),
        hold_max: Duration::from_hours(1),
        canary: false,
    };
    const WEB: ServiceId = ServiceId(0);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn hold_doubles_per_flap_up_to_its_maximum() {
        let mut flaps = Flaps::default();
        let holds: Vec<u64> = (0..8)
            .map(|_| flaps.hold_after(Duration::from_secs(5), &RECOVER).as_secs())
            .collect();
        assert_eq!(holds, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }

    #[test]
    fn ten_holds_of_health_forgive_one_flap() {
        let mut flaps = Flaps::default();
        for _ in 0..3 {
            flaps.hold_after(Duration::ZERO, &RECOVER);
        }
        let hold = flaps.hold_after(Duration::from_mins(20), &RECOVER);
        assert_eq!(hold.as_secs(), 120);
        let hold = flaps.hold_after(Duration::from_hours(24), &RECOVER);
        assert_eq!(hold.as_secs(), 60);
    }

    #[test]
    fn zero_hold_never_grows() {
        let recover = Recover {
            hold: Duration::ZERO,
            hold_max: Duration::ZERO,
            canary: false,
        };
        let mut flaps = Flaps::default();
        flaps.hold_after(Duration::ZERO, &recover);
        assert_eq!(flaps.hold_after(Duration::ZERO, &recover), Duration::ZERO);
    }

    #[test]
    fn service_is_ready_after_its_hold_or_after_the_longest_one() {
        let absence = |sight| {
            let mut absence = Absence::after_withdraw(
                at(100),
                RECOVER.hold,
                RECOVER.hold_max,
                vec![(WEB, sight)],
            );
            absence.probe_failed(WEB, at(101));
            absence
        };
        let cases = [
            ("probe fails", Sight::Saw, None, None),
            ("hold", Sight::Saw, Some(200), Some((260, false))),
            ("passed before", Sight::Saw, Some(50), Some((160, false))),
            ("blind probe", Sight::Unseen, Some(50), Some((3700, true))),
            ("blind, late", Sight::Unseen, Some(4000), Some((4000, true))),
            ("again", Sight::Distrusted, Some(50), Some((3700, true))),
        ];
        for (description, sight, passing_since, expectation) in cases {
            let ready = absence(sight).ready(WEB, passing_since.map(at));
            let ready = ready.map(|ready| (ready.at, ready.retry));
            let expectation = expectation.map(|(seconds, retry)| (at(seconds), retry));
            assert_eq!(ready, expectation, "{description}");
        }
    }

    #[test]
    fn probe_that_was_already_on_its_way_may_still_see_the_fault() {
        let mut absence = Absence::after_withdraw(
            at(100),
            RECOVER.hold,
            RECOVER.hold_max,
            vec![(WEB, Sight::Unseen)],
        );
        absence.probe_failed(WEB, at(100));
        assert!(!absence.ready(WEB, Some(at(200))).unwrap().retry);
    }
}
