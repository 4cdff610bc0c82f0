//! The doorbell: wakes user space when something fails, or when nothing is heard.

use aya_ebpf::{btf_maps::RingBuf, macros::btf_map};

use crate::{atomics, state::state};

/// Enough for one event of eight bytes, and a page.
const RING_BYTES: usize = 4096;

#[btf_map]
static BELL: RingBuf<u64, RING_BYTES> = RingBuf::new();

/// Wakes user space, if it asked for that: once.
#[inline(always)]
pub fn wake() {
    let Some(state) = state() else {
        return;
    };
    if state.bell_armed.load() != 0 && atomics::take(&state.bell_armed) {
        // If the ring is full, user space has not read the last event yet, and will.
        let _ = BELL.output(1u64, 0);
    }
}
