//! The lab: a small internet in namespaces, with real programs in it.
//!
//! ```text
//!                                  ┌── to-fra1 ──── eth0  fra1   BIRD, nginx, lapwing
//!  clients  eth0 ── to-clients  upstream                  AS 64501, 192.0.2.10
//!  64 networks        AS 64500     └── to-ams1 ──── eth0  ams1   BIRD, nginx (, lapwing)
//!  of two families    BIRD, ECMP                          AS 64501, 2001:db8:a::10
//! ```
//! Every value that a test asserts on has one witness with one clock ([`clock`]):
//! [`capture`] hears BGP on the upstream's own link, [`routes`] hears the kernel's
//! table at the edge, [`lapwing`] reads the daemon's journal, [`load`] counts what
//! clients got.

pub mod bgp;
pub mod bird;
pub mod browser;
pub mod capture;
pub mod clock;
pub mod container;
mod control_group;
pub mod faults;
pub mod flood;
pub mod knot;
pub mod lapwing;
pub mod load;
pub mod netns;
pub mod nginx;
pub mod pair;
pub mod process;
pub mod prometheus;
pub mod raw;
pub mod routes;
pub mod sensor;
pub mod tcp_info;
pub mod terminal;
pub mod topology;
pub mod withdrawal;
pub mod witness;

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Polls until `condition` holds; an error that names it if that takes too long.
pub fn wait_until(
    what: &str,
    timeout: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    while !condition()? {
        if start.elapsed() > timeout {
            bail!("waited {timeout:?} in vain: {what}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
