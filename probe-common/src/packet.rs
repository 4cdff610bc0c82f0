//! Reading a packet: the one operation that kernel and host do differently.

use zerocopy::FromBytes;

/// A packet whose bytes can be read with a bounds check.
///
/// In the kernel this is the linear part of the frame and a read is one typed
/// load; on the host it is a slice.
pub trait Packet {
    /// The `T` at `offset`, or none if the packet ends before its end.
    fn read<T: FromBytes>(&self, offset: usize) -> Option<T>;
}

impl Packet for [u8] {
    #[inline]
    fn read<T: FromBytes>(&self, offset: usize) -> Option<T> {
        let bytes = self.get(offset..)?;
        T::read_from_prefix(bytes).ok().map(|(value, _)| value)
    }
}
