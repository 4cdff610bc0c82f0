//! Memory that CPUs share, or kernel and user space: loads and stores that the
//! compiler neither invents, splits nor drops.
//!
//! `core::sync::atomic` would be the type for it, but bpf's `core` has only the
//! 64-bit one, without read-modify-write methods. Those are in [`Atomics`].

use core::cell::UnsafeCell;

/// A value that others may change at any time. Aligned words of up to eight bytes
/// only, which the processors that Lapwing runs on load and store in one piece.
#[repr(transparent)]
#[derive(Default)]
pub struct Shared<T>(UnsafeCell<T>);

// SAFETY: every access is one volatile load or store of an aligned word.
unsafe impl<T: Word> Sync for Shared<T> {}

/// The words that [`Shared`] can hold.
pub trait Word: Copy + private::Sealed {}

mod private {
    pub trait Sealed {}
}

macro_rules! words {
    ($($word:ty)*) => {$(
        impl private::Sealed for $word {}
        impl Word for $word {}
    )*};
}

words!(u8 u32 u64);

impl<T: Word> Shared<T> {
    /// Holds `value`.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The present value.
    #[inline(always)]
    pub fn load(&self) -> T {
        // SAFETY: the pointer comes from a live reference; see `Word` for the size.
        unsafe { self.0.get().read_volatile() }
    }

    /// Replaces the value.
    #[inline(always)]
    pub fn store(&self, value: T) {
        // SAFETY: as in `load`.
        unsafe { self.0.get().write_volatile(value) }
    }

    /// The address, for atomic instructions.
    #[inline(always)]
    pub const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }
}

impl<T: Word + core::fmt::Debug> core::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.load().fmt(f)
    }
}

/// The read-modify-write operations that entries shared between CPUs need.
/// A trait, because bpf's `core` has no such methods on its atomics.
pub trait Atomics {
    /// Adds, wrapping.
    fn add(cell: &Shared<u32>, value: u32);
    /// Adds, wrapping.
    fn add_wide(cell: &Shared<u64>, value: u64);
    /// Replaces `expected` by `new`; whether it did.
    fn compare_exchange(cell: &Shared<u32>, expected: u32, new: u32) -> bool;
    /// Replaces `expected` by `new`; whether it did.
    fn compare_exchange_wide(cell: &Shared<u64>, expected: u64, new: u64) -> bool;
}
