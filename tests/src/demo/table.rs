//! What must have happened in each act, and the closing table of when it did.

use probe_core::Timestamp;

use super::{
    screen::{Screen, Tone, group},
    witness::{Moment, What},
};
use crate::lab::{clock::millis_between, topology::Family};

/// A thing that must happen after a turn of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// A client's connection failed.
    FirstFailed,
    /// The daemon decided to withdraw.
    DecidedWithdraw,
    /// The route left the kernel's table.
    KernelGone,
    /// The withdraw arrived upstream.
    HeardWithdraw,
    /// The last connection that failed began.
    LastFailed,
    /// The probe passes again.
    ProbePasses,
    /// The daemon decided to announce.
    DecidedAnnounce,
    /// The announcement arrived upstream.
    HeardAnnounce,
    /// fra1 answers clients again.
    Answered,
}

impl Milestone {
    /// What a withdrawal needs.
    pub const OF_WITHDRAWAL: &[Self] = &[
        Self::FirstFailed,
        Self::DecidedWithdraw,
        Self::KernelGone,
        Self::HeardWithdraw,
        Self::LastFailed,
    ];
    /// What a return needs that probes can see.
    pub const OF_RETURN: &[Self] = &[
        Self::ProbePasses,
        Self::DecidedAnnounce,
        Self::HeardAnnounce,
        Self::Answered,
    ];
    /// What a return needs by a retry: the probes passed all the time.
    pub const OF_RETRY: &[Self] = &[Self::DecidedAnnounce, Self::HeardAnnounce, Self::Answered];

    fn name(self) -> &'static str {
        match self {
            Self::FirstFailed => "first client connection that failed",
            Self::DecidedWithdraw => "decision to withdraw",
            Self::KernelGone => "kernel route gone",
            Self::HeardWithdraw => "BGP withdraw heard upstream",
            Self::LastFailed => "last client connection that failed",
            Self::ProbePasses => "probes good",
            Self::DecidedAnnounce => "decision to announce",
            Self::HeardAnnounce => "BGP announcement heard upstream",
            Self::Answered => "fra1 answers clients again",
        }
    }

    /// Whether `what` is it.
    fn is(self, what: &What) -> bool {
        match what {
            What::FirstFailed => self == Self::FirstFailed,
            What::LastFailed => self == Self::LastFailed,
            What::Answered => self == Self::Answered,
            What::Suspected(_) | What::Held(_) => false,
            What::Decided { withdraw: true, .. } => self == Self::DecidedWithdraw,
            What::Decided {
                withdraw: false, ..
            } => self == Self::DecidedAnnounce,
            What::ProbePasses => self == Self::ProbePasses,
            What::Kernel { present } => self == Self::KernelGone && !present,
            What::Heard { withdraw: true } => self == Self::HeardWithdraw,
            What::Heard { withdraw: false } => self == Self::HeardAnnounce,
        }
    }
}

/// One turn of the story: something was done at `at`, then these milestones came.
#[derive(Clone, Debug)]
pub struct Turn {
    /// What was done.
    pub title: String,
    /// Just before it was done.
    pub at: Timestamp,
    /// What must follow, for both families.
    pub milestones: &'static [Milestone],
    /// What was seen.
    pub moments: Vec<Moment>,
    /// Further things that must hold, in words, and whether they did.
    pub checks: Vec<(String, bool)>,
}

impl Turn {
    /// A turn that begins now.
    pub fn new(title: &str, at: Timestamp, milestones: &'static [Milestone]) -> Self {
        Self {
            title: title.to_owned(),
            at,
            milestones,
            moments: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// When a milestone came, in milliseconds.
    pub fn millis(&self, milestone: Milestone, family: Family) -> Option<f64> {
        let moment = self
            .moments
            .iter()
            .find(|moment| moment.family == family && milestone.is(&moment.what))?;
        Some(millis_between(self.at, moment.at))
    }

    /// Whether all milestones came, for both families.
    pub fn complete(&self) -> bool {
        self.missing().is_empty()
    }

    /// What did not happen.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for milestone in self.milestones {
            for family in Family::ALL {
                if self.millis(*milestone, family).is_none() {
                    missing.push(format!("{}: {} ({family})", self.title, milestone.name()));
                }
            }
        }
        for (check, held) in &self.checks {
            if !held {
                missing.push(format!("{}: {check}", self.title));
            }
        }
        missing
    }
}

/// Prints the closing table.
pub fn print(screen: &Screen, turns: &[Turn]) {
    screen.heading(&format!(
        "{:<42}{:>16}{:>16}",
        "Measured, from the moment of each turn", "IPv4", "IPv6"
    ));
    for turn in turns {
        screen.line(Tone::Strong, &format!("  {}", turn.title));
        for milestone in turn.milestones {
            let cell = |family| {
                turn.millis(*milestone, family).map_or_else(
                    || "did not happen".to_owned(),
                    |millis| format!("{} ms", group(millis)),
                )
            };
            screen.line(
                Tone::Plain,
                &format!(
                    "    {:<38}{:>16}{:>16}",
                    milestone.name(),
                    cell(Family::V4),
                    cell(Family::V6)
                ),
            );
        }
        for (check, held) in &turn.checks {
            let (tone, answer) = if *held {
                (Tone::Good, "yes")
            } else {
                (Tone::Bad, "NO")
            };
            screen.line(tone, &format!("    {check:<66}{answer:>4}"));
        }
    }
}
