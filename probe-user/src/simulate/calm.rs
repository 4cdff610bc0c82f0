//! Scenarios in which nothing may be withdrawn: accidents that pass, clients that
//! misbehave, and attacks on the decision.

use std::{ops::Range, time::Duration};

use probe_core::Timestamp;

use super::{
    behaviour::{DOMINANT_PART, Ends, Failing, Group, Networks, Probes, Situation},
    draw::Draw,
    script::{Days, Episode, Script},
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const DAY_SECONDS: f64 = 86_400.0;

/// A scenario in which nothing may be withdrawn.
#[derive(Clone, Copy, Debug)]
pub struct Calm {
    /// Its name.
    pub name: &'static str,
    /// What happens.
    pub about: &'static str,
    days: fn(f64) -> Days,
    /// How often an episode begins.
    per_day: f64,
    episode: fn(&mut Draw) -> Episode,
}

impl Calm {
    /// What happens to one service of so many trials per second, during `span`.
    pub fn script(&self, rate: f64, span: &Range<Timestamp>, draw: &mut Draw) -> Script {
        let mut script = Script::new((self.days)(rate));
        if self.per_day <= 0.0 {
            return script;
        }
        let mean = DAY_SECONDS / self.per_day;
        let mut at = span.start;
        loop {
            at = at.after(Duration::from_secs_f64(mean * draw.exponential()));
            if at >= span.end {
                return script;
            }
            script.add(at, (self.episode)(draw));
        }
    }

    /// The same, with this many episodes a day.
    #[cfg(test)]
    pub fn per_day(self, per_day: f64) -> Self {
        Self { per_day, ..self }
    }

    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self {
            name: "day-night",
            about: "night at a third of the average, noise from minute to minute, 0.1 % of all trials fail",
            days: Days::usual,
            per_day: 0.0,
            episode: |_| Episode::new(),
        },
        Self {
            name: "gaps",
            about: "six times a day, nothing is answered or everything refused for 10 to 90 ms",
            days: Days::usual,
            per_day: 6.0,
            episode: gap,
        },
        Self {
            name: "restarts",
            about: "three times a day, clients and probes are refused for 0.5 s",
            days: Days::usual,
            per_day: 3.0,
            episode: restart,
        },
        Self {
            name: "bursts",
            about: "correlated failures: twenty times a day for 10 s on average, 2 to 8 % of trials and probes fail",
            days: Days::usual,
            per_day: 20.0,
            episode: burst,
        },
        Self {
            name: "one-source",
            about: "60 % of all trials come from one network; twice a day it fails alone for 20 s, and leaves for ten minutes",
            days: |rate| Days {
                networks: Networks::Dominated,
                ..Days::usual(rate)
            },
            per_day: 2.0,
            episode: one_source,
        },
        Self {
            name: "retry-storms",
            about: "three times a day, a gap of 0.3 to 0.8 s, then clients come back 25 times as many and a fifth of them is refused",
            days: Days::usual,
            per_day: 3.0,
            episode: retry_storm,
        },
        Self {
            name: "leaving",
            about: "twice a day all traffic fades away in ten minutes, or drops at once, and stays away for half an hour",
            days: Days::usual,
            per_day: 2.0,
            episode: leaving,
        },
        Self {
            name: "flash-crowd",
            about: "twice a day, ten times the traffic for two minutes, of which 1 % fails",
            days: Days::usual,
            per_day: 2.0,
            episode: flash_crowd,
        },
        Self {
            name: "syn-flood",
            about: "twice a day, 20 times the traffic in spoofed SYNs for five minutes, answered and never completed",
            days: Days::usual,
            per_day: 2.0,
            episode: syn_flood,
        },
        Self {
            name: "forged-failures",
            about: "twice a day, three trials in five are an attacker's and fail for 20 s; other clients and probes are well",
            days: Days::usual,
            per_day: 2.0,
            episode: forged_failures,
        },
        Self {
            name: "overload",
            about: "twice a day, 20 times the traffic in spoofed SYNs for 5 s overflows the backlog: most of them, half of the clients and of the probes get no answer",
            days: Days::usual,
            per_day: 2.0,
            episode: overload,
        },
        Self {
            name: "rst-spray",
            about: "twice a day, half of all trials are taken back by somebody's RST for 20 s",
            days: Days::usual,
            per_day: 2.0,
            episode: rst_spray,
        },
    ];
}

fn gap(draw: &mut Draw) -> Episode {
    let lasts = Duration::from_secs_f64(draw.between(0.010, 0.090));
    vec![(lasts, outage(draw))]
}

/// Everything is refused or not answered, the probes too.
fn outage(draw: &mut Draw) -> Situation {
    if draw.chance(0.5) {
        Situation::CALM
            .ends(Ends::refused(1.0))
            .probes(Probes::fail(1.0, Failing::Refused))
    } else {
        Situation::CALM
            .ends(Ends::silent(1.0))
            .probes(Probes::fail(1.0, Failing::Silent))
    }
}

fn restart(_: &mut Draw) -> Episode {
    let refused = Situation::CALM
        .ends(Ends::refused(1.0))
        .probes(Probes::fail(1.0, Failing::Refused));
    vec![(500 * MS, refused)]
}

fn burst(draw: &mut Draw) -> Episode {
    let lasts = Duration::from_secs_f64(10.0 * draw.exponential());
    let part = draw.between(0.02, 0.08);
    let failing = Situation::CALM
        .ends(Ends::refused(part))
        .probes(Probes::fail(part, Failing::Refused));
    vec![(lasts, failing)]
}

fn one_source(_: &mut Draw) -> Episode {
    let others = Situation::CALM
        .crowd(1.0 - DOMINANT_PART)
        .from(Networks::Many);
    let fails_alone = others.clone().and(Group {
        crowd: DOMINANT_PART,
        ends: Ends::silent(1.0),
        networks: Some(Networks::Dominant),
    });
    vec![(20 * SECOND, fails_alone), (10 * MINUTE, others)]
}

fn retry_storm(draw: &mut Draw) -> Episode {
    let lasts = Duration::from_secs_f64(draw.between(0.3, 0.8));
    let back = |crowd, refused| {
        Situation::CALM
            .crowd(crowd)
            .ends(Ends::refused(refused))
            .probes(Probes::fail(refused, Failing::Refused))
    };
    vec![
        (lasts, outage(draw).crowd(5.0)),
        (SECOND, back(25.0, 0.2)),
        (2 * SECOND, back(5.0, 0.05)),
    ]
}

fn leaving(draw: &mut Draw) -> Episode {
    let mut episode = Episode::new();
    if draw.chance(0.5) {
        let step = |step: u32| Situation::CALM.crowd(1.0 - f64::from(step) / 20.0);
        episode.extend((1..20).map(|index| (30 * SECOND, step(index))));
    }
    episode.push((30 * MINUTE, Situation::CALM.crowd(0.0)));
    episode
}

fn flash_crowd(_: &mut Draw) -> Episode {
    let crowd = Situation::CALM.crowd(10.0).ends(Ends::refused(0.01));
    vec![(2 * MINUTE, crowd)]
}

fn syn_flood(_: &mut Draw) -> Episode {
    let flood = Situation::CALM.and(Group {
        crowd: 20.0,
        ends: Ends::ANSWERED,
        networks: None,
    });
    vec![(5 * MINUTE, flood)]
}

fn forged_failures(draw: &mut Draw) -> Episode {
    let ends = if draw.chance(0.5) {
        Ends::refused(1.0)
    } else {
        Ends::silent(1.0)
    };
    let forged = Situation::CALM.and(Group {
        crowd: 1.5,
        ends,
        networks: None,
    });
    vec![(20 * SECOND, forged)]
}

fn overload(_: &mut Draw) -> Episode {
    let overflows = Situation::CALM
        .ends(Ends::silent(0.5))
        .probes(Probes::fail(0.5, Failing::Silent))
        .and(Group {
            crowd: 20.0,
            ends: Ends::silent(0.8),
            networks: None,
        });
    vec![(5 * SECOND, overflows)]
}

fn rst_spray(_: &mut Draw) -> Episode {
    let taken_back = Ends {
        abandoned: 0.5,
        ..Ends::ANSWERED
    };
    vec![(20 * SECOND, Situation::CALM.ends(taken_back))]
}
