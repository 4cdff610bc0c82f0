//! One service under watch. In flow its readings and probe results, out flow its
//! bursts, its journal lines, and whether it is held to be dead or impaired.
//!
//! ```text
//! reading ─▶ tally ─▶ judges (one a kind of trials) ─▶ alarms ─┐
//!              └────▶ clients (networks, names), load ─────────┼─▶ weigh ─▶ faults, impairments
//! probe results ─▶ probing ────────────────────────────────────┘
//! ```

mod intake;
mod memory;
mod reconfigure;
mod report;
mod standing;
mod weigh;

use core::time::Duration;

use probe_common::trial::Kind;

pub use self::memory::Memory;
use crate::{
    alarm::Fault,
    clients::Clients,
    command::{Cause, Class, Event, Guard, Reason},
    config::{Absorb, Classify, Service, ServiceId},
    deadline::Answers,
    input::ProbeFailure,
    judge::Judge,
    kinds,
    load::{Load, Usual},
    outbox::Outbox,
    probing::Probing,
    spread::Buckets,
    tally::Tally,
    time::Timestamp,
    uplinks::LossyUplink,
};

/// A service is quiet if no live trial was judged for this long, or for as long as
/// its probe needs to fall if that is longer.
const QUIET: Duration = Duration::from_secs(10);

/// Failures are weighed for this long after the last judged trial; then the next
/// one is worth a call of the kernel's.
const RESTLESS: Duration = Duration::from_secs(1);

/// Everything that is known about one service.
#[derive(Clone, Debug)]
pub struct Watch {
    id: ServiceId,
    config: Service,
    classify: Classify,
    tally: Tally,
    /// One for each kind of trials that the service can have; the first one is that on
    /// which it is judged dead or alive before all others.
    judges: Vec<Judge>,
    clients: Clients,
    requests: Buckets,
    finishes: Buckets,
    lossy_uplinks: Vec<LossyUplink>,
    names: Buckets,
    load: Load,
    answers: Answers,
    deadline: Duration,
    void_until: Timestamp,
    probing: Probing,
    probe_fault: Option<Fault>,
    /// Who holds a fall of the probe.
    probe_held: Option<Guard>,
}

/// What a service's judge must know beside its own readings.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// Whether clients reach the service: not while its prefixes are withdrawn.
    pub live: bool,
    /// Whether the sensor cannot be believed now.
    pub blind: bool,
    /// When the hooks were last seen in place.
    pub hooks_seen: Option<Timestamp>,
    /// Whether most services of the host are in doubt at once.
    pub host_wide: bool,
}

/// How closely trials must be watched. The order is that of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attention {
    /// Nothing is undecided: reading now and then, and when the kernel calls, is enough.
    Calm,
    /// The next reading of the kinds on which services are judged first may decide.
    Judged,
    /// The next reading of any kind may decide.
    All,
}

impl Watch {
    /// A service of which nothing is known; its first regular probe is due at
    /// `first_probe`.
    pub fn new(
        id: ServiceId,
        config: Service,
        classify: Classify,
        threshold: f64,
        first_probe: Timestamp,
    ) -> Self {
        let primary = config.judged_kind();
        let judges = reconfigure::kinds_of(&config)
            .map(|kind| Judge::new(kind, &config.detect, threshold))
            .collect();
        Self {
            id,
            classify,
            tally: Tally::new(primary),
            judges,
            clients: Clients::new(),
            requests: Buckets::default(),
            finishes: Buckets::default(),
            lossy_uplinks: Vec::new(),
            names: Buckets::default(),
            load: Load::default(),
            answers: Answers::default(),
            deadline: config.detect.deadline,
            void_until: Timestamp::default(),
            probing: Probing::new(id, config.probe.clone(), first_probe),
            probe_fault: None,
            probe_held: None,
            config,
        }
    }

    /// Once a second (or after `seconds`): ages what was learned.
    pub fn refresh(&mut self, seconds: u64, moment: Moment) {
        let now = moment.now;
        let healthy = self.is_healthy(moment);
        let settled = healthy && now >= self.void_until;
        let verified = self.clients.refresh(seconds, settled, now);
        self.names.refresh(seconds);
        for judge in &mut self.judges {
            judge.refresh(seconds, healthy, verified, now);
        }
    }

    /// Whether what comes now may be taken for normal.
    fn is_healthy(&self, moment: Moment) -> bool {
        moment.live && !moment.blind && !self.is_suspect() && !self.has_failed()
    }

    /// Who began the trials of a kind, by network. One connection brings one of them.
    fn begun(&self, kind: Kind) -> &Buckets {
        match kind {
            Kind::Request | Kind::Status => &self.requests,
            Kind::Finish => &self.finishes,
            Kind::Connect
            | Kind::Greet
            | Kind::Handshake
            | Kind::Deliver
            | Kind::Answer
            | Kind::Resolve
            | Kind::Quic => self.clients.verified(),
        }
    }

    /// Sets the thresholds of the alarms that may withdraw, and of those that degrade.
    pub fn set_thresholds(&mut self, withdraw: f64, degrade: f64) {
        for judge in &mut self.judges {
            judge.set_thresholds(withdraw, degrade);
        }
    }

    /// The hooks are not those that the last reading and the arming came from.
    pub fn forget_hooks(&mut self) {
        self.tally.forget();
        for judge in &mut self.judges {
            judge.baseline.disarm();
        }
    }

    /// Comes to a verdict on what is known.
    pub fn judge(&mut self, moment: Moment, out: &mut Outbox) {
        self.judge_probe(moment, out);
        self.judge_trials(moment, out);
    }

    fn judge_probe(&mut self, moment: Moment, out: &mut Outbox) {
        let fallen = self.probing.verdict() == Some(false);
        let decides = self.probe_decides_alone(moment);
        self.probe_held = None;
        if self.probe_fault.is_some() {
            // It ends by rise, or when live trials can judge again and are good.
            let trials_are_good = !decides && !self.primary().fast().newest_fail();
            if !fallen || trials_are_good {
                self.probe_fault = None;
                self.tell_good_again(out);
            }
        } else if fallen && decides && moment.live && self.stands_in_queue() {
            self.probe_held = Some(Guard::Overload);
        } else if fallen && decides {
            let class = if moment.host_wide {
                Class::Host
            } else if self.is_quiet(moment.now) && moment.live {
                Class::Quiet
            } else {
                Class::Service
            };
            let mut reason = self.reason(Cause::Probe, Duration::ZERO);
            reason.class = Some(class);
            self.probe_fault = Some(self.fault(reason, moment.now, out));
        }
    }

    /// Whether the probe got no answer because it waits like everybody else. An answer
    /// that is wrong says what the server is, however many others ask.
    fn stands_in_queue(&self) -> bool {
        let unanswered = self
            .probing
            .last_failure()
            .is_some_and(|(_, failure)| *failure == ProbeFailure::Timeout);
        unanswered && self.absorbs()
    }

    /// Whether it is overloaded, and to be held because of that.
    fn absorbs(&self) -> bool {
        self.classify.overload == Absorb::Hold
            && self
                .load
                .is_overload(self.usual(), self.classify.overload_factor)
    }

    /// An application probe always does. A bare TCP probe only where live trials
    /// cannot: unarmed, quiet, or not reached by clients.
    fn probe_decides_alone(&self, moment: Moment) -> bool {
        self.probing.is_application()
            || !moment.live
            || !self.primary().baseline.is_armed()
            || self.is_quiet(moment.now)
    }

    fn is_quiet(&self, now: Timestamp) -> bool {
        self.quiet_at().is_none_or(|quiet_at| quiet_at <= now)
    }

    fn quiet_at(&self) -> Option<Timestamp> {
        let quiet = QUIET.max(self.probing.time_to_fall());
        let judged = self.primary().last_judged;
        judged.map(|judged| judged.after(quiet))
    }

    /// Journals that the service is dead, if it was not held to be so before.
    fn fault(&self, mut reason: Reason, now: Timestamp, out: &mut Outbox) -> Fault {
        reason.failed_services = vec![self.id];
        if !self.has_failed() {
            out.record(Event::Verdict {
                service: self.id,
                failed: true,
                reason: Box::new(reason.clone()),
            });
        }
        Fault { at: now, reason }
    }

    fn tell_good_again(&self, out: &mut Outbox) {
        if !self.has_failed() {
            out.record(Event::Verdict {
                service: self.id,
                failed: false,
                reason: Box::new(self.reason(Cause::Recovered, Duration::ZERO)),
            });
        }
    }

    /// Its prefix is announced again: what was held against it is over. The detectors
    /// start at zero and keep their baselines.
    pub fn start_again(&mut self, out: &mut Outbox) {
        let had_failed = self.has_failed();
        for judge in &mut self.judges {
            judge.reset();
        }
        if had_failed && !self.has_failed() {
            self.tell_good_again(out);
        }
    }

    /// The level of one of its prefixes changed: traffic leaves or comes.
    pub fn level_changed(&mut self, now: Timestamp) {
        let until = now.after(self.config.detect.settle);
        self.void_until = self.void_until.max(until);
        for judge in &mut self.judges {
            judge.rate.reset();
        }
    }

    /// Launches the regular probe if it is due.
    pub fn launch_due(&mut self, now: Timestamp, out: &mut Outbox) {
        self.probing.launch_due(now, out);
    }

    /// Asks for a quick first verdict of the probe.
    pub fn launch_first(&mut self, now: Timestamp, out: &mut Outbox) {
        self.probing.launch_first(now, out);
    }

    /// The times at which something is due that needs no input.
    pub fn due(&self) -> impl Iterator<Item = Timestamp> {
        let fallen = self.probing.verdict() == Some(false) && self.probe_fault.is_none();
        let impaired = self.impairments().next().is_some();
        let suspicions = self.judges.iter().flat_map(move |judge| {
            let armed = judge.baseline.is_armed();
            judge.alarms.iter().filter_map(move |alarm| {
                let suspicion = alarm.suspicion.as_ref()?;
                let burst = suspicion
                    .next_burst(&self.probing, &alarm.detector)
                    .filter(|_| armed);
                Some([Some(suspicion.acts_at()), burst])
            })
        });
        suspicions.flatten().flatten().chain(
            [
                self.probing.regular_due(),
                self.quiet_at().filter(|_| fallen || impaired),
            ]
            .into_iter()
            .flatten(),
        )
    }

    /// Whether its trials may decide soon: some are undecided or being weighed, or were
    /// judged within the last second.
    pub fn is_restless(&self, now: Timestamp) -> bool {
        let judged = self.primary().last_judged;
        judged.is_some_and(|judged| now.since(judged) < RESTLESS)
            || self.attention(now) != Attention::Calm
            || self.tally.is_blank()
    }

    /// Whether trials of any kind are undecided: they become late although nothing changes.
    pub fn is_undecided(&self) -> bool {
        self.tally.is_undecided()
    }

    /// How closely its trials must be watched.
    pub fn attention(&self, now: Timestamp) -> Attention {
        let is_weighed = |judge: &Judge| {
            !judge.fast().is_at_rest()
                && judge
                    .last_judged
                    .is_some_and(|judged| now.since(judged) < RESTLESS)
        };
        let withdrawing = |judge: &&Judge| kinds::may_withdraw(judge.kind);
        let others = self.judges.iter().skip(1);
        if self.suspect_since().is_some() || others.filter(withdrawing).any(is_weighed) {
            Attention::All
        } else if is_weighed(self.primary()) || self.tally.has_outstanding() {
            Attention::Judged
        } else {
            Attention::Calm
        }
    }

    fn usual(&self) -> Usual {
        let arrivals_per_second = self.primary().baseline.trials_per_second();
        let verified_per_second = self.clients.expected_per_second();
        Usual {
            arrivals_per_second,
            served_per_second: verified_per_second.unwrap_or(arrivals_per_second),
        }
    }

    fn primary(&self) -> &Judge {
        &self.judges[0]
    }

    /// Its identity.
    pub fn id(&self) -> ServiceId {
        self.id
    }

    /// Its configuration.
    pub fn config(&self) -> &Service {
        &self.config
    }

    /// Its probe.
    pub fn probing(&self) -> &Probing {
        &self.probing
    }

    /// Judged trials per second while healthy, of the kinds that may withdraw and of
    /// all.
    pub fn trials_per_second(&self) -> (f64, f64) {
        let rate = |judge: &Judge| judge.baseline.trials_per_second();
        let withdrawing = self
            .judges
            .iter()
            .filter(|judge| kinds::may_withdraw(judge.kind));
        (
            withdrawing.map(rate).sum(),
            self.judges.iter().map(rate).sum(),
        )
    }

    /// Trials of the first kind since it was announced again: how many, and the part
    /// that failed. A canary ends by them.
    pub fn since_announced(&self) -> (u64, f64) {
        self.primary().since_reset()
    }
}
