//! One service under watch. In flow its readings and probe results, out flow its
//! bursts, its journal lines, and whether it is held to be dead.
//!
//! ```text
//!            score = h              proven                 score ≤ h/2, rise,
//!  healthy ───────────▶ suspect ───────────▶ failed ─────────────────────────▶ healthy
//!     ▲                    │                   ▲         or its prefix returns
//!     └────────────────────┘                   │
//!         score ≤ h/2          the probe fell, where it decides alone
//! ```

mod report;

use core::time::Duration;

use crate::{
    baseline::Baseline,
    command::{Cause, Event, Guard, Reason, SecondLeg},
    config::{Service, ServiceId},
    detector::Detector,
    input::{ProbeResult, ServiceReading},
    outbox::Outbox,
    probing::{Probing, Recorded},
    rate::RateLeg,
    suspicion::{Evidence, Finding, Suspicion},
    tally::Tally,
    time::Timestamp,
    window::{Blindness, Outcomes, Read},
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
    tally: Tally,
    detector: Detector,
    baseline: Baseline,
    rate: RateLeg,
    probing: Probing,
    suspicion: Option<Suspicion>,
    held: Option<Guard>,
    trials_fault: Option<Fault>,
    probe_fault: Option<Fault>,
    last_judged: Option<Timestamp>,
    last_failed: Option<Timestamp>,
}

/// Why a service is held to be dead.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
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
}

impl Watch {
    /// A service of which nothing is known; its first regular probe is due at
    /// `first_probe`.
    pub fn new(id: ServiceId, config: Service, threshold: f64, first_probe: Timestamp) -> Self {
        Self {
            id,
            tally: Tally::new(config.judged_kind()),
            detector: Detector::new(config.detect.broken, threshold),
            baseline: Baseline::new(config.detect.arm_after),
            rate: RateLeg::new(),
            probing: Probing::new(id, config.probe.clone(), first_probe),
            suspicion: None,
            held: None,
            trials_fault: None,
            probe_fault: None,
            last_judged: None,
            last_failed: None,
            config,
        }
    }

    /// Takes a reading; says why if it tells nothing. With a `detached` sensor the
    /// outcomes are counted but not judged.
    pub fn read(
        &mut self,
        reading: &ServiceReading,
        moment: Moment,
        detached: bool,
        out: &mut Outbox,
    ) -> Option<Blindness> {
        self.rate.read(&reading.verified);
        let news = match self.tally.read(&reading.trials, moment.now) {
            Some(Read::News(news)) => news,
            Some(Read::Rebased) | None => {
                self.rate.skip(moment.now);
                return None;
            }
            Some(Read::Blind(blindness)) => {
                self.rate.skip(moment.now);
                return Some(blindness);
            }
        };
        let mut succeeded = 0_u64;
        for outcomes in &news {
            succeeded += outcomes.succeeded;
            if moment.live && !detached {
                self.feed(outcomes, moment.now, out);
            }
        }
        if moment.live && !detached {
            self.rate.feed(succeeded, moment.now);
        } else {
            self.rate.skip(moment.now);
        }
        None
    }

    fn feed(&mut self, outcomes: &Outcomes, now: Timestamp, out: &mut Outbox) {
        if outcomes.judged() > 0 {
            self.last_judged = Some(now);
        }
        if outcomes.failures() > 0 {
            self.last_failed = Some(now);
        }
        self.detector.feed(outcomes);
        let armed = self.baseline.is_armed();
        if self.has_failed() || (armed && self.detector.is_suspect()) {
            self.baseline.discard();
            return;
        }
        if let Some(armed) = self.baseline.learn(outcomes, self.detector.is_at_rest()) {
            self.detector.set_p0(self.baseline.p0());
            out.record(Event::Armed {
                service: self.id,
                trials: armed.trials,
                success_ratio: armed.success_ratio,
            });
        }
    }

    /// Once a second (or after `seconds`): ages what was learned.
    pub fn refresh(&mut self, seconds: u64, moment: Moment) {
        let healthy =
            moment.live && !moment.blind && self.suspicion.is_none() && !self.has_failed();
        self.baseline.refresh(seconds, healthy);
        self.rate.refresh(seconds, healthy, moment.now);
        self.detector.set_p0(self.baseline.p0());
    }

    /// Sets the threshold of the detector.
    pub fn set_threshold(&mut self, threshold: f64) {
        self.detector.set_threshold(threshold);
    }

    /// The hooks are not those that the last reading and the arming came from.
    pub fn forget_hooks(&mut self) {
        self.tally.forget();
        self.baseline.disarm();
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

    /// Comes to a verdict on what is known.
    pub fn judge(&mut self, moment: Moment, out: &mut Outbox) {
        self.held = None;
        self.judge_probe(moment, out);
        self.judge_trials(moment, out);
    }

    fn judge_probe(&mut self, moment: Moment, out: &mut Outbox) {
        let fallen = self.probing.verdict() == Some(false);
        let decides = self.probe_decides_alone(moment);
        if self.probe_fault.is_some() {
            // It ends by rise, or when live trials can judge again and are good.
            let trials_are_good = !decides && !self.detector.newest_fail();
            if !fallen || trials_are_good {
                self.probe_fault = None;
                self.tell_good_again(out);
            }
        } else if fallen && decides {
            let fault = self.fault(Cause::Probe, Duration::ZERO, None, moment.now, out);
            self.probe_fault = Some(fault);
        }
    }

    /// An application probe always does. A bare TCP probe only where live trials
    /// cannot: unarmed, quiet, or not reached by clients.
    fn probe_decides_alone(&self, moment: Moment) -> bool {
        self.probing.is_application()
            || !moment.live
            || !self.baseline.is_armed()
            || self
                .quiet_at()
                .is_none_or(|quiet_at| quiet_at <= moment.now)
    }

    fn quiet_at(&self) -> Option<Timestamp> {
        let quiet = QUIET.max(self.probing.time_to_fall());
        self.last_judged.map(|judged| judged.after(quiet))
    }

    fn judge_trials(&mut self, moment: Moment, out: &mut Outbox) {
        let Moment {
            now,
            live,
            blind,
            hooks_seen,
        } = moment;
        if !live {
            // Nobody comes: a fault stays what it is until the prefix returns.
            self.clear_suspicion(now, out);
            return;
        }
        if !self.detector.is_suspect() {
            self.clear_suspicion(now, out);
            if self.trials_fault.take().is_some() {
                self.tell_good_again(out);
            }
            return;
        }
        if self.trials_fault.is_some() {
            return;
        }
        let suspicion = match self.suspicion {
            Some(suspicion) => suspicion,
            None => self.begin_suspicion(now, out),
        };
        let armed = self.baseline.is_armed();
        if armed && suspicion.next_burst(&self.probing) <= now {
            self.probing.launch_second_leg(now, out);
        }
        let evidence = Evidence {
            detector: &self.detector,
            probing: &self.probing,
            rate: &self.rate,
            armed,
            blind,
            hooks_seen,
            last_failed: self.last_failed,
        };
        match suspicion.weigh(&evidence, now) {
            Finding::Standing => {}
            Finding::Held(guard) => self.held = Some(guard),
            Finding::HooksUnseen => out.ask_for_sensor(),
            Finding::Proven(leg) => {
                let stood = now.since(suspicion.since());
                let fault = self.fault(Cause::LiveTrials, stood, Some(leg), now, out);
                self.suspicion = None;
                self.trials_fault = Some(fault);
            }
        }
    }

    fn begin_suspicion(&mut self, now: Timestamp, out: &mut Outbox) -> Suspicion {
        let suspicion = Suspicion::new(now, self.config.detect.patience);
        self.suspicion = Some(suspicion);
        self.probing.forget_second_leg();
        out.record(Event::Suspected {
            service: self.id,
            reason: Box::new(self.reason(Cause::LiveTrials, Duration::ZERO, None)),
        });
        suspicion
    }

    fn clear_suspicion(&mut self, now: Timestamp, out: &mut Outbox) {
        if let Some(suspicion) = self.suspicion.take() {
            out.record(Event::Cleared {
                service: self.id,
                stood: now.since(suspicion.since()),
            });
        }
    }

    fn fault(
        &self,
        cause: Cause,
        stood: Duration,
        leg: Option<SecondLeg>,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Fault {
        let mut reason = self.reason(cause, stood, leg);
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
                reason: Box::new(self.reason(Cause::Recovered, Duration::ZERO, None)),
            });
        }
    }

    /// Its prefix is announced again: what was held against it is over. The detector
    /// starts at zero and keeps its baseline.
    pub fn start_again(&mut self, out: &mut Outbox) {
        self.detector.reset();
        self.last_judged = None;
        self.last_failed = None;
        if self.trials_fault.take().is_some() {
            self.tell_good_again(out);
        }
    }

    /// The level of one of its prefixes changed: traffic leaves or comes.
    pub fn level_changed(&mut self, now: Timestamp) {
        self.rate.void_until(now.after(self.config.detect.settle));
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
        let suspicion = self.suspicion.as_ref();
        let armed = self.baseline.is_armed();
        let fallen = self.probing.verdict() == Some(false) && self.probe_fault.is_none();
        [
            self.probing.regular_due(),
            suspicion.map(Suspicion::acts_at),
            suspicion
                .filter(|_| armed)
                .map(|suspicion| suspicion.next_burst(&self.probing)),
            self.quiet_at().filter(|_| fallen),
        ]
        .into_iter()
        .flatten()
    }

    /// Why it is held to be dead: by live trials, by its probe, by both, or not.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.trials_fault.iter().chain(&self.probe_fault)
    }

    /// Whether it is held to be dead.
    pub fn has_failed(&self) -> bool {
        self.faults().next().is_some()
    }

    /// The guard that holds a standing suspicion, and since when it stands.
    pub fn held(&self) -> Option<(Guard, Suspicion)> {
        self.held.zip(self.suspicion)
    }

    /// Since when a suspicion stands.
    pub fn suspect_since(&self) -> Option<Timestamp> {
        self.suspicion.as_ref().map(Suspicion::since)
    }

    /// Whether it is worth while to read often: judged trials are undecided, or what
    /// came is weighed.
    pub fn is_restless(&self, now: Timestamp) -> bool {
        let weighs = !self.detector.is_at_rest()
            && self
                .last_judged
                .is_some_and(|judged| now.since(judged) < RESTLESS);
        weighs || self.suspicion.is_some() || self.tally.has_outstanding()
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

    /// Judged trials per second while healthy.
    pub fn trials_per_second(&self) -> f64 {
        self.baseline.trials_per_second()
    }
}
