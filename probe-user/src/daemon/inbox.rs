//! What other threads tell the loop, by turns.
//!
//! ```text
//! probes, level changes, reload ─▶ done ─────┐
//! the kernel's table ─▶ observed ────────────┼─▶ next ─▶ Delivery: some of one of them
//! operators ─▶ asked ────────────────────────┘
//! ```
//!
//! A thousand services whose probes all fail always have a result ready, and a table that
//! somebody else changes always an observation. So whoever has something waits for at
//! most a few batches of the others: the order in which the sources are looked at is drawn
//! anew each time, and a batch is bounded.

use std::future::pending;

use tokio::sync::mpsc;

use super::Done;
use crate::{announce::Observation, control::Demand};

/// The most that one delivery holds.
const BATCH: usize = 256;

/// The loop's ends of the channels.
pub struct Inbox {
    done: mpsc::Receiver<Done>,
    asked: mpsc::Receiver<Demand>,
    /// None without a table to watch.
    observed: Option<mpsc::Receiver<Observation>>,
}

/// What came, oldest first, at least one.
#[derive(Debug)]
pub enum Delivery {
    /// Ends of what was started.
    Done(Vec<Done>),
    /// What stands in the table.
    Observed(Vec<Observation>),
    /// What an operator wants.
    Asked(Demand),
}

impl Inbox {
    /// Listens to these.
    pub fn new(
        done: mpsc::Receiver<Done>,
        asked: mpsc::Receiver<Demand>,
        observed: Option<mpsc::Receiver<Observation>>,
    ) -> Self {
        Self {
            done,
            asked,
            observed,
        }
    }

    /// Route control runs from now on, and tells its observations here.
    pub fn observe(&mut self, observed: mpsc::Receiver<Observation>) {
        self.observed = Some(observed);
    }

    /// Waits for something. To be given up at any time without loss.
    pub async fn next(&mut self) -> Delivery {
        let observed = async {
            match &mut self.observed {
                Some(observed) => some_of(observed).await,
                None => pending().await,
            }
        };
        tokio::select! {
            Some(done) = some_of(&mut self.done) => Delivery::Done(done),
            Some(observed) = observed => Delivery::Observed(observed),
            Some(asked) = self.asked.recv() => Delivery::Asked(asked),
            else => pending().await,
        }
    }

    /// Waits for ends alone, while the loop itself ends; none if nobody can tell any.
    pub async fn next_done(&mut self) -> Option<Done> {
        self.done.recv().await
    }
}

async fn some_of<T>(receiver: &mut mpsc::Receiver<T>) -> Option<Vec<T>> {
    let mut batch = Vec::new();
    match receiver.recv_many(&mut batch, BATCH).await {
        0 => None,
        _ => Some(batch),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use probe_core::{
        Level, Timestamp,
        config::{PrefixId, ServiceId},
        input::ProbeResult,
    };

    use super::*;

    const PREFIX: PrefixId = PrefixId(0);

    fn result() -> Done {
        Done::Probe(ProbeResult {
            service: ServiceId(0),
            burst: 0,
            took: Duration::ZERO,
            outcome: Ok(()),
        })
    }

    fn observation() -> Observation {
        Observation {
            prefix: PREFIX,
            observed: Level::Full,
            at: Timestamp::default(),
        }
    }

    /// Keeps a channel full.
    fn fill<T>(sender: &mpsc::Sender<T>, of: fn() -> T) {
        while sender.try_send(of()).is_ok() {}
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nobody_who_has_always_something_to_say_keeps_another_from_being_heard() {
        let (results, done) = mpsc::channel(1024);
        let (_orders, asked) = mpsc::channel(1);
        let (table, observed) = mpsc::channel(1024);
        let mut inbox = Inbox::new(done, asked, Some(observed));
        for storm_of_observations in [false, true] {
            let mut heard = 0;
            for _ in 0..1000 {
                if storm_of_observations {
                    fill(&table, observation);
                    let _ = results.try_send(result());
                } else {
                    fill(&results, result);
                    let _ = table.try_send(observation());
                }
                heard += match (inbox.next().await, storm_of_observations) {
                    (Delivery::Observed(batch), false) => batch.len(),
                    (Delivery::Done(batch), true) => batch.len(),
                    (delivery, _) => {
                        assert!(!matches!(delivery, Delivery::Asked(_)));
                        0
                    }
                };
            }
            assert!(
                heard > 100,
                "storm of observations: {storm_of_observations}: {heard}"
            );
            while inbox.next().now_or_never().is_some() {}
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_waits_comes_in_bounded_batches_and_in_its_order() {
        let (_results, done) = mpsc::channel(1);
        let (_orders, asked) = mpsc::channel(1);
        let (table, observed) = mpsc::channel(1024);
        let mut inbox = Inbox::new(done, asked, Some(observed));
        let at = |number: usize| Timestamp::from_nanos(number as u64);
        for number in 0..=BATCH {
            let observation = Observation {
                at: at(number),
                ..observation()
            };
            table.try_send(observation).unwrap();
        }
        let mut times = Vec::new();
        for expected in [BATCH, 1] {
            let Delivery::Observed(batch) = inbox.next().await else {
                panic!("not observed");
            };
            assert_eq!(batch.len(), expected);
            times.extend(batch.into_iter().map(|observation| observation.at));
        }
        assert_eq!(times, (0..=BATCH).map(at).collect::<Vec<_>>());
    }
}
