//! A decision's reason in one plain sentence.

use core::fmt;

use probe_common::trial::Kind;

use crate::{
    command::{Cause, Reason, SecondLeg, TrialEvidence},
    uplinks::{self, LossyUplink},
    witness::Other,
};

impl Reason {
    /// One plain sentence with the numbers.
    pub fn sentence(&self) -> String {
        let name = &self.service_name;
        match self.cause {
            Cause::LiveTrials => format!(
                "{name}: {}, {}{}",
                Trials(&self.trials, words(self.kind)),
                Leg(self.second_leg.as_ref()),
                Lossy(&self.uplinks)
            ),
            Cause::Probe => {
                let times = match self.probe_failures {
                    1 => "once".to_owned(),
                    failures => format!("{failures} times in a row"),
                };
                match &self.probe_failure {
                    Some(failure) => format!("{name}: the probe failed {times} ({failure})"),
                    None => format!("{name}: the probe failed {times}"),
                }
            }
            Cause::FirstAnnouncement => {
                format!("{name}: the probes of all needed services pass, first announcement")
            }
            Cause::Recovered if self.stood.is_zero() => format!("{name}: good again"),
            Cause::Recovered => {
                format!(
                    "{name}: the probes passed for the hold of {:.1?}",
                    self.stood
                )
            }
            Cause::Retry => format!(
                "{name}: one retry {:.1?} after a fault that the probes did not see; they pass",
                self.stood
            ),
            Cause::Canary => format!("{name}: the canary of {:.1?} went well", self.stood),
            Cause::LastSite => {
                let others: Vec<String> = self.others.iter().map(Other::sentence).collect();
                format!(
                    "{name}: nobody else has announced it for {:.1?}: {}",
                    self.stood,
                    others.join(", ")
                )
            }
            Cause::Drain => self.ordered("drained", "the drain has ended"),
            Cause::Pin => self.ordered("pinned", "the pin has ended"),
        }
    }

    fn ordered(&self, what: &str, ended: &str) -> String {
        match &self.order {
            Some(directive) if directive.why.is_empty() => format!("{what} by {}", directive.by),
            Some(directive) => format!("{what} by {}: {}", directive.by, directive.why),
            None => ended.to_owned(),
        }
    }
}

/// How one speaks of the trials of a kind.
struct Words {
    trials: &'static str,
    failed: &'static str,
    late: &'static str,
}

fn words(kind: Kind) -> Words {
    let (trials, failed, late) = match kind {
        Kind::Connect => ("new connections", "refused", "unanswered"),
        Kind::Greet => (
            "connections",
            "reset before a greeting",
            "without a greeting",
        ),
        Kind::Request => ("first requests", "reset", "unanswered"),
        Kind::Finish => ("connections", "reset at their end", "not ended"),
        Kind::Handshake => ("handshakes", "reset by the client", "not completed"),
        Kind::Deliver => ("connections", "with retransmissions", "undecided"),
        Kind::Status => ("responses", "of status 5xx", "without a status"),
        Kind::Answer => ("queries", "turned down", "unanswered"),
        Kind::Resolve => ("answers", "of SERVFAIL", "without a code"),
        Kind::Quic => ("QUIC connections", "turned down", "unanswered"),
    };
    Words {
        trials,
        failed,
        late,
    }
}

/// "7 of 7 new connections refused since the first failure (score ...)".
struct Trials<'a>(&'a TrialEvidence, Words);

impl fmt::Display for Trials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TrialEvidence {
            score,
            threshold,
            p0,
            failed,
            late,
            succeeded,
            ..
        } = *self.0;
        let judged = failed.saturating_add(late).saturating_add(succeeded);
        let words = &self.1;
        let trials = words.trials;
        match (failed, late) {
            (_, 0) => write!(f, "{failed} of {judged} {trials} {}", words.failed)?,
            (0, _) => write!(f, "{late} of {judged} {trials} {}", words.late)?,
            (_, _) => write!(
                f,
                "{failed} of {judged} {trials} {} and {late} {}",
                words.failed, words.late
            )?,
        }
        write!(
            f,
            " since the first failure (score {score:.1} of {threshold:.1}, normal {:.1} %)",
            p0 * 100.0
        )
    }
}

struct Leg<'a>(Option<&'a SecondLeg>);

impl fmt::Display for Leg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(SecondLeg::Probes { failed, of }) => {
                write!(f, "and {failed} of {of} probes failed")
            }
            Some(SecondLeg::SomeProbes { failed, of }) => {
                write!(f, "and {failed} of the last {of} probes failed, too")
            }
            Some(SecondLeg::Spread {
                failing,
                busiest_networks,
            }) => write!(
                f,
                "and {:.1} % fail, more than the four busiest networks bring ({:.1} %)",
                failing * 100.0,
                busiest_networks * 100.0
            ),
            Some(SecondLeg::Names { names, .. }) => {
                write!(f, "and that for {names} different names or more")
            }
            Some(SecondLeg::Rate {
                expected_per_second,
                ..
            }) => write!(
                f,
                "and successes fell far below the expected {expected_per_second:.0} per second"
            ),
            None => f.write_str("and nothing else agrees yet"),
        }
    }
}

/// "; clients are lost through eth1: 92.0 % of 310 handshakes there, elsewhere 0.3 %".
struct Lossy<'a>(&'a [LossyUplink]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clauses = uplinks::clauses(self.0);
        clauses
            .iter()
            .try_for_each(|(_, clause)| write!(f, "; {clause}"))
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::{
        config::ServiceId,
        input::{Directive, ProbeFailure},
        uplinks::Way,
    };

    fn reason(cause: Cause) -> Reason {
        Reason {
            cause,
            class: None,
            kind: Kind::Connect,
            service: ServiceId(0),
            service_name: "web".into(),
            trials: TrialEvidence {
                score_ratio: 1.0,
                score: 26.6,
                threshold: 26.5,
                p0: 0.005,
                p1: 0.5,
                failed: 7,
                late: 0,
                succeeded: 0,
                trials_per_second: 1000.0,
                armed: true,
            },
            second_leg: None,
            probe_failures: 3,
            probe_failure: Some(ProbeFailure::Status(503)),
            first_failure: None,
            stood: Duration::ZERO,
            failed_services: vec![],
            evidence: None,
            uplinks: vec![],
            guards: vec![],
            order: None,
            others: vec![Other {
                site: "ams1".into(),
                host: "edge1".into(),
                is_neighbour: false,
                heard: crate::witness::Heard::Level(crate::Level::Withdrawn),
            }],
        }
    }

    #[test]
    fn sentences() {
        let live = |failed, late, succeeded, second_leg| {
            let mut reason = reason(Cause::LiveTrials);
            reason.trials.failed = failed;
            reason.trials.late = late;
            reason.trials.succeeded = succeeded;
            reason.second_leg = second_leg;
            reason
        };
        let ordered = |cause, why: &str| Reason {
            order: Some(Directive {
                by: "root".into(),
                why: why.into(),
                until: None,
                force: false,
            }),
            ..reason(cause)
        };
        let stood = |cause, seconds| Reason {
            stood: Duration::from_secs(seconds),
            ..reason(cause)
        };
        let probes = SecondLeg::Probes { failed: 3, of: 3 };
        let rate = SecondLeg::Rate {
            expected_per_second: 640.4,
            score_ratio: 1.0,
        };
        let spread = SecondLeg::Spread {
            failing: 0.104,
            busiest_networks: 0.06,
        };
        let cases = [
            (
                ordered(Cause::Drain, "new kernel"),
                "drained by root: new kernel",
            ),
            (ordered(Cause::Pin, ""), "pinned by root"),
            (reason(Cause::Pin), "the pin has ended"),
            (
                Reason {
                    kind: Kind::Request,
                    ..live(1, 9, 90, Some(spread))
                },
                "web: 1 of 100 first requests reset and 9 unanswered since the first failure (score 26.6 of 26.5, normal 0.5 %), and 10.4 % fail, more than the four busiest networks bring (6.0 %)",
            ),
            (
                live(7, 0, 0, Some(probes)),
                "web: 7 of 7 new connections refused since the first failure (score 26.6 of 26.5, normal 0.5 %), and 3 of 3 probes failed",
            ),
            (
                live(0, 9, 1, Some(rate)),
                "web: 9 of 10 new connections unanswered since the first failure (score 26.6 of 26.5, normal 0.5 %), and successes fell far below the expected 640 per second",
            ),
            (
                live(4, 3, 0, None),
                "web: 4 of 7 new connections refused and 3 unanswered since the first failure (score 26.6 of 26.5, normal 0.5 %), and nothing else agrees yet",
            ),
            (
                reason(Cause::Probe),
                "web: the probe failed 3 times in a row (HTTP status 503)",
            ),
            (
                reason(Cause::FirstAnnouncement),
                "web: the probes of all needed services pass, first announcement",
            ),
            (
                stood(Cause::Recovered, 60),
                "web: the probes passed for the hold of 60.0s",
            ),
            (stood(Cause::Recovered, 0), "web: good again"),
            (
                stood(Cause::LastSite, 1),
                "web: nobody else has announced it for 1.0s: ams1/edge1 withdrawn",
            ),
            (
                stood(Cause::Retry, 3600),
                "web: one retry 3600.0s after a fault that the probes did not see; they pass",
            ),
        ];
        for (reason, sentence) in cases {
            assert_eq!(reason.sentence(), sentence);
        }
    }

    #[test]
    fn the_way_to_clients_is_told_with_the_interfaces_that_stand_out() {
        let lossy = |interface: &str, way, normal, elsewhere| LossyUplink {
            interface: interface.into(),
            way,
            tried: 310,
            lost: 0.92,
            normal,
            elsewhere,
        };
        let path = |uplinks| Reason {
            kind: Kind::Handshake,
            uplinks,
            second_leg: Some(SecondLeg::Rate {
                expected_per_second: 640.4,
                score_ratio: 1.0,
            }),
            ..reason(Cause::LiveTrials)
        };
        let cases = [
            (
                path(vec![
                    lossy("eth1", Way::Came, Some(0.01), Some(0.003)),
                    lossy("eth1", Way::Left, Some(0.01), Some(0.003)),
                ]),
                "clients are lost through eth1: 92.0 % of 310 handshakes there, normally 1.0 %, elsewhere 0.3 %",
            ),
            (
                path(vec![
                    lossy("eth0", Way::Came, None, Some(0.003)),
                    lossy("eth2", Way::Left, Some(0.01), None),
                ]),
                "clients are lost that come in by eth0: 92.0 % of 310 handshakes there, elsewhere 0.3 %; clients are lost whose answers leave by eth2: 92.0 % of 310 handshakes there, normally 1.0 %",
            ),
        ];
        for (reason, clauses) in cases {
            let sentence = reason.sentence();
            let (_, told) = sentence.split_once("; ").unwrap();
            assert_eq!(told, clauses);
        }
    }
}
