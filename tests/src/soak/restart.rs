//! The daemon is stopped and started again and again while clients come.
//!
//! ```text
//!  clients ══ upstream ──(capture)── fra1   alone in announcing; lapwing: SIGTERM, start, ...
//! ```
//! At the end the clients' own count of connections must be the kernel side's: what
//! came while no daemon ran included.

use std::{fmt, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{RATE, check_journal, footprint::Footprint, settings};
use crate::lab::{
    lapwing::{Lapwing, service_name},
    load::{Interval, Plan},
    topology::{Edge, Family, Lab, Site},
    wait_until,
};

/// Programs that are replaced are freed after a grace period.
const FREED_WITHIN: Duration = Duration::from_secs(10);
/// Progress is told so often.
const TELL: u32 = 50;

/// What a soak went through.
#[derive(Clone, Debug)]
pub struct Outcome {
    cycles: u32,
    connections: u32,
    records: u64,
    footprint: Footprint,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} restarts, {} connections: each counted once, 0 failed, 0 UPDATEs heard, {} journal records whole\n\
             held after the first start and after the last: {:?}",
            self.cycles, self.connections, self.records, self.footprint
        )
    }
}

/// Restarts the daemon so often.
pub fn soak(cycles: u32, mut progress: impl FnMut(u32)) -> Result<Outcome> {
    let lab = Lab::start()?;
    let settings = settings();
    let mut daemon = lab.fra1.lapwing(&settings)?;
    lab.wait_announced(Site::Fra1)?;
    let heard = lab.capture(Site::Fra1)?;
    let first = Footprint::of(&lab.fra1, &daemon)?;
    let load = lab.load(Plan::steady(RATE))?;
    let mut came = Interval::default();
    for cycle in 1..=cycles {
        let status = daemon.stop()?;
        ensure!(status.success(), "stop {cycle}: {status}");
        daemon = Lapwing::start_again(&lab.fra1.node, &settings)?;
        for interval in load.drain() {
            came.add(&interval);
        }
        let events = heard.drain();
        ensure!(
            events.is_empty(),
            "upstream heard of restart {cycle}: {events:?}"
        );
        let mut seen = None;
        wait_until("it holds what the first one held", FREED_WITHIN, || {
            let now = Footprint::of(&lab.fra1, &daemon)?;
            let same = now == first;
            seen = Some(now);
            Ok(same)
        })
        .with_context(|| format!("restart {cycle}: at first {first:?}, now {seen:?}"))?;
        if cycle % TELL == 0 {
            progress(cycle);
        }
    }
    came.add(&load.finish()?);
    ensure!(came.failures() == 0, "clients failed: {came:?}");
    for family in Family::ALL {
        let clients = u64::from(came.answers_of(Site::Fra1, family));
        let mut counted = [0; 2];
        wait_until("the counters are published", Duration::from_secs(5), || {
            counted = counters(&lab.fra1, family)?;
            Ok(counted == [clients; 2])
        })
        .with_context(|| {
            format!(
                "{family}: clients made {clients} connections, SYN and SYN-ACK counted: {counted:?}"
            )
        })?;
    }
    heard.ensure_quiet("the restarts are over")?;
    let records = check_journal(&lab.fra1, &daemon)?;
    Ok(Outcome {
        cycles,
        connections: came.answers(Site::Fra1),
        records,
        footprint: first,
    })
}

/// SYN and SYN-ACK of a service, as the daemon exports them.
pub fn counters(edge: &Edge, family: Family) -> Result<[u64; 2]> {
    let metrics = edge
        .node
        .run("curl", ["-sS", "-m", "2", "http://127.0.0.1:9477/metrics"])?;
    let service = service_name(family);
    let read = |name: &str| -> Result<u64> {
        let line = format!("{name}{{service=\"{service}\"}} ");
        let value = metrics
            .lines()
            .find_map(|text| text.strip_prefix(&line))
            .with_context(|| format!("no {line}in the metrics"))?;
        Ok(value.trim().parse()?)
    };
    Ok([
        read("lapwing_tcp_syn_total")?,
        read("lapwing_tcp_synack_total")?,
    ])
}
