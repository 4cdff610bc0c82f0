//! Thousands of prefixes at one edge, half of each family, that stand and fall together.
//!
//! ```text
//!  lapwing pin all ─▶ lapwing ─▶ table 4242 at fra1 ─▶ BIRD ─▶ (capture) upstream
//!  ip -batch ──────────────────────▲
//! ```
//!
//! Out flows when the last change was in the kernel's table and when it was on the
//! upstream's link, by Lapwing and by a bare batch of `ip`, and what the daemon costs while
//! nothing happens.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    net::{Ipv4Addr, Ipv6Addr},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use probe_core::Timestamp;

use crate::lab::{
    bgp::Change,
    bird::{self, Form},
    capture::Capture,
    clock::{self, millis_between},
    lapwing::{CONFIG, CONTROL, Lapwing, Settings, service_name},
    process::cpu_millis_per_second,
    routes::RouteWatch,
    topology::{Family, Lab, Site, TABLE},
    wait_until,
    withdrawal::Sample,
};

/// A debug build on a busy machine takes its time; no figure depends on it.
const PATIENT: Duration = Duration::from_mins(2);
/// After the last change nothing more may come.
const QUIET: Duration = Duration::from_secs(1);
/// Where the prefixes lie.
const NETWORKS: [&str; 2] = ["10.0.0.0/8", "2001:db8:b000::/36"];

/// An edge with that many prefixes besides the lab's own two, and a daemon that
/// announces them.
pub struct Many {
    lab: Lab,
    prefixes: Vec<IpNet>,
    heard: Capture,
    table: RouteWatch,
}

/// When the last of all prefixes had changed, after the order.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// Milliseconds until the kernel's table had it.
    pub kernel: f64,
    /// Milliseconds until it was on the upstream's link.
    pub wire: f64,
}

impl Many {
    /// The lab, with routers that pass so many prefixes on. Nothing is announced.
    pub fn start(count: usize) -> Result<Self> {
        let prefixes = prefixes(count)?;
        let lab = Lab::start()?;
        let mut config = bird::edge_config(Site::Fra1, Form::Standalone);
        for (family, network) in Family::ALL.into_iter().zip(NETWORKS) {
            let own = format!("[ {} ]", family.prefix());
            ensure!(config.contains(&own), "the allow-list is elsewhere");
            config = config.replace(&own, &format!("[ {}, {network}+ ]", family.prefix()));
        }
        lab.fra1.bird.configure(&lab.fra1.node, &config)?;
        lab.take_from_edges(&NETWORKS)?;
        Ok(Self {
            heard: lab.capture(Site::Fra1)?,
            table: lab.fra1.watch_routes()?,
            prefixes,
            lab,
        })
    }

    /// The edge's configuration: the lab's two prefixes with their services, and all
    /// others, which share these.
    fn config(&self, settings: &Settings) -> Result<String> {
        let mut config = settings.config(Site::Fra1);
        for prefix in &self.prefixes {
            let service = service_name(Family::of(prefix.addr()));
            writeln!(
                config,
                "\n[[prefix]]\nprefix = \"{prefix}\"\nservices = [\"{service}\"]"
            )?;
        }
        Ok(config)
    }

    /// Starts a daemon for all of them, and waits until it has announced them.
    pub fn daemon(&self) -> Result<(Lapwing, Arrived)> {
        let settings = Settings {
            bird_socket: Some(bird::SOCKET),
            ..Settings::fast()
        };
        self.lab.fra1.node.write(CONFIG, &self.config(&settings)?)?;
        let start = clock::now();
        let daemon = Lapwing::start_again(&self.lab.fra1.node, &settings)?;
        let announced = self
            .arrival(start, true)
            .with_context(|| format!("lapwing says:\n{}", daemon.log_tail()))?;
        Ok((daemon, announced))
    }

    /// Withdraws all prefixes by one command.
    pub fn withdraw(&self) -> Result<Arrived> {
        self.order(&["pin", "all", "--level", "withdrawn"], false)
    }

    /// Lets them return by another one.
    pub fn announce(&self) -> Result<Arrived> {
        self.order(&["pin", "all", "--level", "full"], true)
    }

    fn order(&self, order: &[&str], announced: bool) -> Result<Arrived> {
        let start = clock::now();
        let arguments = [order, &["--control", CONTROL]].concat();
        let output = self.lab.fra1.lapwing_command(&arguments)?;
        ensure!(output.status.success(), "{output:?}");
        self.arrival(start, announced)
    }

    /// What `ip -batch` alone achieves: deletes all routes.
    pub fn bare_withdraw(&self) -> Result<Arrived> {
        self.batch("del", false)
    }

    /// Adds them again.
    pub fn bare_announce(&self) -> Result<Arrived> {
        self.batch("add", true)
    }

    fn batch(&self, verb: &str, announced: bool) -> Result<Arrived> {
        let mut orders = String::new();
        for prefix in self.all() {
            writeln!(
                orders,
                "route {verb} blackhole {prefix} table {TABLE} proto 201 metric 32"
            )?;
        }
        let mut command = Command::new("ip");
        command.args(["-batch", "-"]);
        let start = self.lab.fra1.node.prepare(command)?.fire(&orders)?;
        self.arrival(start, announced)
    }

    fn all(&self) -> impl Iterator<Item = IpNet> {
        let own = Family::ALL.map(Family::network);
        own.into_iter().chain(self.prefixes.iter().copied())
    }

    /// Waits until all are announced or withdrawn, in the table and on the link.
    fn arrival(&self, start: Timestamp, announced: bool) -> Result<Arrived> {
        let wire = last(
            self.all().collect(),
            |timeout| {
                let heard = self.heard.next(timeout)?;
                Some((heard.at, heard.change.prefix(), heard.change))
            },
            |change| matches!(change, Change::Announce(_)) == announced,
        )
        .context("on the upstream's link")?;
        let kernel = last(
            self.all().collect(),
            |timeout| {
                let event = self.table.next(timeout)?;
                Some((event.at, event.prefix, event.present))
            },
            |present| *present == announced,
        )
        .context("in the kernel's table")?;
        let arrived = Arrived {
            kernel: millis_between(start, kernel),
            wire: millis_between(start, wire),
        };
        self.verify(announced)?;
        Ok(arrived)
    }

    /// Table, BIRD and upstream are of one mind, and nothing more is said.
    fn verify(&self, announced: bool) -> Result<()> {
        let expected = if announced {
            self.prefixes.len() + 2
        } else {
            0
        };
        wait_until(
            "BIRD and the upstream have what the table has",
            PATIENT,
            || {
                Ok(
                    self.lab.fra1.bird.routes_in(["lapwing4", "lapwing6"])? == expected
                        && self.lab.upstream_routes(Site::Fra1)? == expected,
                )
            },
        )?;
        let mut standing = 0;
        for family in Family::ALL {
            standing += self.lab.fra1.routes(family)?.lines().count();
        }
        ensure!(standing == expected, "{standing} routes, not {expected}");
        thread::sleep(QUIET);
        let more = self.heard.drain();
        ensure!(more.is_empty(), "heard besides: {more:?}");
        self.table.drain();
        Ok(())
    }

    /// Waits until the daemon knows of all that stands, and every export is verified.
    pub fn wait_settled(&self, daemon: &Lapwing, level: &str) -> Result<()> {
        wait_until("every prefix is verified", PATIENT, || {
            let status = daemon.status(&self.lab.fra1.node)?;
            let prefixes = status["prefixes"].as_array().context("no prefixes")?;
            Ok(prefixes.len() == self.prefixes.len() + 2
                && prefixes.iter().all(|prefix| {
                    prefix["observed"] == level && prefix["export"]["verified"] == true
                }))
        })
    }
}

/// When the last of `missing` has become so.
fn last<T>(
    mut missing: BTreeSet<IpNet>,
    next: impl Fn(Duration) -> Option<(Timestamp, IpNet, T)>,
    is_so: impl Fn(&T) -> bool,
) -> Result<Timestamp> {
    let begin = Instant::now();
    loop {
        let Some((at, prefix, what)) = next(PATIENT.saturating_sub(begin.elapsed())) else {
            bail!(
                "{} have not come, such as {:?}",
                missing.len(),
                missing.first()
            );
        };
        if is_so(&what) && missing.remove(&prefix) && missing.is_empty() {
            return Ok(at);
        }
    }
}

/// IPv4 and IPv6 in turn.
fn prefixes(count: usize) -> Result<Vec<IpNet>> {
    (0..u32::try_from(count)?)
        .map(|number| {
            let (half, is_v4) = (number / 2, number % 2 == 0);
            let [.., high, low] = half.to_be_bytes();
            Ok(if is_v4 {
                Ipv4Net::new(Ipv4Addr::new(10, high, low, 0), 24)?.into()
            } else {
                let group = u16::from_be_bytes([high, low]);
                let address = Ipv6Addr::new(0x2001, 0xdb8, 0xb000, group, 0, 0, 0, 0);
                Ipv6Net::new(address, 64)?.into()
            })
        })
        .collect()
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Figures {
    prefixes: usize,
    started: Arrived,
    ours: [Vec<Arrived>; 2],
    bare: [Vec<Arrived>; 2],
    idle: f64,
    withdrawn: f64,
    alone: f64,
}

/// Measures `rounds` withdraws and returns each way, and the cost of `idle` seconds.
pub fn measure(count: usize, rounds: usize, idle: Duration) -> Result<Figures> {
    let few = Many::start(0)?;
    let (daemon, _) = few.daemon()?;
    few.wait_settled(&daemon, "full")?;
    let alone = cpu_millis_per_second(daemon.pid(), idle)?;
    drop(daemon);
    drop(few);

    let many = Many::start(count)?;
    let (daemon, started) = many.daemon()?;
    many.wait_settled(&daemon, "full")?;
    let idle_cpu = cpu_millis_per_second(daemon.pid(), idle)?;
    let (mut ours, mut bare) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut withdrawn = 0.0;
    for round in 0..rounds {
        ours[0].push(many.withdraw()?);
        many.wait_settled(&daemon, "withdrawn")?;
        if round == 0 {
            withdrawn = cpu_millis_per_second(daemon.pid(), idle)?;
        }
        ours[1].push(many.announce()?);
        many.wait_settled(&daemon, "full")?;
    }
    daemon.kill()?;
    for _ in 0..rounds {
        bare[0].push(many.bare_withdraw()?);
        bare[1].push(many.bare_announce()?);
    }
    Ok(Figures {
        prefixes: count + 2,
        started,
        ours,
        bare,
        idle: idle_cpu,
        withdrawn,
        alone,
    })
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sample = |arrivals: &[Arrived], of: fn(&Arrived) -> f64| {
            let sample = Sample::new(arrivals.iter().map(of).collect());
            format!("{:>8.0}{:>8.0}", sample.median(), sample.max())
        };
        writeln!(
            f,
            "{} prefixes, half IPv6; milliseconds from the command to the last of them, {} rounds",
            self.prefixes,
            self.ours[0].len()
        )?;
        writeln!(
            f,
            "{:<28}{:>16}{:>16}",
            "", "kernel: median, max", "  upstream: median, max"
        )?;
        for (name, [withdraw, announce]) in [("lapwing pin", &self.ours), ("ip -batch", &self.bare)]
        {
            for (what, arrivals) in [("withdraw", withdraw), ("announce", announce)] {
                writeln!(
                    f,
                    "{:<28}   {}       {}",
                    format!("{name}, {what}"),
                    sample(arrivals, |arrived| arrived.kernel),
                    sample(arrivals, |arrived| arrived.wire),
                )?;
            }
        }
        writeln!(
            f,
            "from the start of the daemon to the first announcement of all: {:.0} and {:.0}",
            self.started.kernel, self.started.wire
        )?;
        writeln!(
            f,
            "processor time while nothing happens, ms per second: {:.2} announced, {:.2} withdrawn; {:.2} with two prefixes",
            self.idle, self.withdrawn, self.alone
        )
    }
}
