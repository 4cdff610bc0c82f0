//! A thread with a runtime of its own, for work that the daemon's loop must not wait for:
//! probes, since a TLS handshake is a fraction of a millisecond of work and hundreds are
//! made at once when a host dies, in the very moment in which the loop has routes to change;
//! and answers over HTTP, since one about a thousand services takes milliseconds to write.

use core::convert::Infallible;
use std::{io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// Work is handed in by its handle. Ends when dropped, and with it all its work: no program
/// that a probe runs outlives the daemon.
pub struct Workshop {
    name: &'static str,
    runtime: Handle,
    /// Both there until it is dropped.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Workshop {
    /// Starts the thread, by this name.
    pub fn open(name: &'static str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // Nothing is ever sent: the sender's end is the sign.
                let Err(_) = runtime.block_on(stopped);
                // Without waiting for a program whose start hangs on its file system.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            name,
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
            tracing::error!("the thread for {} has panicked", self.name);
        }
    }
}
