//! The doorbell: wakes user space when something fails, or when nothing is heard.

use aya_ebpf::{
    btf_maps::{Array, RingBuf},
    macros::btf_map,
};
use probe_common::cell::Shared;

use crate::{MMAPABLE, atomics};

/// Enough for one event of eight bytes, and a page.
const RING_BYTES: usize = 4096;

/// Set by user space when it goes to sleep.
#[btf_map]
static BELL_ARMED: Array<Shared<u64>, 1, MMAPABLE> = Array::new();

#[btf_map]
static BELL: RingBuf<u64, RING_BYTES> = RingBuf::new();

/// Wakes user space, if it asked for that: once.
#[inline(always)]
pub fn wake() {
    let Some(armed) = BELL_ARMED.get(0) else {
        return;
    };
    if armed.load() != 0 && atomics::take(armed) {
        // If the ring is full, user space has not read the last event yet, and will.
        let _ = BELL.output(&1u64, 0);
    }
}
