//! Reading the maps. Cohort rings and verified handshakes are mapped memory and are
//! read every tick; counters are per CPU, cost a system call per service, and are
//! read once a second and for scrapes.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    time::Duration,
};

use aya::{
    Ebpf, Pod,
    maps::{PerCpuArray, PerCpuValues},
};
use probe_common::{
    counters::Counters,
    latency::Histogram,
    skip::Skip,
    trial::{BUCKETS, CohortRing},
};
use probe_core::{
    config::ServiceId,
    input::{Bucket, CohortReading, Reading, ServiceReading},
};

use super::{
    Error, ProgramRuns,
    object::{Object, Place, map_error, map_missing},
};

/// A value of `probe_common` as aya wants it.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Value<T>(T);

// SAFETY: Counters and Histogram are `repr(C)`, of u64 alone.
unsafe impl Pod for Value<Counters> {}
// SAFETY: as above.
unsafe impl Pod for Value<Histogram> {}

const PROGRAMS: [&str; 3] = ["lapwing_xdp", "lapwing_ingress", "lapwing_egress"];

impl Object {
    /// One walk over the cohort rings and verified handshakes of all services.
    pub fn read(&self) -> Reading {
        let services = self
            .places
            .iter()
            .zip(0..)
            .filter_map(|(place, service)| {
                let ring = self.rings.get(place.ring as usize)?;
                let verified = self.verified.get(place.id as usize)?;
                Some(ServiceReading {
                    service: ServiceId(service),
                    connect: read_ring(ring),
                    verified: verified
                        .iter()
                        .map(probe_common::cell::Shared::load)
                        .collect(),
                })
            })
            .collect();
        Reading { services }
    }

    /// Every service's counters, summed over CPUs.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn counters(&self) -> Result<Vec<Counters>, Error> {
        self.sums("COUNTERS", Counters::default(), |sum, value| {
            sum.add(value);
        })
    }

    /// Every service's latencies from SYN to SYN-ACK, summed over CPUs.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn connect_latency(&self) -> Result<Vec<Histogram>, Error> {
        self.sums("CONNECT_LATENCY", Histogram::default(), |sum, value| {
            sum.add(value);
        })
    }

    /// Packets that were not measured, by reason, summed over CPUs.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn skips(&self) -> Result<[u64; Skip::COUNT], Error> {
        const NAME: &str = "SKIPS";
        let map: PerCpuArray<_, [u64; Skip::COUNT]> = self.per_cpu(NAME)?;
        let values = map.get(&0, 0).map_err(|error| map_error(NAME, &error))?;
        let mut sums = [0; Skip::COUNT];
        for value in values.iter() {
            for (sum, value) in sums.iter_mut().zip(value) {
                *sum += value;
            }
        }
        Ok(sums)
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

    fn sums<T: Copy>(
        &self,
        name: &'static str,
        zero: T,
        add: impl Fn(&mut T, &T),
    ) -> Result<Vec<T>, Error>
    where
        Value<T>: Pod,
    {
        let map: PerCpuArray<_, Value<T>> = self.per_cpu(name)?;
        self.places
            .iter()
            .map(|place| {
                let values = map
                    .get(&place.id, 0)
                    .map_err(|error| map_error(name, &error))?;
                let mut sum = zero;
                for value in values.iter() {
                    add(&mut sum, &value.0);
                }
                Ok(sum)
            })
            .collect()
    }

    fn per_cpu<V: Pod>(
        &self,
        name: &'static str,
    ) -> Result<PerCpuArray<&aya::maps::MapData, V>, Error> {
        PerCpuArray::try_from(self.ebpf.map(name).ok_or_else(|| map_missing(name))?)
            .map_err(|error| map_error(name, &error))
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

/// Zeroes what somebody else may have counted in a slot before.
pub(super) fn zero(ebpf: &mut Ebpf, place: Place) -> Result<(), Error> {
    zero_in(ebpf, "COUNTERS", place.id, Value(Counters::default()))?;
    zero_in(
        ebpf,
        "CONNECT_LATENCY",
        place.id,
        Value(Histogram::default()),
    )
}

fn zero_in<V: Pod>(ebpf: &mut Ebpf, name: &'static str, id: u32, zero: V) -> Result<(), Error> {
    let cpus = aya::util::nr_cpus().map_err(|(_, error)| map_error(name, &error))?;
    let values =
        PerCpuValues::try_from(vec![zero; cpus]).map_err(|error| map_error(name, &error))?;
    let mut map: PerCpuArray<_, V> =
        PerCpuArray::try_from(ebpf.map_mut(name).ok_or_else(|| map_missing(name))?)
            .map_err(|error| map_error(name, &error))?;
    map.set(id, values, 0)
        .map_err(|error| map_error(name, &error))
}

/// Outcomes are read before what was started, so that a trial which ends while we
/// read is never taken for a missing one.
fn read_ring(ring: &CohortRing) -> CohortReading {
    let outcomes: [(u32, u32, u32); BUCKETS] = std::array::from_fn(|index| {
        let bucket = &ring.buckets[index];
        (
            bucket.succeeded.load(),
            bucket.failed.load(),
            bucket.abandoned.load(),
        )
    });
    let after_deadline = ring.after_deadline.load();
    let buckets = ring
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
        width_shift: ring.width_shift.load(),
        deadline: Duration::from_nanos(ring.deadline_ns.load()),
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
