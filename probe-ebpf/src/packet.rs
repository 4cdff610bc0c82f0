//! The only place that touches packet memory.

use core::{marker::PhantomData, mem::size_of};

use probe_common::packet::Packet;
use zerocopy::FromBytes;

/// The linear part of the frame that a hook was called for.
pub struct Frame<'a> {
    data: usize,
    end: usize,
    hook: PhantomData<&'a ()>,
}

impl Frame<'_> {
    /// # Safety
    /// `data` and `end` must be the packet pointers of the context of the running
    /// program, and nothing may move the packet while the frame lives.
    #[inline(always)]
    pub unsafe fn new(data: usize, end: usize) -> Self {
        Self {
            data,
            end,
            hook: PhantomData,
        }
    }
}

impl Packet for Frame<'_> {
    #[inline(always)]
    fn read<T: FromBytes>(&self, offset: usize) -> Option<T> {
        let start = self.data + offset;
        if start + size_of::<T>() > self.end {
            return None;
        }
        // SAFETY: the bytes lie inside the packet (checked above, and proven again
        // by the verifier), and any bytes make a T. The load is typed rather than
        // `read_unaligned`, which would become a load per byte: on the machines for
        // which the kernel allows it, the verifier checks alignment itself.
        Some(unsafe { core::ptr::read(start as *const T) })
    }
}
