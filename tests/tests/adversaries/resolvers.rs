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
    knot::query,
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
    let [v4, v6] = Family::ALL.map(client_addresses);
    // Families in turn, each going through its client networks.
    for client in v4.into_iter().zip(v6).flat_map(<[_; 2]>::from) {
        let socket = UdpSocket::bind(SocketAddr::new(client, 0))?;
        socket.connect(SocketAddr::new(Family::of(client).service(), 53))?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    let begin = Instant::now();
    let mut sockets_in_turn = (0..sockets.len()).cycle();
    let mut id = 0_u16;
    let mut asked = 0_u64;
    let mut answer = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        let due = begin.elapsed().as_secs_f64() * f64::from(2 * per_second);
        while (asked as f64) < due {
            asked += 1;
            id = id.wrapping_add(1);
            let Some(turn) = sockets_in_turn.next() else {
                break;
            };
            // That the query before was refused is reported here; it is that one's loss.
            let _ = sockets[turn].send(&query(id, "www.example"));
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
