//! A web server that thinks as long as it is told to before it answers.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;
use lapwing_tests::lab::{netns::Namespace, topology::Family, wait_until};

/// The least: a request comes a little later than its connection.
const LEAST: Duration = Duration::from_millis(10);
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nX-Site: fra1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nslow\n";

/// The running server. It ends when this is dropped.
pub struct Slow {
    delay_ms: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Slow {
    /// Serves both addresses of a node at port 80, promptly at first.
    pub fn start(node: &Namespace) -> Result<Self> {
        let mut listeners = Vec::new();
        // The server that was killed before may hold its sockets for a moment.
        wait_until("the addresses are free", Duration::from_secs(5), || {
            listeners = node.inside(|| Family::ALL.into_iter().filter_map(listen).collect())?;
            Ok(listeners.len() == Family::ALL.len())
        })?;
        let delay_ms = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (delay, stopped) = (Arc::clone(&delay_ms), Arc::clone(&stop));
        let thread = node.network_thread("slow", move || serve(&listeners, &delay, &stopped))?;
        Ok(Self {
            delay_ms,
            stop,
            thread: Some(thread),
        })
    }

    /// So long it thinks about what comes from now on.
    pub fn set_delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.delay_ms.store(millis, Ordering::Relaxed);
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(family: Family) -> Option<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::new(family.service(), 80)).ok()?;
    listener.set_nonblocking(true).ok()?;
    Some(listener)
}

fn serve(listeners: &[TcpListener], delay_ms: &AtomicU64, stop: &AtomicBool) -> Result<()> {
    let mut waiting: VecDeque<(Instant, TcpStream)> = VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        let delay = Duration::from_millis(delay_ms.load(Ordering::Relaxed)).max(LEAST);
        for listener in listeners {
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true)?;
                waiting.push_back((Instant::now() + delay, stream));
            }
        }
        // Those that came before the delay was shortened do not hold up later ones.
        let now = Instant::now();
        let (due, later) = waiting.into_iter().partition(|(at, _)| *at <= now);
        waiting = later;
        let due: VecDeque<_> = due;
        for (_, stream) in due {
            answer(stream);
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// A client that has gone gets nothing; that is its matter.
fn answer(mut stream: TcpStream) {
    let mut request = [0; 1024];
    let _ = stream.read(&mut request);
    let _ = stream.write_all(ANSWER);
    let _ = stream.shutdown(Shutdown::Write);
}
