//! Cohort rings and latencies by service and kind of trial, and what is counted by
//! hash buckets of networks and names. User space reads them through mmap.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use probe_common::{
    address::NETWORK_BUCKETS,
    cell::Shared,
    cohort::{CohortHead, CohortRing, Cohorts},
    latency::SharedHistogram,
    trial::{Begun, RINGS_PER_BLOCK, RINGS_PER_SERVICE, by_place},
};

use crate::{DEFAULT_ENTRIES, MMAPABLE, atomics, counters};

#[btf_map]
static COHORT_HEADS: Array<CohortHead, DEFAULT_ENTRIES, MMAPABLE> = Array::new();

#[btf_map]
static COHORTS: Array<Cohorts, DEFAULT_ENTRIES, MMAPABLE> = Array::new();

#[btf_map]
static LATENCIES: Array<SharedHistogram, DEFAULT_ENTRIES, MMAPABLE> = Array::new();

#[btf_map]
static VERIFIED: Array<[Shared<u32>; NETWORK_BUCKETS], DEFAULT_ENTRIES, MMAPABLE> = Array::new();

#[btf_map]
static BEGUN: Array<[Shared<u32>; NETWORK_BUCKETS], DEFAULT_ENTRIES, MMAPABLE> = Array::new();

#[btf_map]
static SERVFAILS: Array<[Shared<u32>; NETWORK_BUCKETS], DEFAULT_ENTRIES, MMAPABLE> = Array::new();

/// A ring.
#[inline(always)]
pub fn ring(index: u32) -> Option<CohortRing<'static>> {
    let place = by_place(index, RINGS_PER_SERVICE, counters::capacity());
    Some(CohortRing {
        head: COHORT_HEADS.get(place)?,
        cohorts: COHORTS.get(place)?,
    })
}

/// The latencies of a service and kind.
#[inline(always)]
pub fn latencies(index: u32) -> Option<&'static SharedHistogram> {
    LATENCIES.get(by_place(index, RINGS_PER_BLOCK, counters::capacity()))
}

/// Counts a verified handshake of a network.
#[inline(always)]
pub fn add_verified(service: u32, network_bucket: usize) {
    if let Some(networks) = VERIFIED.get(service) {
        atomics::add(&networks[network_bucket & (NETWORK_BUCKETS - 1)], 1);
    }
}

/// Counts a trial that a network begins.
#[inline(always)]
pub fn add_begun(service: u32, begun: Begun, network_bucket: usize) {
    if let Some(networks) = BEGUN.get(begun.index(service)) {
        atomics::add(&networks[network_bucket & (NETWORK_BUCKETS - 1)], 1);
    }
}

/// Counts a SERVFAIL about a name.
#[inline(always)]
pub fn add_servfail(service: u32, name_bucket: usize) {
    if let Some(names) = SERVFAILS.get(service) {
        atomics::add(&names[name_bucket & (NETWORK_BUCKETS - 1)], 1);
    }
}
