//! A network namespace for each test, and what the tests ask of it.
//!
//! Each test runs in a thread that has left the host's network namespace for a
//! fresh one; the announcer's thread and the `ip` processes inherit it.

use std::{
    future::Future,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};
use probe_core::{Level, Timestamp, config::PrefixId};
use probe_user::announce::{Announcer, EVENT_BUFFER_BYTES, Observation, Options};
use tokio::sync::mpsc::Receiver;

pub const V4: PrefixId = PrefixId(0);
pub const V6: PrefixId = PrefixId(1);
pub const NET4: &str = "192.0.2.0/24";
pub const NET6: &str = "2001:db8::/32";
pub const OURS4: &str = "blackhole 192.0.2.0/24 proto 201 metric 32";
pub const OURS6: &str = "blackhole 2001:db8::/32 dev lo proto 201 metric 32 pref medium";
pub const DEGRADED4: &str = "blackhole 192.0.2.0/24 proto 202 metric 32";
pub const DEGRADED6: &str = "blackhole 2001:db8::/32 dev lo proto 202 metric 32 pref medium";

/// Runs a test in a network namespace of its own.
pub fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: network namespaces need root");
        return;
    }
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        ip("link set lo up");
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(test());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `ip` in this thread's namespace.
pub fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .expect("ip (iproute2) runs");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The routes of our table, both families, sorted.
pub fn table() -> Vec<String> {
    let mut routes: Vec<String> = ["-4", "-6"]
        .iter()
        .flat_map(|family| {
            // A table that never had a route is an error to `ip`.
            let output = Command::new("ip")
                .args([family, "route", "show", "table", "4242"])
                .output()
                .expect("ip (iproute2) runs");
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(|line| line.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    routes.sort();
    routes
}

/// Route control of these prefixes in table 4242.
pub fn options(prefixes: Vec<IpNet>) -> Options {
    Options {
        table: 4242,
        protocol_full: 201,
        protocol_degraded: 202,
        metric: 32,
        event_buffer_bytes: EVENT_BUFFER_BYTES,
        prefixes,
    }
}

pub async fn start() -> (Announcer, Receiver<Observation>) {
    Announcer::start(options(vec![NET4.parse().unwrap(), NET6.parse().unwrap()]))
        .await
        .expect("route control starts")
}

/// What stands against the wanted levels, in words.
pub fn conflicts(announcer: &Announcer) -> Vec<String> {
    let conflicts = announcer.conflicts();
    let standing = conflicts.borrow();
    standing
        .iter()
        .map(|conflict| conflict.sentence.clone())
        .collect()
}

/// Starts, passes over the first observations, and announces both prefixes.
pub async fn start_announced() -> (Announcer, Receiver<Observation>) {
    let (announcer, mut observations) = start().await;
    for prefix in [V4, V6] {
        expect(&mut observations, prefix, Level::Withdrawn).await;
    }
    for prefix in [V4, V6] {
        announcer.set(prefix, Level::Full).await.unwrap();
        expect(&mut observations, prefix, Level::Full).await;
    }
    (announcer, observations)
}

/// The next observation must be this one.
pub async fn expect(
    observations: &mut Receiver<Observation>,
    prefix: PrefixId,
    observed: Level,
) -> Timestamp {
    let observation = tokio::time::timeout(Duration::from_secs(3), observations.recv())
        .await
        .unwrap_or_else(|_| panic!("no observation; expected {prefix:?} {observed}"))
        .expect("the announcer lives");
    assert_eq!(
        (observation.prefix, observation.observed),
        (prefix, observed)
    );
    observation.at
}

pub async fn expect_silence(observations: &mut Receiver<Observation>) {
    let next = tokio::time::timeout(Duration::from_millis(100), observations.recv()).await;
    assert!(next.is_err(), "unexpected {next:?}");
}

/// Waits until `condition` holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(3), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// `ip` with many lines at once.
pub fn ip_batch(lines: &[String]) {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("ip -batch");
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.join("\n").as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
}

/// `ip monitor route`: what an onlooker like BIRD is told.
pub struct Monitor(Child);

impl Monitor {
    pub async fn start() -> Self {
        let monitor = Command::new("ip")
            .args(["monitor", "route"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip monitor");
        let monitor = Self(monitor);
        tokio::time::sleep(Duration::from_millis(100)).await;
        monitor
    }

    /// Ends it and returns what it saw, one line each.
    pub async fn seen(mut self) -> Vec<String> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.0.kill().expect("ip monitor ends");
        let mut seen = String::new();
        self.0
            .stdout
            .as_mut()
            .unwrap()
            .read_to_string(&mut seen)
            .unwrap();
        seen.lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
