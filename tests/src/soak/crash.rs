//! The daemon is killed at a random moment of a withdraw or of a return, and started
//! again.
//!
//! ```text
//!  well, announced ─▶ FAULT ─┬─ 0 to 150 ms ─▶ KILL      suspicion, decision, netlink, journal
//!                            └─ withdrawn ─▶ HEALED ─┬─ 0 to 1.5 s ─▶ KILL     probes, hold, announce
//!  KILL ─▶ (one in four: the service changes while nobody looks) ─▶ START
//!       ─▶ the route is what the service is ─▶ well, announced
//! ```
//! Judged are, for each family: how long the started daemon takes until the route is
//! right; that it changes a route at most once, and only one that was wrong; that
//! upstream hears as many UPDATEs as the kernel's table had changes, and no more; and
//! the journal, line by line.

use std::{
    collections::BTreeMap,
    fmt, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::IpNet;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use probe_core::Timestamp;

use super::{HOLD, RATE, check_journal, settings};
use crate::lab::{
    capture::Capture,
    clock,
    flood::Random,
    lapwing::{Lapwing, Settings},
    load::Plan,
    routes::RouteWatch,
    topology::{Family, Lab, Site},
    withdrawal::Sample,
};

/// The promise: so long after its hooks are in place, the route is right. A return
/// may have to wait for a hold, which the daemon remembers.
const RIGHT_WITHIN: Duration = Duration::from_secs(1);
/// How long after a fault the daemon may be killed. A withdraw takes a tenth of it.
const WITHDRAW_SPAN: Duration = Duration::from_millis(150);
/// How long after a server is back the daemon may be killed: the hold, and as much
/// as probes and the kernel need.
const RETURN_SPAN: Duration = Duration::from_millis(1500);
/// Whatever is going to happen after a start has happened by then.
const QUIET: Duration = Duration::from_millis(700);
const PATIENT: Duration = Duration::from_secs(30);

/// What was killed when, and what came of it.
#[derive(Clone, Debug)]
pub struct Point {
    /// In which half of the cycle.
    pub phase: Phase,
    /// How long after the fault, or after the server was back.
    pub delay: Duration,
    /// What the journal told last before the end.
    pub last_record: String,
    /// Whether the service changed while no daemon ran.
    pub changed_meanwhile: bool,
    /// How many of the two routes were wrong when the daemon was started.
    pub wrong: usize,
    /// From the start of the program until its hooks were in place.
    pub started: Duration,
    /// From then until both routes were right; zero if they were.
    pub right: Duration,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<8} +{:>6.1} ms  after {:<16} {} wrong{}; hooks in place after {:.0} ms, routes right {:.0} ms later",
            self.phase.name(),
            self.delay.as_secs_f64() * 1e3,
            self.last_record,
            self.wrong,
            if self.changed_meanwhile {
                ", changed meanwhile"
            } else {
                ""
            },
            self.started.as_secs_f64() * 1e3,
            self.right.as_secs_f64() * 1e3,
        )
    }
}

/// Half of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The server was killed.
    Withdraw,
    /// The server came back.
    Return,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Withdraw => "withdraw",
            Self::Return => "return",
        }
    }
}

/// Kills the daemon at so many points; `seed` chooses them. Each point is told to
/// `progress`.
pub fn soak(points: u32, seed: u64, mut progress: impl FnMut(&Point)) -> Result<Vec<Point>> {
    let mut random = Random::new(seed);
    let mut stage = Stage::raise()?;
    (1..=points)
        .map(|number| {
            let phase = if number % 2 == 1 {
                Phase::Withdraw
            } else {
                Phase::Return
            };
            let point = stage
                .play(phase, &mut random)
                .with_context(|| format!("point {number} of {points}, seed {seed}"))?;
            progress(&point);
            Ok(point)
        })
        .collect()
}

/// The figures of a soak, for people.
pub fn summary(points: &[Point]) -> String {
    let millis = |values: Vec<Duration>| {
        Sample::new(
            values
                .iter()
                .map(|value| value.as_secs_f64() * 1e3)
                .collect(),
        )
    };
    let wrong: Vec<&Point> = points.iter().filter(|point| point.wrong > 0).collect();
    let mut steps: BTreeMap<&str, u32> = BTreeMap::new();
    for point in points {
        *steps.entry(point.last_record.as_str()).or_default() += 1;
    }
    let started = millis(points.iter().map(|point| point.started).collect());
    let row = |phase: Phase| {
        let times = wrong.iter().filter(|point| point.phase == phase);
        let right = millis(times.map(|point| point.right).collect());
        if right.is_empty() {
            format!(
                "  killed in a {}: no route was wrong at the start\n",
                phase.name()
            )
        } else {
            format!(
                "  killed in a {}: {} of the starts found a wrong route; right after {:.0} ms (median), {:.0} ms (most)\n",
                phase.name(),
                right.len(),
                right.median(),
                right.max()
            )
        }
    };
    format!(
        "{} kills; no route changed without need, no UPDATE beside those, every journal line whole\n\
         {}{}  hooks in place after {:.0} ms (median), {:.0} ms (most)\n\
         \x20 last record before the kill: {}\n",
        points.len(),
        row(Phase::Withdraw),
        row(Phase::Return),
        started.median(),
        started.max(),
        steps
            .iter()
            .map(|(step, count)| format!("{step} {count}"))
            .collect::<Vec<_>>()
            .join(", ")
    )
}

/// The lab of one soak.
struct Stage {
    // Dropped before the lab whose links they hear.
    heard: Capture,
    routes: Routes,
    daemon: Option<Lapwing>,
    _load: crate::lab::load::Load,
    settings: Settings,
    lab: Lab,
    well: bool,
}

impl Stage {
    fn raise() -> Result<Self> {
        let lab = Lab::start()?;
        lab.announce(Site::Ams1)?;
        let load = lab.load(Plan::steady(RATE))?;
        let settings = settings();
        let routes = Routes::watch(&lab)?;
        let heard = lab.capture(Site::Fra1)?;
        let daemon = lab.fra1.lapwing(&settings)?;
        lab.wait_announced(Site::Fra1)?;
        Ok(Self {
            heard,
            routes,
            daemon: Some(daemon),
            _load: load,
            settings,
            lab,
            well: true,
        })
    }

    fn play(&mut self, phase: Phase, random: &mut Random) -> Result<Point> {
        self.calm_down()?;
        let mut daemon = self.daemon.take().context("a daemon runs")?;
        let span = match phase {
            Phase::Withdraw => WITHDRAW_SPAN,
            Phase::Return => {
                self.lab.fra1.nginx.kill()?;
                self.well = false;
                self.routes.wait(false, PATIENT)?;
                RETURN_SPAN
            }
        };
        let delay = span.mul_f64((random.next() % 10_000) as f64 / 10_000.0);
        let changes = random.chance(0.25);

        let killer = kill_after(&daemon, delay);
        match phase {
            Phase::Withdraw => self.lab.fra1.nginx.kill().map(drop)?,
            Phase::Return => self
                .lab
                .fra1
                .nginx
                .start_again(&self.lab.fra1.node)
                .map(drop)?,
        }
        self.well = phase == Phase::Return;
        killer.join().expect("the killer does not panic")?;
        daemon.wait_ended()?;
        let last_record = daemon
            .journal()
            .read()?
            .last()
            .map_or_else(|| "none".to_owned(), |record| record.event().to_owned());
        // What the kernel was told before the end still goes its way.
        thread::sleep(Duration::from_millis(100));
        if changes {
            self.turn()?;
        }
        let wrong = self.routes.differing(self.well);
        let before = self.routes.changes();

        let executed = clock::now();
        let mut daemon = Lapwing::start_again(&self.lab.fra1.node, &self.settings)?;
        let attached = clock::now();
        let bound = if self.well {
            RIGHT_WITHIN + HOLD
        } else {
            RIGHT_WITHIN
        };
        let right_at = self
            .routes
            .wait(self.well, bound)
            .with_context(|| format!("after the start; lapwing says:\n{}", daemon.log_tail()))?;
        thread::sleep(QUIET);
        self.judge(&before, &wrong)
            .with_context(|| {
                let told = daemon.journal().read().unwrap_or_default();
                format!(
                    "{} {delay:?}, last record {last_record}, changed meanwhile: {changes}; since then the journal says {told:?}",
                    phase.name()
                )
            })?;
        check_journal(&self.lab.fra1, &daemon)?;
        self.daemon = Some(daemon);
        Ok(Point {
            phase,
            delay,
            last_record,
            changed_meanwhile: changes,
            wrong: wrong.len(),
            started: attached.since(executed),
            right: if right_at > attached && !wrong.is_empty() {
                right_at.since(attached)
            } else {
                Duration::ZERO
            },
        })
    }

    /// Where each point begins: well, announced, its detectors armed, nothing unheard.
    fn calm_down(&mut self) -> Result<()> {
        if !self.well {
            self.turn()?;
        }
        self.routes.wait(true, PATIENT)?;
        let daemon = self.daemon.as_mut().context("a daemon runs")?;
        daemon.wait_armed(&self.lab.fra1.node, PATIENT)?;
        daemon.journal().read()?;
        self.routes.start_anew();
        self.heard.drain();
        Ok(())
    }

    /// The service dies, or comes back.
    fn turn(&mut self) -> Result<()> {
        if self.well {
            self.lab.fra1.nginx.kill()?;
        } else {
            self.lab.fra1.nginx.start_again(&self.lab.fra1.node)?;
        }
        self.well = !self.well;
        Ok(())
    }

    /// Each wrong route was changed once since `before`, no other one was, and
    /// upstream heard of every change of this point once.
    fn judge(&mut self, before: &BTreeMap<IpNet, u32>, wrong: &[IpNet]) -> Result<()> {
        self.routes.look();
        let heard = self.heard.drain();
        for family in Family::ALL {
            let prefix = family.network();
            let changes = self.routes.changes().get(&prefix).copied().unwrap_or(0);
            let since = changes - before.get(&prefix).copied().unwrap_or(0);
            let needed = u32::from(wrong.contains(&prefix));
            ensure!(
                since == needed,
                "{prefix} was changed {since} times by the started daemon, but needed {needed}"
            );
            let updates = heard
                .iter()
                .filter(|heard| heard.change.prefix() == prefix)
                .count();
            ensure!(
                updates == usize::try_from(changes)?,
                "{prefix}: {changes} changes of the table, but upstream heard {updates} UPDATEs: {heard:?}"
            );
        }
        Ok(())
    }
}

/// Kills the daemon so long after now, wherever it is then.
fn kill_after(daemon: &Lapwing, delay: Duration) -> thread::JoinHandle<Result<()>> {
    let pid = Pid::from_raw(daemon.pid().cast_signed());
    let at = Instant::now() + delay;
    thread::spawn(move || {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        Ok(kill(pid, Signal::SIGKILL)?)
    })
}

/// What Lapwing's table holds, followed by the kernel's own notifications.
struct Routes {
    watch: RouteWatch,
    /// The level's number, none while there is no route.
    standing: BTreeMap<IpNet, u8>,
    changes: BTreeMap<IpNet, u32>,
    last: Timestamp,
}

impl Routes {
    /// To be called while the table is empty.
    fn watch(lab: &Lab) -> Result<Self> {
        Ok(Self {
            watch: lab.fra1.watch_routes()?,
            standing: BTreeMap::new(),
            changes: BTreeMap::new(),
            last: clock::now(),
        })
    }

    fn look(&mut self) {
        while let Some(event) = self.watch.next(Duration::ZERO) {
            let now = event.present.then_some(event.protocol);
            let before = match now {
                Some(protocol) => self.standing.insert(event.prefix, protocol),
                None => self.standing.remove(&event.prefix),
            };
            if before != now {
                *self.changes.entry(event.prefix).or_default() += 1;
                self.last = event.at;
            }
        }
    }

    fn changes(&self) -> BTreeMap<IpNet, u32> {
        self.changes.clone()
    }

    fn start_anew(&mut self) {
        self.look();
        self.changes.clear();
    }

    /// The prefixes whose route is not what it should be.
    fn differing(&mut self, announced: bool) -> Vec<IpNet> {
        const FULL: u8 = 201;
        self.look();
        let wanted = announced.then_some(FULL);
        Family::ALL
            .iter()
            .map(|family| family.network())
            .filter(|prefix| self.standing.get(prefix).copied() != wanted)
            .collect()
    }

    /// Waits until both routes are as they should be. Returns when they became so.
    fn wait(&mut self, announced: bool, timeout: Duration) -> Result<Timestamp> {
        let begin = Instant::now();
        loop {
            let differing = self.differing(announced);
            if differing.is_empty() {
                return Ok(self.last);
            }
            if begin.elapsed() > timeout {
                bail!(
                    "after {timeout:?} {differing:?} should {}be announced",
                    if announced { "" } else { "not " }
                );
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}
