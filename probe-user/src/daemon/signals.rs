//! The signals that reach the loop.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Stop in order; which signal asked for it.
    Stop(&'static str),
    /// SIGHUP.
    Hangup,
}

/// The signals the daemon listens to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on.
    pub fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.terminate.recv() => Received::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Received::Stop("SIGINT"),
            _ = self.hangup.recv() => Received::Hangup,
        }
    }
}
