//! Scenarios in which a service must be withdrawn, and soon: profile `fast`, so that
//! what is measured is the decision and not the patience.

use std::time::Duration;

use probe_core::{Level, Timestamp};

use super::{
    behaviour::{Ends, Failing, Probes, Situation},
    draw::Draw,
    finding::{Delay, Finding, Group},
    host::{Host, MIDNIGHT},
    passage::{Closeness, Passage},
    script::{Days, Script},
    setup::{self, Probed, Profile, SERVICES},
};

/// Longer than any fault of these lasts.
const FOREVER: Duration = Duration::from_hours(1);
/// Time in which a host gets to know its services.
const WARM_UP: Duration = Duration::from_mins(30);
/// Trials that it needs for that, at least.
const WARM_UP_TRIALS: f64 = 1000.0;
/// Looked at closely before the fault: longer than the daemon's longest rhythm.
const BEFORE: Duration = Duration::from_millis(700);

/// A fault.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its name.
    pub name: &'static str,
    /// What happens.
    pub about: &'static str,
    situation: fn() -> Situation,
    probed: Probed,
    /// The rates at which it is measured.
    pub rates: &'static [f64],
    /// What must come of it.
    level: Level,
    /// What it may take, at most.
    within: Within,
}

/// What a fault may take.
#[derive(Clone, Copy, Debug)]
struct Within {
    /// Time after which it is missed.
    time: Duration,
    /// What half of the runs must not exceed at a thousand trials per second.
    bound: Option<Bound>,
}

/// What is bounded.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// Trials since the fault.
    Trials(u32),
    /// Those of them that were past their deadline.
    TrialsAfterDeadline(u32),
    /// Seconds.
    Seconds(u32),
}

impl Within {
    const fn seconds(seconds: u64) -> Self {
        Self {
            time: Duration::from_secs(seconds),
            bound: None,
        }
    }

    const fn bound(self, bound: Bound) -> Self {
        Self {
            bound: Some(bound),
            ..self
        }
    }
}

const RATES: &[f64] = &[1.0, 10.0, 100.0, 1000.0, 10_000.0];
/// Five clients a minute.
const HANDFUL: f64 = 5.0 / 60.0;
/// The rate at which a fault's trials are bounded.
const BOUNDED_RATE: f64 = 1000.0;

impl Fault {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self {
            name: "refused",
            about: "the server is gone: clients and probes are refused",
            situation: || {
                Situation::CALM
                    .ends(Ends::refused(1.0))
                    .probes(Probes::fail(1.0, Failing::Refused))
            },
            probed: Probed::Tcp,
            level: Level::Withdrawn,
            rates: RATES,
            within: Within::seconds(60).bound(Bound::Trials(15)),
        },
        Self {
            name: "silent",
            about: "nobody answers any more, neither clients nor probes",
            situation: || {
                Situation::CALM
                    .ends(Ends::silent(1.0))
                    .probes(Probes::fail(1.0, Failing::Silent))
            },
            probed: Probed::Tcp,
            level: Level::Withdrawn,
            rates: RATES,
            within: Within::seconds(60).bound(Bound::TrialsAfterDeadline(20)),
        },
        Self {
            name: "unseen",
            about: "nobody is answered, but the probes are: packets are lost in front of the host",
            situation: || Situation::CALM.ends(Ends::silent(1.0)),
            probed: Probed::Tcp,
            level: Level::Withdrawn,
            rates: &[10.0, 100.0, 1000.0, 10_000.0],
            within: Within::seconds(60).bound(Bound::TrialsAfterDeadline(20)),
        },
        Self {
            name: "half-refused",
            about: "half of the clients and of the probes are refused",
            situation: || {
                Situation::CALM
                    .ends(Ends::refused(0.5))
                    .probes(Probes::fail(0.5, Failing::Refused))
            },
            probed: Probed::Tcp,
            level: Level::Withdrawn,
            rates: &[10.0, 100.0, 1000.0],
            within: Within::seconds(120).bound(Bound::Trials(100)),
        },
        Self {
            name: "grey",
            about: "a tenth of the clients and of the probes is refused: it must degrade, and not withdraw",
            situation: || {
                Situation::CALM
                    .ends(Ends::refused(0.1))
                    .probes(Probes::fail(0.1, Failing::Refused))
            },
            probed: Probed::Tcp,
            level: Level::Degraded,
            rates: &[10.0, 100.0, 1000.0],
            within: Within::seconds(60).bound(Bound::Seconds(10)),
        },
        Self {
            name: "unavailable",
            about: "status 503 behind TLS: every connection is answered, the application probe fails",
            situation: || Situation::CALM.probes(Probes::fail(1.0, Failing::Unavailable)),
            probed: Probed::Http,
            level: Level::Withdrawn,
            rates: &[10.0, 100.0, 1000.0],
            within: Within::seconds(4),
        },
        Self {
            name: "handful-refused",
            about: "five clients a minute, then clients and probes are refused",
            situation: || {
                Situation::CALM
                    .ends(Ends::refused(1.0))
                    .probes(Probes::fail(1.0, Failing::Refused))
            },
            probed: Probed::Tcp,
            level: Level::Withdrawn,
            rates: &[HANDFUL],
            within: Within::seconds(60),
        },
        Self {
            name: "handful-silent",
            about: "five clients a minute, then nobody answers any more",
            situation: || {
                Situation::CALM
                    .ends(Ends::silent(1.0))
                    .probes(Probes::fail(1.0, Failing::Silent))
            },
            probed: Probed::Tcp,
            level: Level::Withdrawn,
            rates: &[HANDFUL],
            within: Within::seconds(60),
        },
    ];

    /// A host that knows its services well, an instant before anything happens.
    pub fn warm(&self, rate: f64, draw: Draw) -> Host {
        let scripts = (0..SERVICES)
            .map(|_| {
                Script::new(Days {
                    swing: 0.0,
                    ..Days::usual(rate)
                })
            })
            .collect();
        let mut host = Host::new(setup::host(Profile::Fast, self.probed), scripts, draw);
        let warm_up = WARM_UP.max(Duration::from_secs_f64(WARM_UP_TRIALS / rate));
        let until = MIDNIGHT.after(warm_up);
        Passage::new(&host, Closeness::AsNeeded).run(&mut host, until, &|_| false);
        host
    }

    /// Lets the fault happen on a copy of that host, at a time by chance; says how long
    /// it took, if it did not take too long, and how many others were withdrawn.
    pub fn strike(&self, warm: &Host, draw: Draw) -> (Host, Timestamp) {
        let mut host = warm.clone();
        host.draw_from(draw);
        let mut passage = Passage::new(&host, Closeness::Always);
        let phase = Duration::from_secs_f64(0.3 * host.draw.unit());
        let onset = host.now().after(BEFORE + phase);
        host.script(0)
            .add(onset, vec![(FOREVER, (self.situation)())]);
        passage.run(&mut host, onset, &|_| false);
        host.keep_starts(0);
        let seen = host.changes.len();
        let until = onset.after(self.within.time);
        passage.run(&mut host, until, &|host| {
            let mut changes = host.changes[seen..].iter();
            changes.any(|change| change.prefix == 0 && change.level <= self.level)
        });
        (host, onset)
    }

    /// Measures it.
    pub fn measure(&self, rate: f64, runs: u64, seed: u64, progress: &dyn Fn(f64)) -> Finding {
        let name = format!("{}@{}", self.name, super::rate_name(rate));
        let mut finding = Finding::new(name.clone(), Group::Fault, self.about, rate);
        let warm = self.warm(rate, Draw::new(seed, &name, &[]));
        let deadline = setup::host(Profile::Fast, self.probed)
            .services
            .first()
            .map_or(Duration::ZERO, |service| service.detect.deadline);
        let mut delays = Vec::new();
        for run in 0..runs {
            let (host, onset) = self.strike(&warm, Draw::new(seed, &name, &[run]));
            progress(1.0 / runs as f64);
            let lasted = host.now().since(onset);
            finding.service_days += f64::from(SERVICES) * lasted.as_secs_f64() / 86_400.0;
            let mut found = None;
            for change in &host.changes {
                let struck = change.prefix == 0 && change.at >= onset;
                if change.level == Level::Degraded {
                    finding.degraded += 1;
                }
                if struck && change.level == self.level {
                    found = Some(change.at);
                } else if change.level == Level::Withdrawn {
                    finding.false_withdrawals += 1;
                    finding.violations.push(format!(
                        "a service that must not be was withdrawn: {}",
                        change.reason.sentence()
                    ));
                }
            }
            match found {
                None => finding.missed += 1,
                Some(at) => delays.push(delay(host.starts(0), onset, at, deadline)),
            }
        }
        finding.delays(&delays);
        if finding.missed > 0 {
            finding.violations.push(format!(
                "{} of {runs} runs came to nothing within {:?}",
                finding.missed, self.within.time
            ));
        }
        self.bound(rate, &mut finding);
        finding
    }

    fn bound(&self, rate: f64, finding: &mut Finding) {
        let (Some(bound), true) = (self.within.bound, (rate - BOUNDED_RATE).abs() < 0.5) else {
            return;
        };
        let (took, most, what) = match bound {
            Bound::Trials(most) => (finding.delay_trials_p50, most, "trials"),
            Bound::TrialsAfterDeadline(most) => (
                finding.delay_trials_after_deadline_p50,
                most,
                "trials past their deadline",
            ),
            Bound::Seconds(most) => (finding.delay_seconds_p50, most, "seconds"),
        };
        if let Some(took) = took.filter(|took| *took > f64::from(most)) {
            finding.violations.push(format!(
                "half of the runs took more than {took:.1} {what}, and may take {most}"
            ));
        }
    }
}

fn delay(starts: &[Timestamp], onset: Timestamp, at: Timestamp, deadline: Duration) -> Delay {
    let since: Vec<&Timestamp> = starts
        .iter()
        .filter(|start| **start >= onset && **start <= at)
        .collect();
    let after = since
        .iter()
        .filter(|start| start.after(deadline) <= at)
        .count();
    Delay {
        trials: since.len() as u64,
        trials_after_deadline: after as u64,
        time: at.since(onset),
    }
}
