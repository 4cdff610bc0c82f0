//! What the daemon itself costs: processor time and memory, at rest and under load, and
//! whether those who look at it disturb it.
//!
//! ```text
//!  clients ─▶ upstream ─▶ edge: nginx on every port, lapwing with so many services
//!                              ▲ GET /metrics, GET /api/v1/status, a browser on the page
//! ```

mod answers;
mod page;
mod services;

use std::{collections::BTreeMap, fmt, thread, time::Duration};

use anyhow::Result;

use self::{
    answers::{Answers, Watchers, answers},
    page::Frames,
    services::{PATIENT, ask_each, serve_more, wait_probed},
};
use crate::lab::{
    lapwing::Settings,
    load::Plan,
    process::{cpu_by_thread, resident_mib},
    topology::{Lab, Site},
    withdrawal::{Fault, Sample, Withdrawal, clear_state, measure},
};

/// What was measured with so many services.
#[derive(Clone, Debug)]
pub struct Cost {
    services: u16,
    rates: Vec<Row>,
    metrics: Answers,
    status: Answers,
    frames: Frames,
    /// Faults while nobody looks, and while both documents are asked for all the time.
    withdrawals: [Sample; 2],
}

/// At a rate of new connections a second.
#[derive(Clone, Debug)]
struct Row {
    rate: u32,
    /// Processor time by thread, in milliseconds a second.
    cpu: BTreeMap<String, f64>,
    resident: f64,
    own: f64,
}

/// Measures a daemon with so many services, half of each family, over `span` at each
/// rate, and `faults` withdraws each way.
pub fn measure_daemon(services: u16, rates: &[u32], span: Duration, faults: usize) -> Result<Cost> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let per_family = services / 2 - 1;
    let _servers = serve_more(&lab.fra1.node, per_family)?;
    let settings = Settings {
        more_services: per_family,
        ..Settings::fast()
    };
    let daemon = lab.fra1.lapwing(&settings)?;
    lab.wait_announced(Site::Fra1)?;
    wait_probed(&lab.fra1.node, &daemon)?;
    let mut rows = Vec::new();
    for rate in rates {
        // Half of the clients reach the other site.
        let _load = (*rate > 0)
            .then(|| lab.load(Plan::steady(*rate)))
            .transpose()?;
        thread::sleep(Duration::from_secs(5));
        let cpu = cpu_by_thread(daemon.pid(), span)?;
        let (resident, own) = resident_mib(daemon.pid())?;
        rows.push(Row {
            rate: *rate,
            cpu,
            resident,
            own,
        });
    }
    ask_each(&lab.clients, per_family)?;
    let metrics = answers(&lab.fra1.node, "/metrics")?;
    let status = answers(&lab.fra1.node, "/api/v1/status")?;
    let frames = Frames::measure(&lab.fra1.node, services)?;
    daemon.kill()?;
    clear_state(&lab.fra1)?;
    let load = lab.load(Plan::steady(2000))?;
    load.wait_served_by(&[Site::Ams1], PATIENT)?;
    let mut withdrawals = [Vec::new(), Vec::new()];
    for _ in 0..faults {
        for (watched, millis) in [false, true].into_iter().zip(&mut withdrawals) {
            let _watchers = watched
                .then(|| Watchers::start(&lab.fra1.node))
                .transpose()?;
            let both = measure(&mut lab, Fault::Refused, &settings)?;
            millis.extend(both.iter().map(Withdrawal::millis));
            load.drain();
        }
    }
    Ok(Cost {
        services,
        rates: rows,
        metrics,
        status,
        frames,
        withdrawals: withdrawals.map(Sample::new),
    })
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} services", self.services)?;
        for row in &self.rates {
            let all: f64 = row.cpu.values().sum();
            let threads: Vec<String> = row
                .cpu
                .iter()
                .filter(|(_, millis)| **millis >= 0.1)
                .map(|(name, millis)| format!("{name} {millis:.1}"))
                .collect();
            writeln!(
                f,
                "  {:>5} connects/s: {all:.1} ms of processor time a second ({}); {:.1} MiB resident, {:.1} its own",
                row.rate,
                threads.join(", "),
                row.resident,
                row.own
            )?;
        }
        for (path, answers) in [
            ("/metrics", &self.metrics),
            ("/api/v1/status", &self.status),
        ] {
            writeln!(
                f,
                "  {path}: {:.1} ms median, {:.1} at most, {} bytes",
                answers.millis.median(),
                answers.millis.max(),
                answers.bytes
            )?;
        }
        writeln!(f, "  the page, scrolled: {}", self.frames)?;
        for (who, sample) in ["nobody looks", "both are asked for all the time"]
            .into_iter()
            .zip(&self.withdrawals)
        {
            writeln!(
                f,
                "  refused to the withdraw upstream, {who}: {:.1} ms median, {:.1} at most, n = {}",
                sample.median(),
                sample.max(),
                sample.len()
            )?;
        }
        Ok(())
    }
}
