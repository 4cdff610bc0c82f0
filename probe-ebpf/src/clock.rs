//! Time: the kernel's, or a replayed one.

use aya_ebpf::{Global, btf_maps::Array, helpers::bpf_ktime_get_ns, macros::btf_map};
use probe_common::cell::Shared;

use crate::MMAPABLE;

/// Set before load by tests and by replay; otherwise the verifier removes the branch.
#[unsafe(no_mangle)]
static REPLAY: Global<u8> = Global::new(0);

/// The replayed time; otherwise the latest time that anybody asked the kernel for:
/// here, or in user space at every reading.
#[btf_map]
static CLOCK: Array<Shared<u64>, 1, MMAPABLE> = Array::new();

/// Nanoseconds of the monotonic clock, or of the replayed one.
#[inline(always)]
pub fn now_ns() -> u64 {
    if REPLAY.load() != 0 {
        return coarse_now_ns();
    }
    // SAFETY: the helper has no precondition.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    if let Some(clock) = CLOCK.get(0) {
        clock.store(now_ns);
    }
    now_ns
}

/// The same, as of the last time that anybody asked.
#[inline(always)]
pub fn coarse_now_ns() -> u64 {
    CLOCK.get(0).map_or(0, Shared::load)
}
