//! In flow the detector's alarm, the probes' answers and the rate; out flows what a
//! suspicion is worth now: nothing yet, held by a guard, or proven.
//!
//! ```text
//! since                          acts_at = since + patience
//!   ├── burst ── answers ─────────── burst renewed ──┼──▶ proven, or held: renewed
//!   │                               (if it is older  │    every 250 ms
//!   │                                than 0.5 s)     │
//! ```
//!
//! Clients can forge failures, so the alarm never proves anything alone. All of
//! three probes must fail, in a burst answered within the last second (a service
//! that has come back is not withdrawn for what it did before), or the successes
//! must have fallen below half of what is expected.

use core::time::Duration;

use crate::{
    command::{Guard, SecondLeg},
    detector::Detector,
    probing::{Answered, Probing},
    rate::RateLeg,
    time::Timestamp,
};

/// The least time between two bursts after one was answered.
const BURST_PAUSE: Duration = Duration::from_millis(250);

/// An answer is renewed when it has become this old.
const RENEW_AFTER: Duration = Duration::from_millis(500);

/// An answer older than this proves nothing.
const FRESH: Duration = Duration::from_secs(1);

/// The rate leg speaks only about trials that fail now. Where none come any more,
/// fewer successes are not failure: the clients have left.
const FAILING_NOW: Duration = Duration::from_secs(1);

/// The hooks must have been seen in place so recently for the rate leg to count.
const HOOKS_FRESH: Duration = Duration::from_millis(20);

/// An alarm that stands.
#[derive(Clone, Copy, Debug)]
pub struct Suspicion {
    since: Timestamp,
    patience: Duration,
}

/// What is known when a suspicion is weighed.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The alarm's source.
    pub detector: &'a Detector,
    /// The probes.
    pub probing: &'a Probing,
    /// The rate.
    pub rate: &'a RateLeg,
    /// Whether the detector has seen enough good trials.
    pub armed: bool,
    /// Whether the sensor cannot be believed now.
    pub blind: bool,
    /// When the hooks were last seen in place.
    pub hooks_seen: Option<Timestamp>,
    /// When a trial was last judged a failure.
    pub last_failed: Option<Timestamp>,
}

/// What a suspicion is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finding {
    /// Wait: patience, answers or newer trials are missing.
    Standing,
    /// It would act, but for this.
    Held(Guard),
    /// The rate agrees, but a hook that is gone would look the same: ask for it.
    HooksUnseen,
    /// The service is dead, and this second leg agrees.
    Proven(SecondLeg),
}

impl Suspicion {
    /// An alarm that began at `since`.
    pub fn new(since: Timestamp, patience: Duration) -> Self {
        Self { since, patience }
    }

    /// When it began.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// When patience ends.
    pub fn acts_at(&self) -> Timestamp {
        self.since.after(self.patience)
    }

    /// What it is worth now.
    pub fn weigh(&self, evidence: &Evidence<'_>, now: Timestamp) -> Finding {
        if now < self.acts_at() {
            return Finding::Standing;
        }
        if !evidence.armed {
            return Finding::Held(Guard::NotArmed);
        }
        if !evidence.detector.newest_fail() {
            return Finding::Standing;
        }
        let leg = probe_leg(evidence, now).or_else(|| rate_leg(evidence, now));
        match leg {
            Some(_) if evidence.blind => Finding::Held(Guard::Blind),
            Some(SecondLeg::Rate { .. }) if !hooks_are_fresh(evidence, now) => Finding::HooksUnseen,
            Some(leg) => Finding::Proven(leg),
            None if evidence.probing.answered().is_some() || evidence.probing.is_none() => {
                Finding::Held(Guard::SecondLeg)
            }
            None => Finding::Standing,
        }
    }

    /// When the next burst of the second leg is due.
    pub fn next_burst(&self, probing: &Probing) -> Timestamp {
        if let Some(lost_at) = probing.second_leg_lost_at() {
            return lost_at;
        }
        let Some(answered) = probing.answered() else {
            return self.since;
        };
        let pause_ends = answered.at.after(BURST_PAUSE);
        if !answered.all_failed() {
            return pause_ends;
        }
        let old = answered.at.after(RENEW_AFTER);
        if old > self.acts_at() {
            old
        } else {
            let renewed = self.since.after(self.patience.saturating_sub(RENEW_AFTER));
            renewed.max(pause_ends)
        }
    }
}

fn probe_leg(evidence: &Evidence<'_>, now: Timestamp) -> Option<SecondLeg> {
    let &Answered { at, failed, of } = evidence
        .probing
        .answered()
        .filter(|answered| answered.all_failed())?;
    let agrees = now.since(at) <= FRESH && !evidence.probing.is_passing_in_part();
    agrees.then_some(SecondLeg::Probes { failed, of })
}

fn rate_leg(evidence: &Evidence<'_>, now: Timestamp) -> Option<SecondLeg> {
    let failing_now = evidence
        .last_failed
        .is_some_and(|at| now.since(at) <= FAILING_NOW);
    let expected_per_second = evidence.rate.expected_per_second()?;
    let agrees = failing_now && evidence.rate.agrees() && !probes_say_over(evidence);
    agrees.then(|| SecondLeg::Rate {
        expected_per_second,
        score_ratio: evidence.rate.score_ratio(),
    })
}

fn hooks_are_fresh(evidence: &Evidence<'_>, now: Timestamp) -> bool {
    evidence
        .hooks_seen
        .is_some_and(|seen| now.since(seen) <= HOOKS_FRESH)
}

/// Whether the probes saw the fault, pass now, and no trial has failed since. The
/// rate leg is for faults that probes do not see; where they see it, fewer successes
/// after its end mean that clients have given up.
fn probes_say_over(evidence: &Evidence<'_>) -> bool {
    let (Some(episode), Some(answered), Some((probe_failed, _))) = (
        evidence.detector.episode(),
        evidence.probing.answered(),
        evidence.probing.last_failure(),
    ) else {
        return false;
    };
    *probe_failed >= episode.first_failure
        && answered.failed == 0
        && evidence.last_failed.is_none_or(|at| at <= answered.at)
}
