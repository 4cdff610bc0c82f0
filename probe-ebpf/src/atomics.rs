//! Read-modify-write on memory that CPUs share.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};

use probe_common::cell::Shared;

/// `lock xadd`; the old value is not wanted, so kernels from 4.x on take it.
#[inline(always)]
pub fn add(cell: &Shared<u32>, value: u32) {
    // SAFETY: the pointer is that of a live word.
    unsafe {
        atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(cell.as_ptr(), value);
    }
}

/// As [`add`].
#[inline(always)]
pub fn add_wide(cell: &Shared<u64>, value: u64) {
    // SAFETY: the pointer is that of a live word.
    unsafe {
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(cell.as_ptr(), value);
    }
}

/// `lock cmpxchg`, from kernel 5.12 on.
#[inline(always)]
pub fn compare_exchange(cell: &Shared<u32>, expected: u32, new: u32) -> bool {
    // SAFETY: the pointer is that of a live word.
    let (_, done) = unsafe {
        atomic_cxchg::<u32, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
            cell.as_ptr(),
            expected,
            new,
        )
    };
    done
}

/// As [`compare_exchange`].
#[inline(always)]
pub fn compare_exchange_wide(cell: &Shared<u64>, expected: u64, new: u64) -> bool {
    // SAFETY: the pointer is that of a live word.
    let (_, done) = unsafe {
        atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
            cell.as_ptr(),
            expected,
            new,
        )
    };
    done
}

/// Sets the word to zero; whether it was one before.
#[inline(always)]
pub fn take(cell: &Shared<u64>) -> bool {
    compare_exchange_wide(cell, 1, 0)
}
