//! Reading a packet: what kernel and host do differently.

use core::marker::PhantomData;

use zerocopy::FromBytes;

/// A packet whose bytes can be read with a bounds check.
///
/// In the kernel this is the linear part of the frame and a read is one typed
/// load; on the host it is a slice.
pub trait Packet {
    /// Length of the whole frame.
    fn length(&self) -> u32;

    /// The `T` at `offset`, or none if the packet ends before its end.
    fn read<T: FromBytes>(&self, offset: usize) -> Option<T>;

    /// The first bytes of the frame, to be read where they are needed: one bounds
    /// check for all of them. None if the frame is shorter.
    fn start<const LENGTH: usize>(&self) -> Option<Start<'_, LENGTH>>;

    /// As [`read`](Self::read), but also where only headers lie in the linear part.
    /// May cost a helper call.
    fn read_payload<T: FromBytes>(&self, offset: usize) -> Option<T>;

    /// The sum of the 16-bit words (in memory order) of a TCP header at `offset`,
    /// not folded (RFC 1071), or none if the packet ends before it. `length` is that
    /// of a TCP header: 20 to 60 bytes, a multiple of four.
    fn sum_header(&self, offset: usize, length: u32) -> Option<u64>;
}

/// The first `LENGTH` bytes of a frame.
#[derive(Clone, Copy)]
pub struct Start<'a, const LENGTH: usize> {
    first: *const u8,
    bytes: PhantomData<&'a [u8; LENGTH]>,
}

impl<const LENGTH: usize> Start<'_, LENGTH> {
    /// # Safety
    /// There must be so many bytes from `first` on, for as long as this lives.
    #[inline(always)]
    pub unsafe fn new(first: *const u8) -> Self {
        Self {
            first,
            bytes: PhantomData,
        }
    }

    /// The `T` at `offset`, which must be a constant.
    #[inline(always)]
    pub fn read<T: FromBytes>(&self, offset: usize) -> T {
        // Decided when this is compiled.
        assert!(offset + size_of::<T>() <= LENGTH);
        // SAFETY: the bytes are there, and any bytes make a T. In the kernel the load
        // is typed, as an unaligned read would become a load per byte: on the machines
        // for which the kernel allows it, the verifier checks alignment itself.
        unsafe {
            let value = self.first.add(offset).cast::<T>();
            if cfg!(target_arch = "bpf") {
                value.read()
            } else {
                value.read_unaligned()
            }
        }
    }
}

impl Packet for [u8] {
    #[inline]
    fn length(&self) -> u32 {
        self.len() as u32
    }

    #[inline]
    fn read<T: FromBytes>(&self, offset: usize) -> Option<T> {
        let bytes = self.get(offset..)?;
        T::read_from_prefix(bytes).ok().map(|(value, _)| value)
    }

    #[inline]
    fn start<const LENGTH: usize>(&self) -> Option<Start<'_, LENGTH>> {
        // SAFETY: the bytes are there, and live as long as the slice.
        (self.len() >= LENGTH).then(|| unsafe { Start::new(self.as_ptr()) })
    }

    #[inline]
    fn read_payload<T: FromBytes>(&self, offset: usize) -> Option<T> {
        self.read(offset)
    }

    #[inline]
    fn sum_header(&self, offset: usize, length: u32) -> Option<u64> {
        let header = self.get(offset..offset + length as usize)?;
        let (words, _) = header.as_chunks::<2>();
        Some(
            words
                .iter()
                .map(|word| u64::from(u16::from_ne_bytes(*word)))
                .sum(),
        )
    }
}
