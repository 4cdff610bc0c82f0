//! One measured withdrawal: a fresh daemon, a fault, and when each witness saw what.
//!
//! ```text
//! fresh daemon ─▶ announced ─▶ armed, rate known ─▶ FAULT ─▶ decision ─▶ kernel ─▶ heard ─▶ healed
//! ```
//! Each run starts from nothing (no state, no route), so that holds that grow with
//! flaps, and what an earlier run taught, are in no figure.

use std::{fs, io, thread, time::Duration};

use anyhow::{Context as _, Result, bail};
use probe_core::Timestamp;

use super::{
    clock::millis_between,
    faults::Direction,
    lapwing::{Record, Settings},
    topology::{Edge, Family, Lab, Site},
};

/// At 50 connections per second a detector arms after some seconds.
const PATIENT: Duration = Duration::from_mins(1);

/// What goes wrong at the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server is killed: connections are refused.
    Refused,
    /// The service's packets vanish on the outer interface.
    Silent(Direction),
    /// No fault: the route is deleted by hand, without any daemon.
    RouteDelete,
}

impl Fault {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Silent(Direction::Inward) => "silent, inward",
            Self::Silent(Direction::Outward) => "silent, outward",
            Self::RouteDelete => "bare route delete",
        }
    }

    /// Makes it happen. Returns the moment just before.
    pub fn inject(self, edge: &mut Edge) -> Result<Timestamp> {
        match self {
            Self::Refused => edge.nginx.kill(),
            Self::Silent(direction) => edge.drop_outside(direction),
            Self::RouteDelete => edge.delete_routes(),
        }
    }

    /// Ends it.
    pub fn heal(self, edge: &mut Edge) -> Result<()> {
        match self {
            Self::Refused => edge.nginx.start_again(&edge.node).map(drop),
            Self::Silent(_) => edge.heal_outside().map(drop),
            Self::RouteDelete => Ok(()),
        }
    }
}

/// The times of one family's withdrawal.
#[derive(Clone, Debug)]
pub struct Withdrawal {
    /// Which prefix.
    pub family: Family,
    /// Just before the fault.
    pub fault: Timestamp,
    /// The daemon's decision; none for a bare route delete.
    pub decision: Option<Record>,
    /// The kernel's table lost the route.
    pub kernel: Timestamp,
    /// The withdraw arrived on the upstream's link.
    pub heard: Timestamp,
}

impl Withdrawal {
    /// Fault to withdraw heard upstream.
    pub fn millis(&self) -> f64 {
        millis_between(self.fault, self.heard)
    }
}

/// One fault at fra1 and its withdrawals, IPv4 first. Clients must be running, and
/// ams1 announced. Afterwards the fault is healed and fra1 is not announced.
pub fn measure(lab: &mut Lab, fault: Fault, settings: &Settings) -> Result<Vec<Withdrawal>> {
    clear_state(&lab.fra1)?;
    let daemon = match fault {
        Fault::RouteDelete => {
            lab.announce(Site::Fra1)?;
            None
        }
        Fault::Refused | Fault::Silent(_) => {
            let daemon = lab.fra1.lapwing(settings)?;
            lab.wait_announced(Site::Fra1)?;
            if fault == Fault::Refused {
                daemon.wait_armed(&lab.fra1.node, PATIENT)?;
            } else {
                daemon.wait_ready(&lab.fra1.node, PATIENT)?;
            }
            Some(daemon)
        }
    };
    // No run in step with the daemon's seconds.
    thread::sleep(Duration::from_millis(rand_millis()));
    let mut journal = daemon
        .as_ref()
        .map(super::lapwing::Lapwing::follow)
        .transpose()?;
    let heard = lab.capture(Site::Fra1)?;
    let routes = lab.fra1.watch_routes()?;
    let at = fault.inject(&mut lab.fra1)?;

    let changes = Family::withdraws();
    let times = heard
        .wait_for_all(&changes, Duration::from_secs(15))
        .with_context(|| {
            let log = daemon.as_ref().map(super::lapwing::Lapwing::log_tail);
            format!(
                "{}; lapwing says:\n{}",
                fault.name(),
                log.unwrap_or_default()
            )
        });
    let healed = fault.heal(&mut lab.fra1);
    let times = times?;
    healed?;

    let decisions = match &mut journal {
        Some(journal) => journal.wait_decisions("withdrawn", Duration::from_secs(2))?,
        None => Vec::new(),
    };
    let gone = routes.drain();
    let mut withdrawals = Vec::new();
    for (family, heard) in Family::ALL.into_iter().zip(times) {
        let Some(kernel) = gone
            .iter()
            .find(|event| event.prefix == family.network() && !event.present)
        else {
            bail!("{family}: the withdraw was heard, but no route was deleted: {gone:?}");
        };
        let decision = decisions
            .iter()
            .find(|record| record.decides(family, "withdrawn"))
            .cloned();
        withdrawals.push(Withdrawal {
            family,
            fault: at,
            decision,
            kernel: kernel.at,
            heard,
        });
    }
    if let Some(daemon) = daemon {
        daemon.kill()?;
    }
    clear_state(&lab.fra1)?;
    Ok(withdrawals)
}

/// No route, and nothing that a daemon has learned.
pub fn clear_state(edge: &Edge) -> Result<()> {
    for family in Family::ALL {
        if !edge.routes(family)?.trim().is_empty() {
            edge.delete_routes()?;
            break;
        }
    }
    match fs::remove_dir_all(edge.node.path("/run/lapwing")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Less than a second, different each time.
fn rand_millis() -> u64 {
    super::clock::now().as_nanos() / 1000 % 977
}

/// Order statistics of a few measurements.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    /// Takes the measurements.
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { sorted: values }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The smallest value that at least `percent` of the values do not exceed; NaN of
    /// none.
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    /// The median.
    pub fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// How many are larger than `limit`.
    pub fn above(&self, limit: f64) -> usize {
        self.sorted.len() - self.sorted.partition_point(|value| *value <= limit)
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.percentile(100)
    }
}

#[cfg(test)]
mod tests {
    use super::Sample;

    #[test]
    fn percentiles_are_values_of_the_sample() {
        let sample = Sample::new(vec![4.0, 1.0, 3.0, 2.0]);
        for (percent, expected) in [
            (1, 1.0),
            (25, 1.0),
            (50, 2.0),
            (51, 3.0),
            (99, 4.0),
            (100, 4.0),
        ] {
            assert!(
                (sample.percentile(percent) - expected).abs() < 1e-12,
                "{percent}"
            );
        }
        assert!(Sample::default().median().is_nan());
    }
}
