//! Waits for the disk, so that nobody else has to.

use std::{
    fs::File,
    io,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long the end of the program waits for the disk.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The thread that syncs one file.
#[derive(Debug)]
pub struct Syncer {
    requests: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Syncer {
    /// Starts it; what goes wrong is put into `trouble`.
    pub fn start(file: File, trouble: Arc<Mutex<Option<String>>>) -> io::Result<Self> {
        let (requests, receiver): (_, Receiver<()>) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("lapwing-journal".to_owned())
            .spawn(move || {
                for () in receiver {
                    if let Err(error) = file.sync_data()
                        && let Ok(mut trouble) = trouble.lock()
                    {
                        *trouble = Some(error.to_string());
                    }
                }
            })?;
        Ok(Self { requests, thread })
    }

    /// One waiting request stands for all that was written before it is served. When
    /// dropped, the thread serves what waits and ends.
    pub fn request(&self) {
        match self.requests.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }

    /// Waits for what was requested, but not for ever: a dead disk must not keep
    /// the daemon from ending.
    pub fn finish(self) {
        self.request();
        drop(self.requests);
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        while !self.thread.is_finished() {
            if Instant::now() > deadline {
                tracing::error!("the disk takes too long to keep the journal's last records");
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
