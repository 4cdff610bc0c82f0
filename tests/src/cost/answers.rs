//! How the daemon answers those who look at it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::lab::{netns::Namespace, withdrawal::Sample};

const HTTP: ([u8; 4], u16) = ([127, 0, 0, 1], 9477);
/// Of each document that is asked for.
const ANSWERS: usize = 20;

/// How a document is answered.
#[derive(Clone, Debug)]
pub struct Answers {
    pub millis: Sample,
    pub bytes: usize,
}

/// Asks for a document again and again.
pub fn answers(node: &Namespace, path: &'static str) -> Result<Answers> {
    let (mut millis, mut bytes) = (Vec::new(), 0);
    for _ in 0..ANSWERS {
        let (took, length) = node.inside(move || get(path))??;
        millis.push(took.as_secs_f64() * 1e3);
        bytes = length;
        // Not in step with the daemon's seconds.
        thread::sleep(Duration::from_millis(270));
    }
    Ok(Answers {
        millis: Sample::new(millis),
        bytes,
    })
}

/// How long a document took, and its length with headers.
fn get(path: &str) -> Result<(Duration, usize)> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(SocketAddr::from(HTTP))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
        HTTP.1
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let took = begin.elapsed();
    ensure!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{path}: {}",
        String::from_utf8_lossy(&answer[..answer.len().min(200)])
    );
    Ok((took, answer.len()))
}

/// Ask for both documents, ten times a second each, until this is dropped.
pub struct Watchers {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Result<()>>>,
}

impl Watchers {
    pub fn start(node: &Namespace) -> Result<Self> {
        let mut watchers = Self {
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
        };
        for path in ["/metrics", "/api/v1/status"] {
            let stopped = Arc::clone(&watchers.stop);
            let ask = move || {
                while !stopped.load(Ordering::Relaxed) {
                    // Before the daemon runs there is no answer.
                    let _ = get(path);
                    thread::sleep(Duration::from_millis(100));
                }
            };
            watchers.threads.push(node.network_thread("watcher", ask)?);
        }
        Ok(watchers)
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
