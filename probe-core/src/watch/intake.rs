//! What a watch takes in: readings, and that there was nothing new; evidence, latencies,
//! and the results of probes.

use probe_common::trial::Kind;

use super::{Moment, Watch};
use crate::{
    command::{Command, Event},
    config::Protocol,
    input::{ProbeResult, Sample, ServiceReading},
    outbox::Outbox,
    probing::Recorded,
    time::Timestamp,
    uplinks::LossyUplink,
    window::{Blindness, Outcomes, Read},
};

impl Watch {
    /// Takes a reading; says why if it tells nothing. With a `detached` sensor the
    /// outcomes are counted but not judged.
    pub fn read(
        &mut self,
        reading: &ServiceReading,
        moment: Moment,
        detached: bool,
        out: &mut Outbox,
    ) -> Option<Blindness> {
        let verified = self.clients.read(&reading.verified);
        self.names.read(&reading.servfails);
        for (begun, read) in [
            (&mut self.requests, &reading.requests),
            (&mut self.finishes, &reading.finishes),
        ] {
            if !read.is_empty() {
                begun.read(read);
            }
        }
        let told = self.tally.read(&reading.trials, moment.now);
        self.take_in(told, verified, moment, detached, out)
    }

    /// Takes it that nothing of it had changed at `moment`.
    pub fn unchanged(&mut self, moment: Moment, detached: bool, out: &mut Outbox) {
        let told = self.tally.unchanged(moment.now);
        self.take_in(told, 0, moment, detached, out);
    }

    fn take_in(
        &mut self,
        told: Vec<(Kind, Read)>,
        verified: u64,
        moment: Moment,
        detached: bool,
        out: &mut Outbox,
    ) -> Option<Blindness> {
        let believed = moment.live && !detached;
        let mut blindness = None;
        let mut arrivals = 0;
        let (mut refused, mut succeeded) = (0, 0);
        for (kind, read) in told {
            let Some(index) = self.judges.iter().position(|judge| judge.kind == kind) else {
                continue;
            };
            match read {
                Read::News(news) => {
                    if index == 0 {
                        arrivals = self.tally.started();
                        refused = news.iter().map(|outcomes| outcomes.failed).sum();
                        succeeded = news.iter().map(|outcomes| outcomes.succeeded).sum();
                    }
                    self.feed(index, &news, believed, moment.now, out);
                }
                Read::Rebased => self.judges[index].rate.skip(moment.now),
                Read::Blind(why) => {
                    self.judges[index].rate.skip(moment.now);
                    blindness = blindness.or(Some(why));
                }
            }
        }
        // A UDP client proves nothing: what is answered counts.
        let served = match self.config.endpoint.protocol {
            Protocol::Tcp => verified,
            Protocol::Udp => succeeded,
        };
        let usual = self.usual();
        self.load
            .add((arrivals, refused, served), usual, moment.now);
        blindness
    }

    fn feed(
        &mut self,
        index: usize,
        news: &[Outcomes],
        believed: bool,
        now: Timestamp,
        out: &mut Outbox,
    ) {
        let failed = self.has_failed();
        let expected = self.clients.expected_per_second();
        let judge = &mut self.judges[index];
        if !believed {
            judge.rate.skip(now);
            return;
        }
        let mut succeeded = 0;
        for outcomes in news {
            succeeded += outcomes.succeeded;
            if let Some(armed) = judge.feed(outcomes, failed, now) {
                out.record(Event::Armed {
                    service: self.id,
                    kind: judge.kind,
                    trials: armed.trials,
                    success_ratio: armed.success_ratio,
                });
            }
        }
        let void = now < self.void_until;
        judge.rate.feed(succeeded, expected, void, now);
    }

    /// Takes a sample of its failing flows.
    pub fn take_evidence(&mut self, kind: Kind, sample: Sample) {
        if let Some(judge) = self.judges.iter_mut().find(|judge| judge.kind == kind) {
            judge.evidence = Some(sample);
        }
    }

    /// Takes the interfaces that lose clients now.
    pub fn take_lossy_uplinks(&mut self, lossy: &[LossyUplink]) {
        self.lossy_uplinks.clear();
        self.lossy_uplinks.extend_from_slice(lossy);
    }

    /// Takes the latencies of its answers; another deadline may follow from them.
    pub fn learn_deadline(&mut self, buckets: &[u64], moment: Moment, out: &mut Outbox) {
        if !self.config.detect.learns_deadline {
            return;
        }
        let healthy = self.is_healthy(moment);
        self.answers.read(buckets, healthy);
        let Some(deadline) = self.answers.better_than(self.deadline).filter(|_| healthy) else {
            return;
        };
        self.deadline = deadline;
        out.push(Command::SetDeadline {
            service: self.id,
            deadline,
        });
        out.record(Event::Deadline {
            service: self.id,
            deadline,
        });
    }

    /// Takes a probe's result.
    pub fn probed(
        &mut self,
        result: &ProbeResult,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Option<Recorded> {
        let recorded = self.probing.record(result, now)?;
        if let Some(passes) = recorded.changed {
            out.record(Event::ProbeChanged {
                service: self.id,
                passes,
                failure: result.outcome.clone().err().filter(|_| !passes),
            });
        }
        Some(recorded)
    }
}
