//! Accidents on the host: each ends with the route where it belongs, nothing forgotten,
//! and words that say what to do.
//!
//! ```text
//!  clients ══ upstream ──(capture)── fra1   eth0, bpffs or the state directory suffers
//! ```
//!
//! | file | what happens |
//! |---|---|
//! | `interface` | removed and made again, renamed, down and up, put into a bridge |
//! | `pins` | another program on the hook, pins of another version, `attach` and `detach` |
//! | `state` | state directory full, read-only or lost; two daemons; a stale socket |
//!
//! Others have files of their own: hooks taken away (`hooks`), routes that somebody
//! changes (`routes`), the daemon killed (`crash`).

mod interface;
mod pins;
mod state;

use std::time::Duration;

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    bgp::Change,
    capture::Capture,
    lapwing::{Lapwing, Settings},
    load::{Load, Plan},
    topology::{Family, Lab, Site},
    wait_until,
};

/// A busy machine is slow; nothing here is about milliseconds.
const PATIENT: Duration = Duration::from_secs(30);

/// A lab in which fra1 alone announces, its daemon knows its clients, and upstream is
/// listened to.
struct Watched {
    heard: Capture,
    daemon: Lapwing,
    load: Load,
    lab: Lab,
}

impl Watched {
    fn start(settings: &Settings) -> Result<Self> {
        Self::in_lab(Lab::start()?, settings)
    }

    fn in_lab(lab: Lab, settings: &Settings) -> Result<Self> {
        let load = lab.load(Plan::steady(200))?;
        let mut daemon = lab.fra1.lapwing(settings)?;
        lab.wait_announced(Site::Fra1)?;
        daemon.wait_ready(&lab.fra1.node, PATIENT)?;
        let heard = lab.capture(Site::Fra1)?;
        daemon.journal().read()?;
        Ok(Self {
            heard,
            daemon,
            load,
            lab,
        })
    }

    /// Waits until the daemon has lost a hook and has all of them again.
    fn wait_attached_again(&mut self) -> Result<()> {
        let (mut blind, mut attached) = (false, false);
        self.daemon
            .journal()
            .wait(PATIENT, |record| {
                if let Some(record) = record {
                    blind |= record.event() == "blind";
                    attached |= record.event() == "attached";
                }
                Ok(blind && attached)
            })
            .map(drop)
    }

    /// Fails unless nothing was decided since the journal was read last, and both
    /// prefixes are at full.
    fn ensure_untouched(&mut self) -> Result<()> {
        let records = self.daemon.journal().read()?;
        let decided = records.iter().find(|record| record.event() == "decision");
        ensure!(decided.is_none(), "decided: {decided:?}");
        for family in Family::ALL {
            let routes = self.lab.fra1.routes(family)?;
            ensure!(routes.contains("proto 201"), "{family}: {routes:?}");
        }
        Ok(())
    }

    /// Waits until the BGP sessions that an accident has cost are back and have announced
    /// everything. What the upstream has in its table does not tell: until its hold time is
    /// over it may not know that the session is gone.
    fn wait_announced_again(&self) -> Result<()> {
        let announces = Family::ALL.map(|family| Change::Announce(family.network()));
        self.heard.wait_for_all(&announces, PATIENT).map(drop)
    }

    /// Fails if upstream heard a withdraw since it was listened to last. An interface that
    /// changes its name costs the BGP session, which announces again what it announced
    /// before.
    fn ensure_not_withdrawn(&self) -> Result<()> {
        let heard = self.heard.drain();
        let withdrawn = heard
            .iter()
            .find(|heard| matches!(heard.change, Change::Withdraw(_)));
        ensure!(withdrawn.is_none(), "heard {withdrawn:?}");
        Ok(())
    }

    /// Clients are served, and a fault is acted on: the daemon is on duty.
    fn ensure_on_duty(&mut self) -> Result<()> {
        self.load.wait_served_by(&[Site::Fra1], PATIENT)?;
        self.daemon.wait_armed(&self.lab.fra1.node, PATIENT)?;
        self.lab.fra1.nginx.kill()?;
        self.heard.wait_for_all(&Family::withdraws(), PATIENT)?;
        Ok(())
    }

    /// Waits until `lapwing status` says this word somewhere.
    fn wait_told(&self, word: &str) -> Result<()> {
        wait_until(word, PATIENT, || {
            let status = self.daemon.status(&self.lab.fra1.node)?;
            Ok(status.to_string().contains(word))
        })
    }
}
