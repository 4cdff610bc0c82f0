//! A SYN flood: segments with sources that do not exist, as an attacker sends them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    netns::Namespace,
    raw::{RawSocket, Segment, flags},
};

/// Numbers that look random and are the same each time (xorshift64).
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    #[expect(
        clippy::should_implement_trait,
        reason = "numbers without an end are no collection"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// True in `share` of the cases.
    pub fn chance(&mut self, share: f64) -> bool {
        ((self.next() >> 11) as f64) < share * (1_u64 << 53) as f64
    }
}

/// Sends so many SYNs to the service, each from another address and port, from the
/// network in which it is called. Returns when all have been taken by the link.
pub fn syn_flood(service: SocketAddr, count: u32) -> Result<()> {
    let socket = RawSocket::to(service.ip())?;
    let mut random = Random::new(u64::from(service.port()));
    (0..count).try_for_each(|_| socket.send(&syn(service, &mut random)))
}

/// A SYN of a source that nobody has.
pub fn syn(service: SocketAddr, random: &mut Random) -> Vec<u8> {
    let numbers = random.next().to_be_bytes();
    let port = u16::from_be_bytes([0x28 | numbers[0], numbers[1]]);
    let segment = Segment {
        from: SocketAddr::new(nobody(service.ip(), random), port),
        to: service,
        sequence: u32::from_be_bytes([numbers[2], numbers[3], numbers[4], numbers[5]]),
        acknowledgment: 0,
        flags: flags::SYN,
        // The maximum segment size.
        options: &[2, 4, 0x05, 0xb4],
        payload: &[],
    };
    segment.packet()
}

/// Networks in which there is nobody, for [`nobody`].
pub const NOBODY: [&str; 2] = ["10.0.0.0/8", "2001:db8:dead::/48"];

/// An address that nobody has, of the family of `like`.
pub fn nobody(like: IpAddr, random: &mut Random) -> IpAddr {
    let host = random.next().to_be_bytes();
    match like {
        IpAddr::V4(_) => Ipv4Addr::new(10, host[0], host[1], host[2]).into(),
        IpAddr::V6(_) => {
            let mut address = Ipv6Addr::new(0x2001, 0xdb8, 0xdead, 0, 0, 0, 0, 0).octets();
            address[8..].copy_from_slice(&host);
            Ipv6Addr::from(address).into()
        }
    }
}

/// Packets sent at a constant rate by a thread in a node's network, until it is
/// dropped.
pub struct Stream {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Stream {
    /// Sends what `next` makes to `to`, so many per second.
    pub fn start(
        node: &Namespace,
        to: IpAddr,
        per_second: u32,
        mut next: impl FnMut(&mut Random) -> Vec<u8> + Send + 'static,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = node.network_thread("stream", move || {
            let socket = RawSocket::to(to)?;
            let mut random = Random::new(u64::from(per_second));
            let begin = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                let due = begin.elapsed().as_secs_f64() * f64::from(per_second);
                while (counted.load(Ordering::Relaxed) as f64) < due {
                    socket.send(&next(&mut random))?;
                    counted.fetch_add(1, Ordering::Relaxed);
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                }
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        })?;
        Ok(Self {
            stop,
            sent,
            thread: Some(thread),
        })
    }

    /// Ends it; how many packets were sent.
    pub fn finish(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it runs")?;
        thread.join().expect("the stream does not panic")??;
        Ok(self.sent.load(Ordering::Relaxed))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
