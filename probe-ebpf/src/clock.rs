//! Time: the kernel's, or a replayed one.

use aya_ebpf::{Global, btf_maps::Array, helpers::bpf_ktime_get_ns, macros::btf_map};

use crate::cohorts::MMAPABLE;

/// Set before load by tests and by replay; otherwise the verifier removes the branch.
#[unsafe(no_mangle)]
static REPLAY: Global<u8> = Global::new(0);

#[btf_map]
static CLOCK: Array<u64, 1, MMAPABLE> = Array::new();

/// Nanoseconds of the monotonic clock, or of the replayed one.
#[inline(always)]
pub fn now_ns() -> u64 {
    if REPLAY.load() != 0 {
        return CLOCK.get(0).copied().unwrap_or(0);
    }
    // SAFETY: the helper has no precondition.
    unsafe { bpf_ktime_get_ns() }
}
