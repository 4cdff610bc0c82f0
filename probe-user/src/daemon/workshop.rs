//! The thread on which probes run, with a runtime of its own. A TLS handshake is a
//! fraction of a millisecond of work; when a host dies, hundreds are made at once, in
//! the very moment in which the daemon's loop has routes to change.

use core::convert::Infallible;
use std::{io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// Work is handed in by its handle. Ends when dropped, and with it all probes: no
/// program outlives the daemon that runs it.
pub struct Workshop {
    runtime: Handle,
    /// Both there until it is dropped.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Workshop {
    /// Starts the thread.
    pub fn open() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let thread = thread::Builder::new()
            .name("probes".to_owned())
            .spawn(move || {
                // Nothing is ever sent: the sender's end is the sign.
                let Err(_) = runtime.block_on(stopped);
                // Without waiting for a program whose start hangs on its file system.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            runtime: handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where to spawn.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        self.stop = None;
        let ended = self.thread.take().map(thread::JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("the thread of the probes has panicked");
        }
    }
}
