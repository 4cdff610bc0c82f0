//! Map values mapped into our memory: reading them is a memory walk, without a
//! system call per key.

use std::{io, marker::PhantomData, num::NonZeroUsize, ops::Deref, os::fd::AsFd, ptr::NonNull};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// The values of an array map with `BPF_F_MMAPABLE`.
///
/// `T` must be made of [`probe_common::cell::Shared`] words wherever the kernel
/// side writes while we read.
pub struct Mapped<T> {
    start: NonNull<T>,
    length: usize,
    bytes: NonZeroUsize,
    values: PhantomData<T>,
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl<T: Send> Send for Mapped<T> {}

impl<T> Mapped<T> {
    /// Maps `length` values of the map behind `map`.
    pub fn new(map: impl AsFd, length: usize) -> io::Result<Self> {
        // The kernel lays array values out at multiples of eight bytes.
        // A mapping begins at a page.
        assert!(size_of::<T>().is_multiple_of(8) && size_of::<T>().is_multiple_of(align_of::<T>()));
        let bytes = NonZeroUsize::new(size_of::<T>() * length)
            .ok_or_else(|| io::Error::other("an empty map"))?;
        // SAFETY: a new mapping at an address of the kernel's choice; the kernel
        // checks that the map is as long as we say.
        let start = unsafe {
            mmap(
                None,
                bytes,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                map,
                0,
            )
        }?;
        Ok(Self {
            start: start.cast(),
            length,
            bytes,
            values: PhantomData,
        })
    }

    /// The value at `index`.
    pub fn get(&self, index: usize) -> Option<&T> {
        (index < self.length).then(|| {
            // SAFETY: inside the mapping, which lives as long as `self`; map memory
            // is initialised by the kernel.
            unsafe { self.start.add(index).as_ref() }
        })
    }

    /// The value at `index`, to be written.
    ///
    /// The caller must only write parts that the kernel side does not use at the
    /// time; [`probe_common::service::ServiceTable`] has two copies for that.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        (index < self.length).then(|| {
            // SAFETY: as in `get`, and `&mut self` keeps our own side out.
            unsafe { self.start.add(index).as_mut() }
        })
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, unmapped once. An error would mean
        // that it is not mapped, and then there is nothing left to do.
        let _ = unsafe { munmap(self.start.cast(), self.bytes.get()) };
    }
}

/// The only value of an array map.
pub struct One<T>(Mapped<T>);

impl<T> One<T> {
    /// The first value of a mapping that has one.
    pub fn new(values: Mapped<T>) -> Self {
        assert!(values.length > 0, "a mapping of at least one value");
        Self(values)
    }

    /// The value, to be written; see [`Mapped::get_mut`].
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut(0).expect("checked in new")
    }
}

impl<T> Deref for One<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.get(0).expect("checked in new")
    }
}
