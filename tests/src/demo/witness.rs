//! Merges what all witnesses of the lab say into one stream of moments.
//!
//! ```text
//!  journal of fra1 ─┐
//!  kernel of fra1  ─┼─▶ poll ─▶ Moment { at, family, what } ─▶ timeline, checks, table
//!  upstream's link ─┤
//!  clients         ─┘
//! ```

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::Result;
use probe_core::Timestamp;

use crate::lab::{
    bgp::Change,
    capture::Capture,
    clock,
    lapwing::{Journal, Lapwing, Record, service_name},
    load::{Interval, Load},
    routes::RouteWatch,
    topology::{Edge, Family, Lab, Site},
};

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A client's connection was the first to fail. Its start.
    FirstFailed,
    /// A client's connection was the last to fail. Its start.
    LastFailed,
    /// The first answer from fra1 after a time without any.
    Answered,
    /// Live trials say that the service may be dead.
    Suspected(String),
    /// The daemon's decision, with its sentence.
    Decided {
        /// To withdraw; otherwise to announce.
        withdraw: bool,
        /// Why.
        sentence: String,
    },
    /// A guard held a decision.
    Held(String),
    /// The probe passes again.
    ProbePasses,
    /// The kernel's table at the edge.
    Kernel {
        /// Whether the route is there.
        present: bool,
    },
    /// The UPDATE on the upstream's link.
    Heard {
        /// A withdraw; otherwise an announcement.
        withdraw: bool,
    },
}

/// One thing that one witness saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// When it happened.
    pub at: Timestamp,
    /// Over which family.
    pub family: Family,
    /// What.
    pub what: What,
}

/// All witnesses of fra1.
pub struct Witnesses {
    journal: Journal,
    heard: Capture,
    kernel: RouteWatch,
    load: Load,
    failing: BTreeMap<Family, Failing>,
    absent: BTreeMap<Family, bool>,
    recent: Vec<Interval>,
}

/// Failures of one family's clients without a calm time in between.
#[derive(Clone, Copy, Debug)]
struct Failing {
    last: Timestamp,
    told: bool,
}

/// Without failures for so long, the last one was the last: longer than clients wait.
const CALM: Duration = Duration::from_millis(1200);

impl Witnesses {
    /// Looks from now on.
    pub fn new(lab: &Lab, edge: &Edge, daemon: &Lapwing, load: Load) -> Result<Self> {
        Ok(Self {
            journal: daemon.follow()?,
            heard: lab.capture(edge.site)?,
            kernel: edge.watch_routes()?,
            load,
            failing: BTreeMap::new(),
            absent: BTreeMap::new(),
            recent: Vec::new(),
        })
    }

    /// What was seen since the last call, in the order of time.
    pub fn poll(&mut self) -> Result<Vec<Moment>> {
        let mut moments = Vec::new();
        for record in self.journal.read()? {
            moments.extend(from_record(&record));
        }
        for event in self.kernel.drain() {
            if let Some(family) = family_of(event.prefix) {
                moments.push(Moment {
                    at: event.at,
                    family,
                    what: What::Kernel {
                        present: event.present,
                    },
                });
            }
        }
        for event in self.heard.drain() {
            let (prefix, withdraw) = match event.change {
                Change::Withdraw(prefix) => (prefix, true),
                Change::Announce(prefix) => (prefix, false),
            };
            if let Some(family) = family_of(prefix) {
                moments.push(Moment {
                    at: event.at,
                    family,
                    what: What::Heard { withdraw },
                });
            }
        }
        for interval in self.load.drain() {
            self.take_interval(&interval, &mut moments);
            self.recent.push(interval);
        }
        let now = clock::now();
        for (family, failing) in &mut self.failing {
            if !failing.told && now.since(failing.last) > CALM {
                failing.told = true;
                moments.push(Moment {
                    at: failing.last,
                    family: *family,
                    what: What::LastFailed,
                });
            }
        }
        moments.sort_by_key(|moment| moment.at);
        Ok(moments)
    }

    /// Client traffic over the last `span`.
    pub fn traffic(&mut self, span: Duration) -> Interval {
        let now = clock::now();
        let mut sum = Interval::default();
        self.recent
            .retain(|interval| now.since(interval.end) <= span);
        self.recent.iter().for_each(|interval| sum.add(interval));
        sum
    }

    fn take_interval(&mut self, interval: &Interval, moments: &mut Vec<Moment>) {
        for (family, (first, last)) in &interval.failed_starts {
            match self.failing.get_mut(family) {
                Some(failing) if !failing.told => failing.last = failing.last.max(*last),
                _ => {
                    self.failing.insert(
                        *family,
                        Failing {
                            last: *last,
                            told: false,
                        },
                    );
                    moments.push(Moment {
                        at: *first,
                        family: *family,
                        what: What::FirstFailed,
                    });
                }
            }
        }
        for family in Family::ALL {
            let was_absent = self.absent.entry(family).or_insert(false);
            match interval.first_answers.get(&(Site::Fra1, family)) {
                Some(at) if *was_absent => {
                    *was_absent = false;
                    moments.push(Moment {
                        at: *at,
                        family,
                        what: What::Answered,
                    });
                }
                Some(_) => {}
                None => *was_absent = true,
            }
        }
    }
}

/// A pause between two polls.
pub fn pause() {
    thread::sleep(Duration::from_millis(5));
}

fn family_of(prefix: ipnet::IpNet) -> Option<Family> {
    Family::ALL
        .into_iter()
        .find(|family| family.network() == prefix)
}

fn from_record(record: &Record) -> Option<Moment> {
    let family = Family::ALL.into_iter().find(|family| {
        record.text("prefix") == family.prefix() || record.text("service") == service_name(*family)
    })?;
    let sentence = record.text("sentence").to_owned();
    let what = match record.event() {
        "suspected" => What::Suspected(sentence),
        "decision" => What::Decided {
            withdraw: record.text("level") == "withdrawn",
            sentence,
        },
        "held" => What::Held(format!("{} holds: {sentence}", record.text("guard"))),
        "probe_changed" if record.0["passes"] == true => What::ProbePasses,
        _ => return None,
    };
    Some(Moment {
        at: record.at(),
        family,
        what,
    })
}
