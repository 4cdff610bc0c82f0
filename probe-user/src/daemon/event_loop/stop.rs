//! The end of the loop, in order: routes, journal, what was learned.
//!
//! ```text
//! stop, restart, upgrade ─▶ `on_exit`: routes stay, or are withdrawn
//! the machine goes down ──▶ degraded ── longest `drain` ──▶ withdrawn
//! ```
//!
//! A machine that goes down takes its services with it, whatever `on_exit`, a pin or a
//! freeze says of the daemon. Only the service manager knows that it does; the unit tells by
//! a file beside the control socket before it ends the daemon.

use std::time::Duration;

use probe_core::{
    Level,
    config::{Mode, PrefixId},
};

use super::{Daemon, Done, log};
use crate::{config::OnExit, datapath, journal::record::Record};

/// Level changes that are under way may take this long when the daemon stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);
/// A machine that goes down does not wait longer for its clients; the unit's
/// `TimeoutStopSec` is longer than this and what follows it.
const LONGEST_DRAIN: Duration = Duration::from_secs(30);
/// Stands in the directory of the control socket while the machine goes down.
const SHUTDOWN: &str = "shutdown";

/// What is done with the routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    Keep,
    Withdraw,
    Drain,
}

impl Leave {
    fn of(mode: Mode, on_exit: OnExit, shutdown: bool) -> Self {
        match (mode, on_exit, shutdown) {
            (Mode::Observe, _, _) | (Mode::Enforce, OnExit::Keep, false) => Self::Keep,
            (Mode::Enforce, OnExit::Withdraw, false) => Self::Withdraw,
            (Mode::Enforce, OnExit::Keep | OnExit::Withdraw, true) => Self::Drain,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Withdraw => "withdraw",
            Self::Drain => "drain",
        }
    }
}

impl Daemon {
    /// Ends in order: level changes under way, the exit's own, the journal.
    pub(super) async fn stop(mut self) {
        self.supervisor.stopping();
        let daemon = &self.settings.daemon;
        let shutdown = daemon.control.with_file_name(SHUTDOWN).exists();
        let leave = Leave::of(self.settings.core.mode, daemon.on_exit, shutdown);
        match leave {
            Leave::Keep => {}
            Leave::Withdraw => self.actor.withdraw_all(),
            Leave::Drain => {
                self.drain_all().await;
                self.actor.withdraw_all();
            }
        }
        self.finish_sets().await;
        let stopped = Record::Stopped {
            on_exit: leave.name(),
        };
        self.actor.record(datapath::now(), stopped);
        for (at, record) in self.actor.take_records(usize::MAX) {
            log::log(&record);
            self.journal.append(at, &record);
        }
        let saved = self.keeper.save(&self.engine, &self.datapath);
        match tokio::time::timeout(STOP_TIMEOUT, saved).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("the next start will know nothing: {error:#}"),
            Err(_) => tracing::error!("the next start will know nothing: the disk does not answer"),
        }
        self.journal.close();
    }

    /// Degrades what is full, and waits for clients to go elsewhere.
    async fn drain_all(&mut self) {
        let full: Vec<PrefixId> = self
            .engine
            .prefixes()
            .iter()
            .filter(|status| status.observed == Some(Level::Full))
            .map(|status| status.prefix)
            .collect();
        for prefix in &full {
            self.actor.degrade(*prefix);
        }
        self.finish_sets().await;
        let prefixes = &self.settings.core.prefixes;
        let drain = full
            .iter()
            .filter_map(|prefix| Some(prefixes.get(prefix.0 as usize)?.drain))
            .max()
            .unwrap_or_default()
            .min(LONGEST_DRAIN);
        tracing::info!(
            "the machine goes down: {} prefixes are degraded for {}, then withdrawn",
            full.len(),
            humantime::format_duration(drain)
        );
        tokio::time::sleep(drain).await;
    }

    async fn finish_sets(&mut self) {
        let finished = async {
            while self.actor.sets_under_way() > 0 {
                match self.inbox.next_done().await {
                    Some(Done::Set(done)) => self.actor.finish_set(done, &mut self.view),
                    Some(Done::Probe(_) | Done::Read(_)) => {}
                    None => return,
                }
            }
        };
        if tokio::time::timeout(STOP_TIMEOUT, finished).await.is_err() {
            tracing::error!("stopping with level changes that the kernel has not acknowledged");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_machine_that_goes_down_outranks_on_exit_and_nothing_outranks_observe() {
        use OnExit::{Keep, Withdraw};
        for (mode, on_exit, shutdown, expected) in [
            (Mode::Enforce, Keep, false, Leave::Keep),
            (Mode::Enforce, Withdraw, false, Leave::Withdraw),
            (Mode::Enforce, Keep, true, Leave::Drain),
            (Mode::Enforce, Withdraw, true, Leave::Drain),
            (Mode::Observe, Withdraw, false, Leave::Keep),
            (Mode::Observe, Withdraw, true, Leave::Keep),
        ] {
            let case = format!("{mode:?} {on_exit:?} {shutdown}");
            assert_eq!(Leave::of(mode, on_exit, shutdown), expected, "{case}");
        }
    }
}
