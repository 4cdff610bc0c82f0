//! Reading a packet: what kernel and host do differently.

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

    /// As [`read`](Self::read), but also where only headers lie in the linear part.
    /// May cost a helper call.
    fn read_payload<T: FromBytes>(&self, offset: usize) -> Option<T>;

    /// The sum of the 16-bit words (in memory order) of a TCP header at `offset`,
    /// not folded (RFC 1071), or none if the packet ends before it. `length` is that
    /// of a TCP header: 20 to 60 bytes, a multiple of four.
    fn sum_header(&self, offset: usize, length: u32) -> Option<u64>;
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
