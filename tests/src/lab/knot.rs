//! A real name server (Knot DNS) on the service's addresses.

use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use super::{
    netns::{Namespace, Process},
    topology::Family,
    wait_until,
};

const CONFIG: &str = "/run/lab/knot.conf";

/// A zone that is served: its www has an address.
pub const ZONE: &str = "example";
/// A zone whose file is missing: SERVFAIL.
pub const BROKEN_ZONE: &str = "broken.test";

/// The name server.
pub struct Knot {
    process: Process,
}

impl Knot {
    /// Starts it and waits until it listens on both addresses.
    pub fn start(node: &Namespace) -> Result<Self> {
        Self::start_with(node, "")
    }

    /// As [`start`](Self::start), answering each network at most so often per second
    /// and else not at all (response rate limiting).
    pub fn start_limited(node: &Namespace, per_second: u32) -> Result<Self> {
        Self::start_with(
            node,
            &format!(
                "mod-rrl:\n  - id: limit\n    rate-limit: {per_second}\n    slip: 0\n\
                 template:\n  - id: default\n    global-module: mod-rrl/limit\n"
            ),
        )
    }

    fn start_with(node: &Namespace, modules: &str) -> Result<Self> {
        node.write(CONFIG, &config(modules))?;
        node.write(
            "/run/lab/example.zone",
            "example. 300 SOA ns.example. admin.example. 1 3600 600 86400 300\n\
             example. 300 NS ns.example.\n\
             ns.example. 300 A 192.0.2.10\n\
             www.example. 300 A 192.0.2.80\n",
        )?;
        let mut command = Command::new("knotd");
        command.args(["-c", CONFIG]);
        let process = node.spawn("knotd", command)?;
        wait_until("knotd listens", Duration::from_secs(10), || {
            if let Some(status) = process.exited()? {
                bail!("knotd ended ({status}): {}", process.log_tail());
            }
            node.inside(|| {
                Family::ALL.iter().all(|family| {
                    let address = SocketAddr::new(family.service(), 53);
                    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
                })
            })
        })?;
        Ok(Self { process })
    }

    /// Freezes it: queries are taken and never answered.
    pub fn freeze(&self) -> Result<()> {
        self.process.signal_group(Signal::SIGSTOP)
    }

    /// Ends [`freeze`](Self::freeze).
    pub fn thaw(&self) -> Result<()> {
        self.process.signal_group(Signal::SIGCONT)
    }

    /// Kills it.
    pub fn kill(self) -> Result<()> {
        self.process.signal(Signal::SIGKILL)?;
        self.process.wait(Duration::from_secs(5)).map(drop)
    }
}

/// A query for an address (RFC 1035 section 4). Labels are shorter than 64 bytes.
pub fn query(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

fn config(modules: &str) -> String {
    let listen = Family::ALL
        .iter()
        .map(|family| format!("    listen: {}@53\n", family.service()))
        .collect::<Vec<_>>()
        .concat();
    format!(
        "server:\n    rundir: /run/lab\n    user: root:root\n{listen}    udp-workers: 1\n    \
         tcp-workers: 1\n    background-workers: 1\n\
         log:\n  - target: stderr\n    any: error\n\
         database:\n    storage: /run/lab\n\
         {modules}\
         zone:\n  - domain: {ZONE}\n    file: /run/lab/example.zone\n    zonefile-sync: -1\n    \
         journal-content: none\n\
         \x20 - domain: {BROKEN_ZONE}\n    file: /run/lab/missing.zone\n    journal-content: none\n"
    )
}
