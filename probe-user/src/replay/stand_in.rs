//! Probes that stand in for those that nobody can launch in the past. In flow bursts that
//! the core asks for and the trials of the capture; out flow answers: a probe is taken to
//! meet what the clients of the same moment met. Where no client came, nobody knows, and
//! no answer comes.

use std::time::Duration;

use probe_core::{
    Timestamp,
    config::ServiceId,
    input::{ProbeFailure, ProbeResult},
    status::{ServiceStatus, TrialTotals},
};

/// An answer that takes longer is none.
const LONGEST: Duration = Duration::from_secs(1);

/// The bursts that wait, and how all went.
#[derive(Clone, Debug, Default)]
pub struct StandIn {
    waiting: Vec<Burst>,
    answered: u64,
    failed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Burst {
    service: ServiceId,
    id: u64,
    count: u32,
    launched: Timestamp,
    /// The service's trials until then.
    before: TrialTotals,
}

impl StandIn {
    /// A burst was asked for.
    pub fn launch(
        &mut self,
        (service, id, count): (ServiceId, u64, u32),
        services: &[ServiceStatus],
        launched: Timestamp,
    ) {
        if let Some(before) = totals(services, service) {
            self.waiting.push(Burst {
                service,
                id,
                count,
                launched,
                before,
            });
        }
    }

    /// Whether anybody waits for answers.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The answers that are known by now.
    pub fn answers(&mut self, services: &[ServiceStatus], now: Timestamp) -> Vec<ProbeResult> {
        let mut results = Vec::new();
        self.waiting.retain(|burst| {
            let took = now.since(burst.launched);
            let Some(after) = totals(services, burst.service) else {
                return false;
            };
            match burst.answer(&after) {
                None => took < LONGEST,
                Some((failing, failure)) => {
                    results.extend((0..burst.count).map(|probe| ProbeResult {
                        service: burst.service,
                        burst: burst.id,
                        took,
                        outcome: if probe < failing {
                            Err(failure.clone())
                        } else {
                            Ok(())
                        },
                    }));
                    false
                }
            }
        });
        let failed = results.iter().filter(|result| result.outcome.is_err());
        self.failed += failed.count() as u64;
        self.answered += results.len() as u64;
        results
    }

    /// How many probes were answered, and how many of them failed.
    pub fn counts(&self) -> (u64, u64) {
        (self.answered, self.failed)
    }
}

impl Burst {
    /// So many of its probes fail as trials did, and how most of them did.
    fn answer(&self, after: &TrialTotals) -> Option<(u32, ProbeFailure)> {
        let refused = after.failed - self.before.failed;
        let late = after.late - self.before.late;
        let judged = after.succeeded - self.before.succeeded + refused + late;
        if judged == 0 {
            return None;
        }
        let part = (refused + late) as f64 / judged as f64;
        let failing = (0..self.count)
            .filter(|probe| (f64::from(*probe) + 0.5) / f64::from(self.count) < part)
            .count();
        let failure = if refused >= late {
            ProbeFailure::Refused
        } else {
            ProbeFailure::Timeout
        };
        Some((u32::try_from(failing).unwrap_or(self.count), failure))
    }
}

fn totals(services: &[ServiceStatus], service: ServiceId) -> Option<TrialTotals> {
    let index = usize::try_from(service.0).ok()?;
    services.get(index).map(|status| status.totals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_fail_as_trials_did() {
        let totals = |succeeded, failed, late| TrialTotals {
            succeeded,
            failed,
            late,
            abandoned: 0,
        };
        let before = totals(100, 10, 1);
        for (description, after, expected) in [
            ("nobody came", before, None),
            (
                "all refused",
                totals(100, 15, 1),
                Some((3, ProbeFailure::Refused)),
            ),
            (
                "all late",
                totals(100, 10, 4),
                Some((3, ProbeFailure::Timeout)),
            ),
            (
                "all good",
                totals(105, 10, 1),
                Some((0, ProbeFailure::Refused)),
            ),
            ("half", totals(105, 15, 1), Some((1, ProbeFailure::Refused))),
            (
                "nine of ten",
                totals(101, 19, 1),
                Some((3, ProbeFailure::Refused)),
            ),
            (
                "one of ten",
                totals(109, 10, 2),
                Some((0, ProbeFailure::Timeout)),
            ),
        ] {
            let burst = Burst {
                service: ServiceId(0),
                id: 7,
                count: 3,
                launched: Timestamp::default(),
                before,
            };
            assert_eq!(burst.answer(&after), expected, "{description}");
        }
    }
}
