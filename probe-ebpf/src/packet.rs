//! The only place that touches packet memory.

use core::{
    marker::PhantomData,
    mem::{MaybeUninit, size_of},
};

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_csum_diff, generated::bpf_skb_load_bytes},
};
use probe_common::packet::{Packet, Start};
use zerocopy::FromBytes;

/// The frame that a hook was called for: its linear part, and at the tc hooks the
/// socket buffer with the rest.
pub struct Frame<'a> {
    data: usize,
    end: usize,
    length: u32,
    buffer: Option<*mut __sk_buff>,
    hook: PhantomData<&'a ()>,
}

impl Frame<'_> {
    /// # Safety
    /// `data` and `end` must be the packet pointers of the context of the running
    /// program, `buffer` that context (at the tc hooks), and nothing may move the
    /// packet while the frame lives.
    #[inline(always)]
    pub unsafe fn new(
        data: usize,
        end: usize,
        length: u32,
        buffer: Option<*mut __sk_buff>,
    ) -> Self {
        Self {
            data,
            end,
            length,
            buffer,
            hook: PhantomData,
        }
    }
}

impl Packet for Frame<'_> {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.length
    }

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

    #[inline(always)]
    fn start<const LENGTH: usize>(&self) -> Option<Start<'_, LENGTH>> {
        if self.data + LENGTH > self.end {
            return None;
        }
        // SAFETY: the bytes lie inside the packet.
        Some(unsafe { Start::new(self.data as *const u8) })
    }

    #[inline(always)]
    fn read_payload<T: FromBytes>(&self, offset: usize) -> Option<T> {
        let Some(buffer) = self.buffer else {
            return self.read(offset);
        };
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the buffer is the context of the running program, and the value
        // has as many bytes as the helper is told to write.
        let result = unsafe {
            bpf_skb_load_bytes(
                buffer.cast(),
                offset as u32,
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
            )
        };
        // SAFETY: the helper has filled the value, and any bytes make a T.
        (result == 0).then(|| unsafe { value.assume_init() })
    }

    /// One helper call; a loop over the words would cost the verifier a walk for
    /// every length that a header can have.
    #[inline(always)]
    fn sum_header(&self, offset: usize, length: u32) -> Option<u64> {
        match length {
            20 => self.sum::<20>(offset),
            24 => self.sum::<24>(offset),
            28 => self.sum::<28>(offset),
            32 => self.sum::<32>(offset),
            36 => self.sum::<36>(offset),
            40 => self.sum::<40>(offset),
            44 => self.sum::<44>(offset),
            48 => self.sum::<48>(offset),
            52 => self.sum::<52>(offset),
            56 => self.sum::<56>(offset),
            60 => self.sum::<60>(offset),
            _ => None,
        }
    }
}

impl Frame<'_> {
    /// The helper wants a length that the verifier knows.
    #[inline(always)]
    fn sum<const LENGTH: u32>(&self, offset: usize) -> Option<u64> {
        let start = self.data + offset;
        if start + LENGTH as usize > self.end {
            return None;
        }
        // SAFETY: the bytes lie inside the packet; nothing is subtracted.
        let sum = unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, start as *mut u32, LENGTH, 0) };
        u64::try_from(sum).ok()
    }
}
