//! Two sites whose services die at the same instant, again and again.
//!
//! ```text
//!  SIGKILL nginx ─┬▶ fra1  lapwing ─▶ table 4242 ─┐
//!                 └▶ ams1  lapwing ─▶ table 4242 ─┴▶ never empty at both, by the kernels' events
//! ```

use std::{collections::BTreeMap, fmt, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use probe_core::Timestamp;

use crate::lab::{
    bird::Form,
    clock,
    lapwing::Settings,
    load::Plan,
    routes::RouteEvent,
    topology::{Family, Lab, Site},
    withdrawal::Sample,
    witness::{level, wait_heard, wait_level},
};

const SOON: Duration = Duration::from_secs(10);
/// As long as `witness_round` by default.
const ROUND: Duration = Duration::from_secs(1);

/// What came of the races: none of them left both sites out.
#[derive(Clone, Debug)]
pub struct Outcome {
    races: usize,
    goes_first: Option<Site>,
    /// Milliseconds between the first changes of the two sites.
    apart: Sample,
    /// Withdraws of one of the two.
    withdrawn: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.goes_first {
            Some(site) => format!("{site} goes first"),
            None => "both wait".to_owned(),
        };
        write!(
            f,
            "{} races, {order}; the sites' first changes {:.1} ms apart in the median, {:.1} at most: never both out; {} withdraws of one of the two",
            self.races,
            self.apart.median(),
            self.apart.max(),
            self.withdrawn,
        )
    }
}

/// So many races; in all of them this site goes first, if any. `progress` is told how many
/// are done.
pub fn soak(races: usize, goes_first: Option<Site>, progress: impl Fn(usize)) -> Result<Outcome> {
    let mut lab = Lab::start_witnessed(Form::Standalone)?;
    let settings = Settings {
        hold: ROUND,
        hold_max: ROUND,
        lowerings_per_hour: 1_000_000,
        goes_first,
        witnessed: true,
        // Probes alone decide, within a second or two.
        ..Settings::fast()
    };
    let mut daemons = BTreeMap::new();
    for site in Site::ALL {
        daemons.insert(site, lab.edge(site).lapwing(&settings)?);
    }
    let _load = lab.load(Plan::steady(1000))?;
    let mut withdrawn = 0;
    let mut apart = Vec::new();
    for race in 1..=races {
        for site in Site::ALL {
            let edge = lab.edge(site);
            wait_level(&daemons[&site], edge, "full")?;
            daemons[&site].wait_armed(&edge.node, Duration::from_mins(1))?;
            wait_heard(&daemons[&site], edge, level("full"))?;
        }
        let watches = Site::ALL.map(|site| (site, lab.edge(site).watch_routes()));
        let first = lab.fra1.nginx.kill()?;
        lab.ams1.nginx.kill()?;
        for (site, daemon) in &mut daemons {
            daemon
                .journal()
                .wait(SOON, |record| {
                    Ok(record.is_some_and(|record| {
                        record.event() == "decision" && record.text("level") != "full"
                    }))
                })
                .with_context(|| format!("{site} does nothing"))?;
        }
        thread::sleep(ROUND * 5 / 2);
        let mut events = BTreeMap::new();
        for (site, watch) in watches {
            events.insert(site, watch?.drain());
        }
        let firsts: Vec<Timestamp> = events
            .values()
            .filter_map(|events| events.first().map(|event| event.at))
            .collect();
        let [fra1, ams1] = firsts[..] else {
            anyhow::bail!("a site did nothing: {events:?}");
        };
        apart.push(fra1.since(ams1).max(ams1.since(fra1)).as_secs_f64() * 1e3);
        let dark = longest_dark(&events);
        ensure!(
            dark == Duration::ZERO,
            "race {race}, {:.1} ms after the fault: both out for {dark:?}: {events:?}",
            clock::millis_between(first, clock::now())
        );
        withdrawn += events
            .values()
            .flatten()
            .filter(|event| !event.present)
            .count();
        lab.fra1.nginx.start_again(&lab.fra1.node)?;
        lab.ams1.nginx.start_again(&lab.ams1.node)?;
        progress(race);
    }
    Ok(Outcome {
        races,
        goes_first,
        apart: Sample::new(apart),
        withdrawn,
    })
}

/// For how long a family was out at both sites at once, by the kernels' own events.
fn longest_dark(events: &BTreeMap<Site, Vec<RouteEvent>>) -> Duration {
    let mut all: Vec<(Timestamp, Site, RouteEvent)> = events
        .iter()
        .flat_map(|(site, events)| events.iter().map(|event| (event.at, *site, *event)))
        .collect();
    all.sort_by_key(|(at, ..)| *at);
    let mut longest = Duration::ZERO;
    for family in Family::ALL {
        let mut out: BTreeMap<Site, Timestamp> = BTreeMap::new();
        for (at, site, event) in &all {
            if event.prefix != family.network() {
                continue;
            }
            if !event.present {
                out.insert(*site, *at);
            } else if out.len() == Site::ALL.len() {
                let since = out.values().max().copied().unwrap_or(*at);
                longest = longest.max(at.since(since));
                out.remove(site);
            } else {
                out.remove(site);
            }
        }
        if out.len() == Site::ALL.len() {
            return Duration::MAX;
        }
    }
    longest
}
