//! In flow probe results and the time, out flow bursts to launch and what the probe
//! says: the regular probe with its rise and fall counts, and the bursts of three of
//! the second leg.
//!
//! The two are kept apart. A burst of the second leg asks one question at one
//! moment; if its three failures counted for `fall`, a gap of a few milliseconds
//! would be enough for a verdict by the probe alone, past all patience.

use core::time::Duration;
use std::collections::VecDeque;

use crate::{
    cadence::Cadence,
    command::{Command, ProbePurpose},
    config::{Probe, ProbeKind, ServiceId},
    input::{ProbeFailure, ProbeResult},
    outbox::Outbox,
    time::Timestamp,
};

/// Probes at once where an answer is wanted quickly and by majority of all.
pub const BURST: u32 = 3;

/// A burst whose answers did not come this long after its timeout never ran.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// Results are recent for so long.
const RECENT: Duration = Duration::from_secs(10);
/// More recent results than this are not kept: bursts of three every 250 ms are 120.
const MOST_RECENT: usize = 256;

/// The active probe of one service.
#[derive(Clone, Debug)]
pub struct Probing {
    service: ServiceId,
    config: Probe,
    cadence: Cadence,
    regular: Option<Burst>,
    second_leg: Option<Burst>,
    answered: Option<Answered>,
    /// Regular successes and failures in a row.
    successes: u32,
    failures: u32,
    verdict: Option<bool>,
    passing_since: Option<Timestamp>,
    last_failure: Option<(Timestamp, ProbeFailure)>,
    /// Results of the last seconds, oldest first, and whether each passed.
    recent: VecDeque<(Timestamp, bool)>,
}

/// Probes that were launched together.
#[derive(Clone, Copy, Debug)]
struct Burst {
    id: u64,
    launched: Timestamp,
    count: u32,
    passed: u32,
    failed: u32,
}

/// A burst of the second leg whose answers are all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// When the last answer came.
    pub at: Timestamp,
    /// So many failed.
    pub failed: u32,
    /// Of so many.
    pub of: u32,
}

impl Answered {
    /// Whether not one of them passed.
    pub fn all_failed(&self) -> bool {
        self.failed == self.of
    }
}

/// What a result meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When its burst was launched.
    pub launched: Timestamp,
    /// Whether it passed.
    pub passed: bool,
    /// The regular probe's new mind, if it changed.
    pub changed: Option<bool>,
}

impl Probing {
    /// A probe whose first regular run is due at `first`.
    pub fn new(service: ServiceId, config: Probe, first: Timestamp) -> Self {
        Self {
            service,
            cadence: Cadence::new(service, config.interval, first),
            config,
            regular: None,
            second_leg: None,
            answered: None,
            successes: 0,
            failures: 0,
            verdict: None,
            passing_since: None,
            last_failure: None,
            recent: VecDeque::new(),
        }
    }

    /// Its service has another number. The rhythm stays.
    pub fn renumber(&mut self, service: ServiceId) {
        self.service = service;
    }

    /// The operator wants something else from now on. The answers to another question
    /// say nothing: then all begins anew, with a first probe at `first`.
    pub fn reconfigure(&mut self, config: Probe, first: Timestamp, now: Timestamp) {
        if self.config.kind != config.kind || self.config.source != config.source {
            *self = Self::new(self.service, config, first);
            return;
        }
        self.cadence.set_interval(config.interval, now);
        self.config = config;
    }

    /// Launches the regular probe if it is due.
    pub fn launch_due(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.regular_due().is_some_and(|due| due <= now) {
            self.launch_regular(1, now, out);
        }
    }

    /// Launches three regular probes now, for a quick first verdict.
    pub fn launch_first(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.is_none() {
            return;
        }
        self.launch_regular(BURST, now, out);
    }

    fn launch_regular(&mut self, count: u32, now: Timestamp, out: &mut Outbox) {
        self.regular = Some(self.launch(count, ProbePurpose::Regular, now, out));
        self.cadence.launch(now);
    }

    /// Launches a burst of the second leg. An older one that still runs is forgotten.
    pub fn launch_second_leg(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.is_none() {
            return;
        }
        self.second_leg = Some(self.launch(BURST, ProbePurpose::SecondLeg, now, out));
    }

    fn launch(&self, count: u32, purpose: ProbePurpose, now: Timestamp, out: &mut Outbox) -> Burst {
        let id = out.next_burst();
        out.push(Command::Probe {
            service: self.service,
            burst: id,
            count,
            purpose,
        });
        Burst {
            id,
            launched: now,
            count,
            passed: 0,
            failed: 0,
        }
    }

    /// Takes a result. One of a burst that is not awaited means nothing.
    pub fn record(&mut self, result: &ProbeResult, now: Timestamp) -> Option<Recorded> {
        let passed = result.outcome.is_ok();
        let (launched, changed) = if let Some((burst, done)) = count(&mut self.regular, result) {
            if done {
                self.regular = None;
            }
            (burst.launched, self.count_regular(passed, now))
        } else {
            let (burst, done) = count(&mut self.second_leg, result)?;
            if done {
                self.second_leg = None;
                self.answered = Some(Answered {
                    at: now,
                    failed: burst.failed,
                    of: burst.count,
                });
            }
            (burst.launched, None)
        };
        self.remember(passed, now);
        if let Err(failure) = &result.outcome {
            self.last_failure = Some((now, failure.clone()));
        }
        Some(Recorded {
            launched,
            passed,
            changed,
        })
    }

    fn count_regular(&mut self, passed: bool, now: Timestamp) -> Option<bool> {
        if passed {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
        } else {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            self.passing_since = None;
        }
        let before = self.verdict;
        if self.successes >= self.config.rise.max(1) {
            self.verdict = Some(true);
            self.passing_since.get_or_insert(now);
        } else if self.failures >= self.config.fall.max(1) {
            self.verdict = Some(false);
        }
        self.verdict.filter(|_| self.verdict != before)
    }

    fn remember(&mut self, passed: bool, now: Timestamp) {
        self.recent.push_back((now, passed));
        while self.recent.len() > MOST_RECENT
            || self
                .recent
                .front()
                .is_some_and(|(at, _)| now.since(*at) > RECENT)
        {
            self.recent.pop_front();
        }
    }

    /// When a probe last passed, if that was within the last ten seconds.
    pub fn last_passed(&self) -> Option<Timestamp> {
        let passed = self.recent.iter().rev().find(|(_, passed)| *passed);
        passed.map(|(at, _)| *at)
    }

    /// How many probes failed in the last ten seconds, and of how many.
    pub fn recent(&self, now: Timestamp) -> (u32, u32) {
        let recent = self
            .recent
            .iter()
            .filter(|(at, _)| now.since(*at) <= RECENT);
        recent.fold((0, 0), |(failed, of), (_, passed)| {
            (failed + u32::from(!passed), of + 1)
        })
    }

    /// A new suspicion: answers to an older one do not count.
    pub fn forget_second_leg(&mut self) {
        self.second_leg = None;
        self.answered = None;
    }

    /// The last complete answer of the second leg.
    pub fn answered(&self) -> Option<&Answered> {
        self.answered.as_ref()
    }

    /// Whether a burst that still runs has already passed in part.
    pub fn is_passing_in_part(&self) -> bool {
        self.second_leg.is_some_and(|burst| burst.passed > 0)
    }

    /// When a running burst of the second leg must be given up, if one runs.
    pub fn second_leg_lost_at(&self) -> Option<Timestamp> {
        self.second_leg.map(|burst| self.lost_at(burst))
    }

    fn lost_at(&self, burst: Burst) -> Timestamp {
        burst.launched.after(self.config.timeout).after(LOST_AFTER)
    }

    /// When the next regular probe is due, if there is one: not while one runs.
    pub fn regular_due(&self) -> Option<Timestamp> {
        if self.is_none() {
            return None;
        }
        let free = self
            .regular
            .map_or(Timestamp::default(), |burst| self.lost_at(burst));
        Some(self.cadence.due().max(free))
    }

    /// How long the probe needs to fall.
    pub fn time_to_fall(&self) -> Duration {
        self.cadence
            .interval()
            .saturating_mul(self.config.fall.max(1))
    }

    /// Whether the service is not probed at all.
    pub fn is_none(&self) -> bool {
        self.config.kind == ProbeKind::None
    }

    /// Whether the probe asks the application and not only the kernel.
    pub fn is_application(&self) -> bool {
        self.config.kind.is_application()
    }

    /// What rise and fall say; none before either count was reached.
    pub fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// The verdict, or before the first one the last result.
    pub fn passes(&self) -> Option<bool> {
        self.verdict
            .or_else(|| (self.successes > 0 || self.failures > 0).then_some(self.successes > 0))
    }

    /// Since when it rose without any failure in between; none if the last regular
    /// probe failed. Where nothing is asked, nothing ever spoke against the service.
    pub fn passing_since(&self) -> Option<Timestamp> {
        if self.is_none() {
            return Some(Timestamp::default());
        }
        self.passing_since
    }

    /// Regular failures in a row.
    pub fn failures_in_a_row(&self) -> u32 {
        self.failures
    }

    /// The last failure of any probe of this service.
    pub fn last_failure(&self) -> Option<&(Timestamp, ProbeFailure)> {
        self.last_failure.as_ref()
    }
}

/// Counts a result for the burst it belongs to; says whether that was the last one.
fn count(awaited: &mut Option<Burst>, result: &ProbeResult) -> Option<(Burst, bool)> {
    let burst = awaited.as_mut().filter(|burst| burst.id == result.burst)?;
    match result.outcome {
        Ok(()) => burst.passed += 1,
        Err(_) => burst.failed += 1,
    }
    Some((*burst, burst.passed + burst.failed >= burst.count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probing() -> Probing {
        let config = Probe {
            kind: ProbeKind::Tcp {
                target: "192.0.2.10:443".parse().unwrap(),
            },
            source: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
        };
        Probing::new(ServiceId(0), config, at(0))
    }

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(milliseconds * 1_000_000)
    }

    fn result(burst: u64, passed: bool) -> ProbeResult {
        ProbeResult {
            service: ServiceId(0),
            burst,
            took: Duration::from_millis(1),
            outcome: if passed {
                Ok(())
            } else {
                Err(ProbeFailure::Refused)
            },
        }
    }

    fn launched(out: &mut Outbox) -> Vec<(u64, u32)> {
        core::iter::from_fn(|| out.pop())
            .map(|command| match command {
                Command::Probe { burst, count, .. } => (burst, count),
                Command::SetLevel { .. }
                | Command::SetDeadline { .. }
                | Command::CollectEvidence { .. }
                | Command::CheckSensor
                | Command::Record(_) => {
                    panic!("{command:?}")
                }
            })
            .collect()
    }

    #[test]
    fn a_probe_that_asks_nothing_is_never_launched_and_never_speaks() {
        let mut config = probing().config;
        config.kind = ProbeKind::None;
        let mut probing = Probing::new(ServiceId(0), config, Timestamp::default());
        let mut out = Outbox::default();
        let now = Timestamp::from_nanos(1_000_000_000);
        probing.launch_due(now, &mut out);
        probing.launch_first(now, &mut out);
        probing.launch_second_leg(now, &mut out);
        assert_eq!(out.pop(), None);
        assert_eq!(probing.regular_due(), None);
        assert_eq!(probing.passes(), None);
        assert_eq!(probing.passing_since(), Some(Timestamp::default()));
    }

    #[test]
    fn rise_and_fall() {
        let cases = [
            ("one success is not a rise", "+", None),
            ("two are", "++", Some(true)),
            ("two failures are not a fall", "++--", Some(true)),
            ("three are", "++---", Some(false)),
            ("every second one never falls", "++-+-+-+-+", Some(true)),
            ("failed ends by rise only", "---+", Some(false)),
            ("and does", "---++", Some(true)),
        ];
        for (description, results, expectation) in cases {
            let mut probing = probing();
            let mut out = Outbox::default();
            for sign in results.chars() {
                let due = probing.regular_due().unwrap();
                probing.launch_due(due, &mut out);
                let burst = launched(&mut out)[0].0;
                probing.record(&result(burst, sign == '+'), due);
            }
            assert_eq!(probing.verdict(), expectation, "{description}");
        }
    }

    #[test]
    fn regular_probe_waits_for_its_answer_or_its_loss() {
        let mut probing = probing();
        let mut out = Outbox::default();
        probing.launch_due(at(0), &mut out);
        probing.launch_due(at(1000), &mut out);
        assert_eq!(launched(&mut out).len(), 1);
        assert_eq!(probing.regular_due(), Some(at(2000)));
        probing.launch_due(at(2000), &mut out);
        assert_eq!(launched(&mut out).len(), 1);
        assert_eq!(probing.verdict(), None, "a lost probe is not a failed one");
    }

    #[test]
    fn second_leg_does_not_count_for_rise_and_fall() {
        let mut probing = probing();
        let mut out = Outbox::default();
        probing.launch_second_leg(at(0), &mut out);
        assert_eq!(launched(&mut out), [(0, 3)]);
        for _ in 0..3 {
            assert_eq!(probing.answered(), None);
            assert_eq!(
                probing.record(&result(0, false), at(1)).unwrap().changed,
                None
            );
        }
        assert!(probing.answered().unwrap().all_failed());
        assert_eq!(probing.verdict(), None);
        assert_eq!(
            probing.record(&result(0, false), at(2)),
            None,
            "one too many"
        );
    }

    #[test]
    fn any_failure_ends_passing() {
        let mut probing = probing();
        let mut out = Outbox::default();
        probing.launch_first(at(0), &mut out);
        for _ in 0..3 {
            probing.record(&result(0, true), at(3));
        }
        assert_eq!(probing.passing_since(), Some(at(3)));
        probing.launch_due(at(1100), &mut out);
        probing.record(&result(1, false), at(1101));
        assert_eq!(probing.passing_since(), None);
        assert_eq!(probing.verdict(), Some(true));
    }
}
