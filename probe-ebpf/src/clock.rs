//! Time: the kernel's, or a replayed one.

use aya_ebpf::{Global, helpers::bpf_ktime_get_ns};

use crate::state::state;

/// Set before load by tests and by replay; otherwise the verifier removes the branch.
#[unsafe(no_mangle)]
static REPLAY: Global<u8> = Global::new(0);

/// Nanoseconds of the monotonic clock, or of the replayed one.
#[inline(always)]
pub fn now_ns() -> u64 {
    if REPLAY.load() != 0 {
        return coarse_now_ns();
    }
    // SAFETY: the helper has no precondition.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    if let Some(state) = state() {
        state.clock.store(now_ns);
    }
    now_ns
}

/// The same, as of the last time that anybody asked.
#[inline(always)]
pub fn coarse_now_ns() -> u64 {
    state().map_or(0, |state| state.clock.load())
}
