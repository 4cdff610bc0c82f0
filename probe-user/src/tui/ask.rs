//! Asking the daemon, on a thread of its own: one that hangs makes no key wait.

use std::{
    path::PathBuf,
    sync::mpsc::Sender,
    thread,
    time::{Duration, Instant},
};

use super::Event;
use crate::{
    control,
    journal::recent::{Decision, KEPT},
    status::Document,
};

/// The longest pause while nobody answers, unless the usual one is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What the daemon told.
#[derive(Clone, Debug)]
pub struct Told {
    /// The state of all.
    pub document: Document,
    /// The newest decisions and holds, oldest first.
    pub decisions: Vec<Decision>,
}

/// Whom to ask, and how often.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The control socket.
    pub control: PathBuf,
    /// The time from one question to the next.
    pub interval: Duration,
}

impl Asking {
    /// Asks until nobody wants the answers.
    pub fn for_ever(self, events: &Sender<Event>) {
        let mut failures = 0;
        loop {
            let asked = Instant::now();
            let answer = self.once();
            failures = if answer.is_ok() { 0 } else { failures + 1 };
            if events.send(Event::Answer(answer.map(Box::new))).is_err() {
                return;
            }
            let due = pause(self.interval, failures);
            thread::sleep(due.saturating_sub(asked.elapsed()));
        }
    }

    fn once(&self) -> Result<Told, control::Error> {
        let (_, document) = control::status(&self.control)?;
        let decisions = control::decisions(&self.control, KEPT)?;
        Ok(Told {
            document,
            decisions,
        })
    }
}

/// The time from one question to the next; twice as long with each failure in a row.
fn pause(interval: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    interval
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE.max(interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_is_asked_less_often() {
        let pauses = |interval: u64| {
            let interval = Duration::from_millis(interval);
            [0, 1, 2, 3, 4, 5, u32::MAX].map(|failures| pause(interval, failures).as_millis())
        };
        assert_eq!(pauses(1000), [1000, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(pauses(15_000), [15_000; 7]);
    }
}
