//! Hooks that somebody takes away while clients come. It looks like a dead service:
//! replies are no longer seen, and successes fall. It must withdraw nothing.
//!
//! ```text
//!  clients ── upstream ──(capture)── fra1   eth0: a hook is detached by force
//!                 └───────────────── ams1
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    lapwing::Settings,
    load::Plan,
    topology::{Lab, Site},
};
use probe_common::ABI_VERSION;

/// Until the services are armed, the rate is learned, and `settle` has passed.
const LEARNED: Duration = Duration::from_secs(7);

#[test]
fn hook_taken_away_under_traffic_withdraws_nothing_and_comes_back() -> Result<()> {
    let lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let _load = lab.load(Plan::steady(500))?;
    let mut daemon = lab.fra1.lapwing(&Settings::fast())?;
    lab.wait_announced(Site::Fra1)?;
    for pin in ["eth0-egress-tcx", "eth0-ingress-native"] {
        daemon.wait_armed(&lab.fra1.node, Duration::from_secs(30))?;
        std::thread::sleep(LEARNED);
        let heard = lab.capture(Site::Fra1)?;
        daemon.journal().read()?;

        let path = format!("/sys/fs/bpf/lapwing/v{ABI_VERSION}/links/{pin}");
        lab.fra1
            .node
            .run("bpftool", ["link", "detach", "pinned", path.as_str()])?;
        let mut blind = false;
        let mut attached = false;
        daemon.journal().wait(Duration::from_secs(5), |record| {
            if let Some(record) = record {
                blind |= record.event() == "blind";
                attached |= record.event() == "attached";
            }
            Ok(blind && attached)
        })?;
        std::thread::sleep(Duration::from_secs(2));
        let events = heard.drain();
        ensure!(
            events.is_empty(),
            "{pin} detached: upstream heard {events:?}"
        );
    }
    Ok(())
}
