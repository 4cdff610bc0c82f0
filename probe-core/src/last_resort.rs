//! What is decided when the daemon does not start any more. In flow what stands in the
//! table, who else announces the prefixes, what is remembered (the operator's orders), and
//! the answers of three probes of every service; out flow lowerings that the probes alone
//! prove, and what is to be written down.
//!
//! ```text
//! handle(Witness, Route ...) ─▶ ask ─▶ Command::Probe, three a service ─▶ handle(Probe ...)
//!                                        └▶ SetLevel, if all three of a service failed
//! ```
//!
//! Nobody measures meanwhile, so live trials have no say; policy, guards, orders and the
//! race for the last site are the engine's own. Nothing is raised, and no order is carried
//! out: what the probes do not prove to be dead stays as it stands.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::{
    command::{Cause, Command, Event, Reason},
    config::{Config, LastSite, PrefixId, Race},
    engine::{Engine, Memory},
    input::Input,
    level::Level,
    probing::BURST,
    time::Timestamp,
};

/// The services are asked once: longer than anybody waits for that.
const NEVER: Duration = Duration::from_hours(24);

/// Decides once, by probes alone.
///
/// To be used like an [`Engine`]: first everything that is known, then
/// [`ask`](Self::ask), then the answers, each with all commands taken.
#[derive(Clone, Debug)]
pub struct LastResort {
    engine: Engine,
    asked: bool,
    /// How long each prefix waits for its last step, by its number; none where it is not
    /// raced for.
    rounds: Vec<Option<Duration>>,
    /// What was degraded here, and until when its last step is waited for.
    degraded: BTreeMap<PrefixId, Timestamp>,
    now: Timestamp,
}

impl LastResort {
    /// Nothing is known but what is remembered, and how long ago that was written.
    pub fn new(mut config: Config, memory: Option<(Memory, Duration)>, now: Timestamp) -> Self {
        for service in &mut config.services {
            service.probe.interval = NEVER;
            // One answer is enough to stay, and all must fail for a verdict.
            service.probe.rise = 1;
            service.probe.fall = BURST;
        }
        let rounds = config
            .prefixes
            .iter()
            .map(|prefix| match prefix.last_site {
                LastSite::Hold(Race { round, .. }) => Some(round),
                LastSite::Allow | LastSite::Unwitnessed => None,
            })
            .collect();
        let mut engine = Engine::new(config, now);
        if let Some((memory, ago)) = memory {
            engine.recall(memory, ago);
        }
        // Nobody looks through any hook.
        engine.forget_hooks();
        Self {
            engine,
            asked: false,
            rounds,
            degraded: BTreeMap::new(),
            now,
        }
    }

    /// Takes what became known at `now`.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        self.now = self.now.max(now);
        self.engine.handle(input, now);
    }

    /// Has every service asked. To be called once, when all else is known and all commands
    /// are taken.
    pub fn ask(&mut self, now: Timestamp) {
        self.asked = true;
        self.engine.launch_all(now);
    }

    /// Takes the next command, oldest first.
    pub fn next_command(&mut self) -> Option<Command> {
        while let Some(command) = self.engine.next_command() {
            match &command {
                Command::SetLevel {
                    prefix,
                    level,
                    reason,
                } if is_proven(reason) => {
                    let round = self.rounds.get(prefix.0 as usize).copied().flatten();
                    if let (Level::Degraded, Some(round)) = (level, round) {
                        // Once more as long, for the change itself.
                        let until = self.now.after(round.saturating_mul(2));
                        self.degraded.insert(*prefix, until);
                    }
                    return Some(command);
                }
                Command::Record(Event::Held { reason, .. }) if !is_proven(reason) => {}
                Command::Record(_) => return Some(command),
                // The engine's own rhythm is not wanted here.
                Command::Probe { .. } if self.asked => return Some(command),
                Command::SetLevel { .. }
                | Command::Probe { .. }
                | Command::SetDeadline { .. }
                | Command::CollectEvidence { .. }
                | Command::CheckSensor => {}
            }
        }
        None
    }

    /// When a prefix that was degraded here may be withdrawn, since the other sites have
    /// heard of it; then it wants an [`Input::Wake`]. None when all is decided.
    pub fn waits_until(&self) -> Option<Timestamp> {
        let prefixes = self.engine.prefixes();
        let waiting = self.degraded.iter().filter_map(|(prefix, until)| {
            let left = prefixes.get(prefix.0 as usize)?.hold_left?;
            // What is held for another reason, such as the budget, is not waited for.
            Some(self.now.after(left)).filter(|due| due <= until)
        });
        waiting.min()
    }
}

/// Whether it is what this is for: a lowering because the probes fail.
fn is_proven(reason: &Reason) -> bool {
    match reason.cause {
        Cause::Probe => true,
        Cause::LiveTrials
        | Cause::FirstAnnouncement
        | Cause::Recovered
        | Cause::Retry
        | Cause::Canary
        | Cause::LastSite
        | Cause::Drain
        | Cause::Pin => false,
    }
}
