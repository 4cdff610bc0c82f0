//! Resolvers: queries at a constant rate from all client networks, whatever the
//! server does. What flows out: how many were sent, and how many answered.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;
use lapwing_tests::lab::{
    netns::Namespace,
    topology::{Family, client_addresses},
};

/// Running resolvers. They stop when this is dropped.
pub struct Resolvers {
    counts: Arc<[AtomicU32; 2]>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Resolvers {
    /// So many queries per second to each family's address.
    pub fn start(node: &Namespace, per_second: u32) -> Result<Self> {
        let counts = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let stop = Arc::new(AtomicBool::new(false));
        let (counted, stopped) = (Arc::clone(&counts), Arc::clone(&stop));
        let thread =
            node.network_thread("resolvers", move || ask(per_second, &counted, &stopped))?;
        Ok(Self {
            counts,
            stop,
            thread: Some(thread),
        })
    }

    /// The part of the queries of this time that is answered, in percent.
    pub fn answered_percent(&self, time: Duration) -> u32 {
        let read = || {
            let [sent, answered] = &*self.counts;
            (
                sent.load(Ordering::Relaxed),
                answered.load(Ordering::Relaxed),
            )
        };
        let before = read();
        thread::sleep(time);
        let now = read();
        (now.1 - before.1) * 100 / (now.0 - before.0).max(1)
    }
}

impl Drop for Resolvers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ask(per_second: u32, counts: &[AtomicU32; 2], stop: &AtomicBool) -> Result<()> {
    let mut sockets = Vec::new();
    for client in 0..usize::from(lapwing_tests::lab::topology::CLIENT_NETWORKS) {
        for family in Family::ALL {
            let socket = UdpSocket::bind(SocketAddr::new(client_addresses(family)[client], 0))?;
            socket.connect(SocketAddr::new(family.service(), 53))?;
            socket.set_nonblocking(true)?;
            sockets.push(socket);
        }
    }
    let begin = Instant::now();
    let mut asked: u32 = 0;
    let mut answer = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        let due = (begin.elapsed().as_secs_f64() * f64::from(2 * per_second)) as u32;
        while asked < due {
            let socket = &sockets[asked as usize % sockets.len()];
            // A refused query before this one is reported here; that is its loss.
            let _ = socket.send(&query(asked as u16, "www.example"));
            asked += 1;
            counts[0].fetch_add(1, Ordering::Relaxed);
        }
        for socket in &sockets {
            while socket.recv(&mut answer).is_ok() {
                counts[1].fetch_add(1, Ordering::Relaxed);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// RFC 1035 section 4: a header, and a question for an address.
pub fn query(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}
