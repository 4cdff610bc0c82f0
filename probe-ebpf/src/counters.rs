//! Counters by service, and skips by reason: each CPU has its own, so that no
//! packet waits for another CPU's cache line. They lie in ordinary arrays, one
//! stretch after the other, which user space can map; the kernel's per-CPU arrays
//! cannot be mapped.

use aya_ebpf::{
    Global, btf_maps::Array, helpers::generated::bpf_get_smp_processor_id, macros::btf_map,
};
use probe_common::{
    counters::{Counters, Traffic},
    skip::{Skip, SkipCounters},
};

use crate::{DEFAULT_ENTRIES, MMAPABLE};

/// How many services a CPU's stretch, and every other map by service, has room for. Set
/// before load.
#[unsafe(no_mangle)]
static CAPACITY: Global<u32> = Global::new(0);

#[btf_map]
static TRAFFIC: Array<Traffic, DEFAULT_ENTRIES, MMAPABLE> = Array::new();

#[btf_map]
static COUNTERS: Array<Counters, DEFAULT_ENTRIES, MMAPABLE> = Array::new();

#[btf_map]
static SKIPS: Array<SkipCounters, DEFAULT_ENTRIES, MMAPABLE> = Array::new();

/// How many services the maps have room for.
#[inline(always)]
pub fn capacity() -> u32 {
    CAPACITY.load()
}

#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_get_smp_processor_id() }
}

/// The place of a service in this CPU's stretch.
#[inline(always)]
fn here(service: u32) -> u32 {
    cpu() * capacity() + service
}

/// Changes this CPU's counts of what every packet of a service adds to.
#[inline(always)]
pub fn count_traffic(service: u32, change: impl FnOnce(&mut Traffic)) -> Option<()> {
    let traffic = TRAFFIC.get_ptr_mut(here(service))?;
    // SAFETY: the value is this CPU's own, and hooks do not preempt each other.
    change(unsafe { &mut *traffic });
    Some(())
}

/// Changes this CPU's counters of a service.
#[inline(always)]
pub fn count(service: u32, change: impl FnOnce(&mut Counters)) -> Option<()> {
    let counters = COUNTERS.get_ptr_mut(here(service))?;
    // SAFETY: as in `count_traffic`.
    change(unsafe { &mut *counters });
    Some(())
}

/// Counts a packet that was not measured.
#[inline(always)]
pub fn skip(reason: Skip) {
    let Some(skips) = SKIPS.get_ptr_mut(cpu()) else {
        return;
    };
    // SAFETY: as in `count_traffic`.
    let skips = unsafe { &mut *skips };
    // The black box keeps the check for the verifier, which does not know the enum.
    if let Some(count) = skips.0.get_mut(core::hint::black_box(reason as usize)) {
        *count += 1;
    }
}
