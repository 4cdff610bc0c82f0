//! How a watch weighs its alarms: what each suspicion is worth, and what it becomes.

use core::time::Duration;

use super::{Moment, QUIET, Watch};
use crate::{
    alarm::{Fault, Purpose},
    blame::{Blame, Shares},
    command::{Cause, Class, Command, Event, Reason, SecondLeg},
    kinds,
    outbox::Outbox,
    suspicion::{Evidence, Finding, Spread, Suspicion},
    time::Timestamp,
};

/// Which alarm of which judge.
#[derive(Clone, Copy)]
struct At {
    judge: usize,
    alarm: usize,
}

impl Watch {
    pub(super) fn judge_trials(&mut self, moment: Moment, out: &mut Outbox) {
        let places: Vec<At> = (0..)
            .zip(&self.judges)
            .flat_map(|(judge, of)| (0..of.alarms.len()).map(move |alarm| At { judge, alarm }))
            .collect();
        for at in places {
            self.judge_alarm(at, moment, out);
        }
    }

    fn judge_alarm(&mut self, at: At, moment: Moment, out: &mut Outbox) {
        let now = moment.now;
        let judge = &mut self.judges[at.judge];
        let quiet = judge
            .last_judged
            .is_none_or(|judged| now.since(judged) >= QUIET);
        let armed = judge.baseline.is_armed();
        let alarm = &mut judge.alarms[at.alarm];
        alarm.held = None;
        if !moment.live {
            // Nobody comes: a fault stays what it is until the prefix returns.
            self.clear_suspicion(at, now, out);
            return;
        }
        if alarm.is_over(quiet) {
            self.clear_suspicion(at, now, out);
            self.clear_fault(at, out);
            return;
        }
        if alarm.fault.is_some() {
            return;
        }
        let suspicion = match alarm.suspicion {
            Some(suspicion) => suspicion,
            None => self.begin_suspicion(at, now, out),
        };
        let burst = suspicion.next_burst(
            &self.probing,
            &self.judges[at.judge].alarms[at.alarm].detector,
        );
        if armed && burst.is_some_and(|due| due <= now) {
            self.probing.launch_second_leg(now, out);
            // At its beginning few flows have failed; more have while patience lasts.
            if suspicion.since() < now && now < suspicion.acts_at() {
                self.collect_evidence(at, out);
            }
        }
        self.keep_blame(at, now);
        let finding = suspicion.weigh(&self.evidence_for(at, moment), now);
        match finding {
            Finding::Standing => {}
            Finding::Held(guard) => self.judges[at.judge].alarms[at.alarm].held = Some(guard),
            Finding::HooksUnseen => out.ask_for_sensor(),
            Finding::Proven(leg) => self.prove(at, &suspicion, leg, moment, out),
        }
    }

    fn evidence_for(&self, at: At, moment: Moment) -> Evidence<'_> {
        let judge = &self.judges[at.judge];
        let verified = self.clients.expected_per_second();
        let alarm = &judge.alarms[at.alarm];
        Evidence {
            detector: &alarm.detector,
            failing_now: alarm.is_failing_now(),
            probing: &self.probing,
            forger: kinds::forger(judge.kind),
            rate: &judge.rate,
            expected_per_second: judge.rate.expected(verified),
            spread: Spread {
                networks: self.network_shares(at, moment.now),
                names: self.names.filled(),
                busiest_name: self.names.busiest_share(1),
            },
            server_is_well: !self.is_doubted() && self.probing.passes() != Some(false),
            absorbs: self.absorbs(),
            armed: judge.baseline.is_armed(),
            blind: moment.blind,
            hooks_seen: moment.hooks_seen,
            last_failed: judge.last_failed,
        }
    }

    /// Counts anew where a count has become old: what comes now is to be seen.
    fn keep_blame(&mut self, at: At, now: Timestamp) {
        let lasts = self.config.detect.grey_patience.saturating_mul(2);
        let judge = &self.judges[at.judge];
        let is_current = judge.alarms[at.alarm]
            .blame
            .as_ref()
            .is_some_and(|blame| blame.age(now) < lasts);
        if !is_current {
            let blame = Blame::begin(self.begun(judge.kind), now);
            self.judges[at.judge].alarms[at.alarm].blame = Some(Box::new(blame));
        }
    }

    /// What fails, and what the busiest networks could make fail, once both were counted
    /// for long enough.
    fn network_shares(&self, at: At, now: Timestamp) -> Option<Shares> {
        let judge = &self.judges[at.judge];
        let blame = judge.alarms[at.alarm].blame.as_ref()?;
        let is_enough = blame.age(now) >= self.config.detect.grey_patience;
        is_enough
            .then(|| blame.shares(self.begun(judge.kind)))
            .flatten()
    }

    fn begin_suspicion(&mut self, at: At, now: Timestamp, out: &mut Outbox) -> Suspicion {
        let detect = &self.config.detect;
        let others = self.is_suspect();
        let alarm = &mut self.judges[at.judge].alarms[at.alarm];
        let patience = match alarm.purpose {
            Purpose::Withdraw => detect.patience,
            Purpose::DegradeServer | Purpose::DegradePath => detect.grey_patience,
        };
        let suspicion = alarm.suspect(now, patience);
        // Answers to an older question do not count for the withdraw.
        if !others || alarm.purpose == Purpose::Withdraw {
            self.probing.forget_second_leg();
        }
        self.judges[at.judge].evidence = None;
        out.record(Event::Suspected {
            service: self.id,
            reason: Box::new(self.alarm_reason(at, Duration::ZERO, None)),
        });
        self.collect_evidence(at, out);
        suspicion
    }

    fn collect_evidence(&self, at: At, out: &mut Outbox) {
        out.push(Command::CollectEvidence {
            service: self.id,
            kind: self.judges[at.judge].kind,
        });
    }

    fn clear_suspicion(&mut self, at: At, now: Timestamp, out: &mut Outbox) {
        let judge = &mut self.judges[at.judge];
        judge.alarms[at.alarm].blame = None;
        if let Some(suspicion) = judge.alarms[at.alarm].suspicion.take() {
            out.record(Event::Cleared {
                service: self.id,
                kind: judge.kind,
                stood: now.since(suspicion.since()),
            });
        }
    }

    fn clear_fault(&mut self, at: At, out: &mut Outbox) {
        let alarm = &mut self.judges[at.judge].alarms[at.alarm];
        let Some(fault) = alarm.fault.take() else {
            return;
        };
        match alarm.purpose {
            Purpose::Withdraw => self.tell_good_again(out),
            Purpose::DegradeServer | Purpose::DegradePath => out.record(Event::Impaired {
                service: self.id,
                impaired: false,
                reason: Box::new(Reason {
                    class: fault.reason.class,
                    ..self.alarm_reason(at, Duration::ZERO, None)
                }),
            }),
        }
    }

    fn prove(
        &mut self,
        at: At,
        suspicion: &Suspicion,
        leg: SecondLeg,
        moment: Moment,
        out: &mut Outbox,
    ) {
        let stood = moment.now.since(suspicion.since());
        let mut reason = self.alarm_reason(at, stood, Some(leg));
        let purpose = self.judges[at.judge].alarms[at.alarm].purpose;
        reason.class = Some(match purpose {
            Purpose::Withdraw if moment.host_wide => Class::Host,
            Purpose::Withdraw => Class::Service,
            Purpose::DegradeServer => Class::Grey,
            Purpose::DegradePath => Class::Path,
        });
        let fault = match purpose {
            Purpose::Withdraw => self.fault(reason, moment.now, out),
            Purpose::DegradeServer | Purpose::DegradePath => {
                out.record(Event::Impaired {
                    service: self.id,
                    impaired: true,
                    reason: Box::new(reason.clone()),
                });
                Fault {
                    at: moment.now,
                    reason,
                }
            }
        };
        let alarm = &mut self.judges[at.judge].alarms[at.alarm];
        alarm.suspicion = None;
        alarm.blame = None;
        alarm.fault = Some(fault);
    }

    fn alarm_reason(&self, at: At, stood: Duration, leg: Option<SecondLeg>) -> Reason {
        let judge = &self.judges[at.judge];
        self.reason_of(
            judge,
            &judge.alarms[at.alarm].detector,
            Cause::LiveTrials,
            stood,
            leg,
        )
    }
}
