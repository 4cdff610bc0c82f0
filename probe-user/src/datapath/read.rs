//! Reading the maps: memory walks, without a system call per key.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, AsRawFd as _},
    time::Duration,
};

use probe_common::{
    cell::Shared,
    cohort::{BUCKETS, CohortHead, CohortRing},
    counters::{Counters, Traffic},
    latency::Histogram,
    skip::Skip,
    trial::{Begun, Kind},
    uplink::{Handshakes, place},
};
use probe_core::{
    config::ServiceId,
    input::{
        Bucket, CohortReading, HandshakeCounts, Reading, ServiceReading, TrialReading,
        UplinkReading,
    },
};

use super::{ProgramRuns, object::Object, publish::Place, sizes::Layout};

const PROGRAMS: [&str; 3] = ["lapwing_xdp", "lapwing_ingress", "lapwing_egress"];

/// A service's latencies by kind of trial.
pub type Latencies = BTreeMap<Kind, Histogram>;

/// How much of a service is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Nothing.
    Nothing,
    /// The kind of trials on which it is judged first.
    Judged,
    /// All kinds.
    All,
}

/// What is read.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Of every service.
    pub everyone: Depth,
    /// Of the services in `closely`, if that is more.
    pub depth: Depth,
    /// In ascending order.
    pub closely: &'a [ServiceId],
}

impl Scope<'_> {
    /// All of everyone.
    pub const ALL: Self = Self::of_everyone(Depth::All);

    /// As much of everyone.
    pub const fn of_everyone(depth: Depth) -> Self {
        Self {
            everyone: depth,
            depth,
            closely: &[],
        }
    }
}

impl Object {
    /// One walk over the cohort rings and verified handshakes of services. Of those of which
    /// nothing has changed, in ascending order, only those in `closely` are read.
    pub fn read(&self, scope: Scope<'_>, unchanged: &[ServiceId]) -> Reading {
        let mut reading = Reading::default();
        let mut closely = scope.closely.iter().copied().peekable();
        if scope.everyone == Depth::Nothing {
            let read = closely.filter_map(|id| self.read_service(id, scope.depth));
            reading.services.extend(read);
            return reading;
        }
        let mut unchanged = unchanged.iter().copied().peekable();
        for id in (0..).map(ServiceId).take(self.places.len()) {
            let is_unchanged = unchanged.next_if_eq(&id).is_some();
            let depth = match closely.next_if_eq(&id) {
                Some(_) => scope.depth.max(scope.everyone),
                None if is_unchanged => {
                    reading.unchanged.push(id);
                    continue;
                }
                None => scope.everyone,
            };
            reading.services.extend(self.read_service(id, depth));
        }
        reading
    }

    /// Whether anything was counted in a service's rings since the last call.
    pub fn take_touched(&self, service: ServiceId) -> bool {
        let Some(place) = self.places.get(service.0 as usize) else {
            return false;
        };
        let rings = place.kinds.iter().map(|kind| place.ring(*kind));
        // Each of them has its mark taken.
        rings.fold(false, |touched, ring| {
            let head = self.tables.head(ring);
            touched | head.is_some_and(CohortHead::take_touched)
        })
    }

    fn read_service(&self, service: ServiceId, depth: Depth) -> Option<ServiceReading> {
        let place = self.places.get(service.0 as usize)?;
        let verified = self.tables.verified.get(place.id as usize)?;
        let servfails = self.tables.servfails.get(place.id as usize)?;
        Some(ServiceReading {
            service,
            trials: self.read_trials(place, depth),
            verified: verified.iter().map(Shared::load).collect(),
            requests: self.read_begun(place, Begun::Request, depth),
            finishes: self.read_begun(place, Begun::Finish, depth),
            servfails: servfails.iter().map(Shared::load).collect(),
        })
    }

    fn read_trials(&self, place: &Place, depth: Depth) -> Vec<TrialReading> {
        let kinds = match depth {
            Depth::Nothing => &[],
            Depth::Judged => std::slice::from_ref(&place.judged),
            Depth::All => place.kinds,
        };
        kinds
            .iter()
            .filter_map(|kind| {
                let ring = self.tables.ring(place.ring(*kind))?;
                Some(TrialReading {
                    kind: *kind,
                    ring: read_ring(ring),
                })
            })
            .collect()
    }

    fn read_begun(&self, place: &Place, begun: Begun, depth: Depth) -> Vec<u32> {
        let networks = match depth {
            Depth::Nothing | Depth::Judged => None,
            Depth::All => self.tables.begun.get(begun.index(place.id) as usize),
        };
        networks.map_or_else(Vec::new, |networks| {
            networks.iter().map(Shared::load).collect()
        })
    }

    /// What became of connections by the interface of this name and index.
    pub fn uplink(&self, interface: &str, index: u32) -> Option<UplinkReading> {
        let counts = self.tables.uplinks.get(place(index))?;
        // Completed first: what is completed while we read must not outnumber the answers.
        let handshakes = |handshakes: &Handshakes| {
            let completed = handshakes.completed.load();
            HandshakeCounts {
                answered: handshakes.answered.load(),
                completed,
            }
        };
        let spans_failed = counts.spans_failed.load();
        Some(UplinkReading {
            interface: interface.to_owned(),
            index,
            came: handshakes(&counts.came),
            left: handshakes(&counts.left),
            spans: counts.spans.load(),
            spans_failed,
        })
    }

    /// A service's cohort ring of a kind of trial.
    pub fn ring(&self, service: usize, kind: Kind) -> Option<CohortRing<'_>> {
        let place = self.places.get(service)?;
        place
            .kinds
            .contains(&kind)
            .then(|| self.tables.ring(place.ring(kind)))?
    }

    /// What every packet of each service adds to, summed over CPUs.
    pub fn traffic(&self) -> Vec<Traffic> {
        self.over_cpus(|sum: &mut Traffic, index| {
            if let Some(traffic) = self.tables.traffic.get(index) {
                sum.add(&traffic.read());
            }
        })
    }

    /// Every service's counters, summed over CPUs.
    pub fn counters(&self) -> Vec<Counters> {
        self.over_cpus(|sum: &mut Counters, index| {
            if let Some(counters) = self.tables.counters.get(index) {
                sum.add(&counters.read());
            }
        })
    }

    /// A sum for every service. `add` is called with each index at which a CPU keeps the
    /// service's part of it.
    fn over_cpus<T: Default>(&self, add: impl Fn(&mut T, usize)) -> Vec<T> {
        let Layout { capacity, cpus, .. } = self.tables.layout;
        let sum_of = |place: &Place| {
            let mut sum = T::default();
            for cpu in 0..cpus {
                add(&mut sum, (cpu * capacity + place.id) as usize);
            }
            sum
        };
        self.places.iter().map(sum_of).collect()
    }

    /// Every service's latencies.
    pub fn latencies(&self) -> Vec<Latencies> {
        self.places
            .iter()
            .map(|place| {
                place
                    .kinds
                    .iter()
                    .filter(|kind| kind.has_latency())
                    .filter_map(|kind| {
                        Some((*kind, self.tables.latencies(place.id, *kind)?.read()))
                    })
                    .collect()
            })
            .collect()
    }

    /// Packets that were not measured, by reason, summed over CPUs.
    pub fn skips(&self) -> [u64; Skip::COUNT] {
        let mut sums = [0; Skip::COUNT];
        for cpu in 0..self.tables.layout.cpus as usize {
            let Some(skips) = self.tables.skips.get(cpu) else {
                continue;
            };
            for (sum, value) in sums.iter_mut().zip(&skips.0) {
                *sum += value.load();
            }
        }
        sums
    }

    /// SERVFAIL responses of a service by name bucket.
    pub fn servfails(&self, service: usize) -> Option<Vec<u32>> {
        let names = self
            .tables
            .servfails
            .get(self.places.get(service)?.id as usize)?;
        Some(names.iter().map(Shared::load).collect())
    }

    /// Verified handshakes of a service, of all networks.
    pub fn verified(&self, service: usize) -> Option<u64> {
        let networks = self
            .tables
            .verified
            .get(self.places.get(service)?.id as usize)?;
        Some(networks.iter().map(|count| u64::from(count.load())).sum())
    }

    /// Runs and run time of the programs that are loaded.
    pub fn program_runs(&self) -> Vec<ProgramRuns> {
        PROGRAMS
            .into_iter()
            .filter_map(|program| {
                let fd = match self.ebpf.program(program)? {
                    aya::programs::Program::Xdp(xdp) => xdp.fd().ok()?,
                    aya::programs::Program::SchedClassifier(tc) => tc.fd().ok()?,
                    _ => return None,
                };
                let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
                let (runs, run_time) = parse_runs(&std::fs::read_to_string(path).ok()?)?;
                Some(ProgramRuns {
                    program,
                    runs,
                    run_time,
                })
            })
            .collect()
    }
}

/// Runs and run time in the kernel's description of a program's descriptor.
fn parse_runs(info: &str) -> Option<(u64, Duration)> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .and_then(|value| value.trim().parse().ok())
    };
    Some((
        field("run_cnt")?,
        Duration::from_nanos(field("run_time_ns")?),
    ))
}

/// A ring as it is now. Outcomes are read before what was started, so that a trial which ends while we
/// read is never taken for a missing one.
pub fn read_ring(ring: CohortRing<'_>) -> CohortReading {
    let CohortRing { head, cohorts } = ring;
    let outcomes: [(u32, u32, u32); BUCKETS] = std::array::from_fn(|index| {
        let bucket = &cohorts.buckets[index];
        (
            bucket.succeeded.load(),
            bucket.failed.load(),
            bucket.abandoned.load(),
        )
    });
    let after_deadline = head.after_deadline.load();
    let buckets = cohorts
        .buckets
        .iter()
        .zip(outcomes)
        .map(|(bucket, (succeeded, failed, abandoned))| Bucket {
            started: bucket.started.load(),
            succeeded,
            failed,
            abandoned,
        })
        .collect();
    CohortReading {
        width_shift: head.width_shift.load().into(),
        deadline: Duration::from_nanos(head.deadline_ns.load()),
        after_deadline,
        buckets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_from_fdinfo() {
        let info = "pos:\t0\nprog_type:\t6\nprog_id:\t9\nrun_time_ns:\t1500\nrun_cnt:\t3\n";
        assert_eq!(parse_runs(info), Some((3, Duration::from_nanos(1500))));
        assert_eq!(parse_runs("pos:\t0\n"), None);
    }
}
