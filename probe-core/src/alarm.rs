//! One detector over one kind of trials, the suspicion it raised, and what that
//! suspicion led to.
//!
//! ```text
//!         score = h              proven              score ≤ h/2, or its end
//!  calm ───────────▶ suspicion ─────────▶ fault ─────────────────────────────▶ calm
//!     ▲                  │
//!     └──────────────────┘ score ≤ h/2
//! ```

use core::time::Duration;

use crate::{
    blame::Blame,
    command::{Guard, Reason},
    detector::Detector,
    persistence::Persistence,
    suspicion::Suspicion,
    time::Timestamp,
    window::Outcomes,
};

/// What an alarm is raised for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To withdraw: the server is dead.
    Withdraw,
    /// To degrade: a part of what the server does fails.
    DegradeServer,
    /// To degrade: the way between clients and server fails.
    DegradePath,
}

impl Purpose {
    /// Whether the alarm at most degrades.
    pub fn is_degrade(self) -> bool {
        match self {
            Self::Withdraw => false,
            Self::DegradeServer | Self::DegradePath => true,
        }
    }
}

/// Why a service is held to be dead or impaired.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// One detector and what came of it.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// What it is for.
    pub purpose: Purpose,
    /// The detector.
    pub detector: Detector,
    /// Whether failures go on.
    persistence: Persistence,
    /// The suspicion that stands, if any.
    pub suspicion: Option<Suspicion>,
    /// Who came, and what failed, since then or lately.
    pub blame: Option<Box<Blame>>,
    /// What holds it.
    pub held: Option<Guard>,
    /// What was proven.
    pub fault: Option<Fault>,
}

impl Alarm {
    /// A calm one.
    pub fn new(purpose: Purpose, detector: Detector) -> Self {
        Self {
            purpose,
            detector,
            persistence: Persistence::default(),
            suspicion: None,
            blame: None,
            held: None,
            fault: None,
        }
    }

    /// Feeds one bucket's news, read at `now`.
    pub fn feed(&mut self, outcomes: &Outcomes, now: Timestamp) {
        self.detector.feed(outcomes);
        if let Some(blame) = &mut self.blame {
            blame.add(outcomes);
        }
        self.persistence
            .add(outcomes.failures(), outcomes.judged(), now);
    }

    /// Counts failures that go on by thirds of `patience`, or longer spans where so few
    /// trials come that these would tell nothing.
    pub fn set_span(&mut self, patience: Duration, trials_per_second: f64) {
        self.persistence.set_span(patience / 3, trials_per_second);
    }

    /// Whether what was suspected still goes on: the newest trials fail, or for what
    /// only degrades, failures came all the time.
    pub fn is_failing_now(&self) -> bool {
        match self.purpose {
            Purpose::Withdraw => self.detector.newest_fail(),
            Purpose::DegradeServer | Purpose::DegradePath => {
                self.persistence.goes_on(self.detector.balance())
            }
        }
    }

    /// Whether what was suspected or proven is over. To be dead is over when the score
    /// says so; to be impaired also when what fails has ended, or no trials come any more:
    /// a grey score falls slowly.
    pub fn is_over(&self, quiet: bool) -> bool {
        let detector = &self.detector;
        match self.purpose {
            Purpose::Withdraw => !detector.is_suspect(),
            Purpose::DegradeServer | Purpose::DegradePath => {
                let ended = self.persistence.has_ended(detector.balance());
                !detector.is_suspect() || quiet || (self.fault.is_some() && ended)
            }
        }
    }

    /// Whether there is neither an alarm nor anything that came of one.
    pub fn rests(&self) -> bool {
        !self.detector.is_suspect()
            && self.suspicion.is_none()
            && self.blame.is_none()
            && self.held.is_none()
            && self.fault.is_none()
    }

    /// Begins a suspicion.
    pub fn suspect(&mut self, now: Timestamp, patience: Duration) -> Suspicion {
        let suspicion = Suspicion::new(now, patience, self.purpose);
        self.suspicion = Some(suspicion);
        suspicion
    }

    /// The detector starts at zero, and what was held against the service is over.
    /// Says whether something was.
    pub fn reset(&mut self) -> bool {
        self.detector.reset();
        self.persistence = Persistence::default();
        self.suspicion = None;
        self.blame = None;
        self.held = None;
        self.fault.take().is_some()
    }
}
