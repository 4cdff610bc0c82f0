//! Counters and latency histograms by service, and skips by reason: per CPU, so
//! that no packet waits for another CPU's cache line.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use probe_common::{
    counters::Counters,
    latency::{BUCKETS, Histogram, bucket},
    skip::Skip,
};

/// Replaced at load by the number of services.
const DEFAULT_ENTRIES: usize = 1;

#[btf_map]
static COUNTERS: PerCpuArray<Counters, DEFAULT_ENTRIES> = PerCpuArray::new();

#[btf_map]
static CONNECT_LATENCY: PerCpuArray<Histogram, DEFAULT_ENTRIES> = PerCpuArray::new();

#[btf_map]
static SKIPS: PerCpuArray<[u64; Skip::COUNT], 1> = PerCpuArray::new();

/// Changes this CPU's counters of a service.
#[inline(always)]
pub fn count(service: u32, change: impl FnOnce(&mut Counters)) -> Option<()> {
    let counters = COUNTERS.get_ptr_mut(service)?;
    // SAFETY: the value is this CPU's own, and hooks do not preempt each other.
    change(unsafe { &mut *counters });
    Some(())
}

/// Adds a latency to this CPU's histogram of a service.
#[inline(always)]
pub fn add_latency(service: u32, latency_ns: u64) {
    let Some(histogram) = CONNECT_LATENCY.get_ptr_mut(service) else {
        return;
    };
    // SAFETY: as in `count`.
    let histogram = unsafe { &mut *histogram };
    histogram.sum_ns += latency_ns;
    let index = bucket(latency_ns);
    if index < BUCKETS {
        histogram.buckets[index] += 1;
    }
}

/// Counts a packet that was not measured.
#[inline(always)]
pub fn skip(reason: Skip) {
    let Some(skips) = SKIPS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: as in `count`.
    let skips = unsafe { &mut *skips };
    skips[reason as usize] += 1;
}
