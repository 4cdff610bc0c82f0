//! Logs: tracing events flow in, compact lines on stderr flow out.
//!
//! The lines are written by a thread of their own: a stalled journald or a full
//! pipe must never hold up a decision. When that thread falls too far behind,
//! lines are dropped and their number is told.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::colours;

/// The records of the eBPF programs carry the name of their crate.
const KERNEL_SIDE: &str = "probe_ebpf=debug";

/// Lines that may wait for a slow stderr.
const WAITING_LINES: usize = 8192;
/// How long the last lines may take when the program ends.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Starts logging to stderr. `LAPWING_LOG`, else `RUST_LOG`, chooses what is
/// logged, in tracing's filter syntax; the default is `info`. With `trace`, what the
/// kernel side logs is shown in any case.
///
/// Drop the guard last: it waits for the lines that are still on their way.
pub fn start(trace: bool) -> Guard {
    let filter = ["LAPWING_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().map(|value| (name, value)));
    let (filter, complaint) = match filter {
        None => (EnvFilter::new("info"), None),
        Some((name, value)) => match EnvFilter::try_new(&value) {
            Ok(filter) => (filter, None),
            Err(error) => (
                EnvFilter::new("info"),
                Some(format!("{name}={value} is not a log filter ({error})")),
            ),
        },
    };
    let filter = if trace {
        filter.add_directive(KERNEL_SIDE.parse().expect("a directive in the right form"))
    } else {
        filter
    };
    let (sender, receiver) = sync_channel(WAITING_LINES);
    let queue = Queue {
        sender,
        dropped: Arc::default(),
    };
    let guard = Guard {
        queue: queue.clone(),
    };
    let dropped = Arc::clone(&queue.dropped);
    // Without the thread nothing could be logged; then stderr is not ours to save.
    let started = thread::Builder::new()
        .name("lapwing-log".to_owned())
        .spawn(move || write_lines(&receiver, &dropped));
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_ansi(colours::wanted_on(&io::stderr()))
        .with_writer(queue)
        .init();
    if let Err(error) = started {
        eprintln!("lapwing: cannot start the log thread: {error}");
    }
    if let Some(complaint) = complaint {
        tracing::warn!("{complaint}; logging at info");
    }
    guard
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

fn write_lines(receiver: &Receiver<Message>, dropped: &AtomicU64) {
    let mut stderr = io::stderr();
    // A stderr that cannot be written to has nobody to tell.
    for message in receiver {
        match message {
            Message::Line(line) => {
                let _ = stderr.write_all(&line);
                let lost = dropped.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    let _ = writeln!(stderr, "{lost} log lines were dropped: stderr is too slow");
                }
            }
            Message::Flush(done) => {
                let _ = stderr.flush();
                let _ = done.send(());
            }
        }
    }
}

/// Where finished lines go.
#[derive(Clone)]
struct Queue {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line {
            queue: self,
            text: Vec::new(),
        }
    }
}

/// One line while it is formatted; sent when it is dropped.
struct Line<'a> {
    queue: &'a Queue,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let line = Message::Line(std::mem::take(&mut self.text));
        match self.queue.sender.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.queue.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Waits for the last lines when dropped.
pub struct Guard {
    queue: Queue,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (sender, receiver) = sync_channel(1);
        if self.queue.sender.try_send(Message::Flush(sender)).is_ok() {
            let _ = receiver.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}
