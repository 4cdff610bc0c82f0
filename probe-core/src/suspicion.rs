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
//! must have fallen far below what is expected.
//!
//! A suspicion that only degrades is content with less, and waits longer: some of the
//! probes of the last ten seconds fail too, or what fails is more than what the
//! busiest sources bring.

use core::time::Duration;

use crate::{
    alarm::Purpose,
    blame::Shares,
    command::{Guard, SecondLeg},
    detector::Detector,
    kinds::Forger,
    probing::{Answered, Probing},
    rate::RateLeg,
    time::Timestamp,
};

/// The least time between two bursts after one was answered.
const BURST_PAUSE: Duration = Duration::from_millis(250);

/// ... while the suspicion is about to act, after a burst of which a part failed, or none:
/// of a service that fails by half, one burst of eight fails as a whole, and one passes.
const PARTIAL_PAUSE: Duration = Duration::from_millis(2);
const PASSED_PAUSE: Duration = Duration::from_millis(10);
/// It is about to act for so long.
const DECIDING: Duration = Duration::from_secs(1);

/// An answer is renewed when it has become this old.
const RENEW_AFTER: Duration = Duration::from_millis(500);

/// An answer older than this proves nothing.
const FRESH: Duration = Duration::from_secs(1);

/// The rate leg speaks only about trials that fail now. Where none come any more,
/// fewer successes are not failure: the clients have left.
const FAILING_NOW: Duration = Duration::from_secs(1);

/// The hooks must have been seen in place so recently for the rate leg to count.
const HOOKS_FRESH: Duration = Duration::from_millis(20);

/// A suspicion that only degrades asks so often for so long, and then every second.
const EAGER: Duration = Duration::from_secs(10);
const LATER_PAUSE: Duration = Duration::from_secs(1);

/// So many of the recent probes must fail beside grey trials, and this part of them.
const FAILING_PROBES: u32 = 2;
const FAILING_PROBES_RATIO: f64 = 0.025;

/// SERVFAIL must come for so many names, and at most this part of it for one.
const LEAST_NAMES: usize = 20;
const BUSIEST_NAME: f64 = 0.2;

/// An alarm that stands.
#[derive(Clone, Copy, Debug)]
pub struct Suspicion {
    since: Timestamp,
    patience: Duration,
    purpose: Purpose,
}

/// What is known when a suspicion is weighed.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact, named where it is filled in"
)]
pub struct Evidence<'a> {
    /// The alarm's source.
    pub detector: &'a Detector,
    /// The probes.
    pub probing: &'a Probing,
    /// Who else can make these trials fail.
    pub forger: Forger,
    /// The rate, and what is expected of it per second.
    pub rate: &'a RateLeg,
    /// Expected successes per second, if known.
    pub expected_per_second: Option<f64>,
    /// How the failures are spread.
    pub spread: Spread,
    /// Whether the server is held to be well.
    pub server_is_well: bool,
    /// Whether the service is overloaded, and to be held because of that.
    pub absorbs: bool,
    /// Whether the newest trials fail, too.
    pub failing_now: bool,
    /// Whether the detector has seen enough good trials.
    pub armed: bool,
    /// Whether the sensor cannot be believed now.
    pub blind: bool,
    /// When the hooks were last seen in place.
    pub hooks_seen: Option<Timestamp>,
    /// When a trial was last judged a failure.
    pub last_failed: Option<Timestamp>,
}

/// How failures are spread over clients and names.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// What fails, and what the busiest networks could make fail, if that is known.
    pub networks: Option<Shares>,
    /// For how many names SERVFAIL was answered.
    pub names: usize,
    /// The part of it for the busiest one.
    pub busiest_name: f64,
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
    pub fn new(since: Timestamp, patience: Duration, purpose: Purpose) -> Self {
        Self {
            since,
            patience,
            purpose,
        }
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
        if !evidence.failing_now {
            return Finding::Standing;
        }
        let leg = match self.purpose {
            Purpose::Withdraw => {
                probe_leg(evidence, self.patience, now).or_else(|| rate_leg(evidence, now))
            }
            Purpose::DegradeServer => {
                some_probes_leg(evidence, now).or_else(|| spread_leg(evidence))
            }
            Purpose::DegradePath if !evidence.server_is_well => return Finding::Standing,
            Purpose::DegradePath => match evidence.forger {
                Forger::Anyone | Forger::Names => rate_leg(evidence, now),
                // One connection brings many trials: see `kinds`.
                Forger::Client => None,
            },
        };
        match leg {
            Some(_) if evidence.blind => Finding::Held(Guard::Blind),
            Some(_) if evidence.absorbs => Finding::Held(Guard::Overload),
            Some(SecondLeg::Rate { .. }) if !hooks_are_fresh(evidence, now) => Finding::HooksUnseen,
            Some(leg) => Finding::Proven(leg),
            None if evidence.probing.answered().is_some()
                || evidence.probing.is_none()
                || self.purpose == Purpose::DegradePath =>
            {
                Finding::Held(Guard::SecondLeg)
            }
            None => Finding::Standing,
        }
    }

    /// When the next burst of the second leg is due; none if probes tell nothing.
    pub fn next_burst(&self, probing: &Probing, detector: &Detector) -> Option<Timestamp> {
        if probing.is_none() {
            return None;
        }
        if let Some(lost_at) = probing.second_leg_lost_at() {
            return Some(lost_at);
        }
        let next = match (self.purpose, probing.answered()) {
            (Purpose::DegradePath, _) => return None,
            (Purpose::Withdraw | Purpose::DegradeServer, None) => self.since,
            (Purpose::Withdraw, Some(answered)) => self.renewal(answered, detector),
            (Purpose::DegradeServer, Some(answered)) => {
                let pause = if answered.at.since(self.since) < EAGER {
                    BURST_PAUSE
                } else {
                    LATER_PAUSE
                };
                answered.at.after(pause)
            }
        };
        Some(next)
    }

    /// When an answer must be renewed to be fresh when the suspicion acts.
    fn renewal(&self, answered: &Answered, detector: &Detector) -> Timestamp {
        let pause_ends = answered.at.after(BURST_PAUSE);
        if !answered.all_failed() {
            let acts = self.acts_at();
            let is_deciding = detector.looks_broken()
                && answered.at.after(RENEW_AFTER) >= acts
                && answered.at <= acts.after(DECIDING);
            return match (is_deciding, answered.failed) {
                (true, 0) => answered.at.after(PASSED_PAUSE),
                (true, _) => answered.at.after(PARTIAL_PAUSE),
                (false, _) => pause_ends,
            };
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

/// Three of three failed. Where no trial fails any more, none may have passed for as
/// long as patience is: the newest trials may belong to a gap that is over.
fn probe_leg(evidence: &Evidence<'_>, patience: Duration, now: Timestamp) -> Option<SecondLeg> {
    let passed = evidence.probing.last_passed();
    let passed_lately = passed.is_some_and(|at| now.since(at) < patience);
    if (passed_lately && !fails_now(evidence, now)) || !evidence.detector.looks_broken() {
        return None;
    }
    let &Answered { at, failed, of } = evidence
        .probing
        .answered()
        .filter(|answered| answered.all_failed())?;
    let agrees = now.since(at) <= FRESH && !evidence.probing.is_passing_in_part();
    agrees.then_some(SecondLeg::Probes { failed, of })
}

fn rate_leg(evidence: &Evidence<'_>, now: Timestamp) -> Option<SecondLeg> {
    let failing_now = fails_now(evidence, now);
    let expected_per_second = evidence.expected_per_second?;
    let agrees = failing_now && evidence.rate.agrees() && !probes_say_over(evidence);
    agrees.then(|| SecondLeg::Rate {
        expected_per_second,
        score_ratio: evidence.rate.score_ratio(),
    })
}

/// Whether some of the recent probes fail like the trials do.
fn some_probes_leg(evidence: &Evidence<'_>, now: Timestamp) -> Option<SecondLeg> {
    let (failed, of) = evidence.probing.recent(now);
    let agrees =
        failed >= FAILING_PROBES && f64::from(failed) >= FAILING_PROBES_RATIO * f64::from(of);
    agrees.then_some(SecondLeg::SomeProbes { failed, of })
}

/// Whether more fails than the busiest sources could make fail.
fn spread_leg(evidence: &Evidence<'_>) -> Option<SecondLeg> {
    let Spread {
        networks,
        names,
        busiest_name,
    } = evidence.spread;
    match evidence.forger {
        Forger::Anyone => None,
        Forger::Client => {
            let Shares { failing, busiest } = networks?;
            (failing > busiest).then_some(SecondLeg::Spread {
                failing,
                busiest_networks: busiest,
            })
        }
        Forger::Names => {
            (names >= LEAST_NAMES && busiest_name <= BUSIEST_NAME).then_some(SecondLeg::Names {
                names: u32::try_from(names).unwrap_or(u32::MAX),
                busiest_name,
            })
        }
    }
}

/// Whether a trial failed within the last second.
fn fails_now(evidence: &Evidence<'_>, now: Timestamp) -> bool {
    evidence
        .last_failed
        .is_some_and(|at| now.since(at) <= FAILING_NOW)
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
