//! A word to the kernel's verifier, which follows every path on its own.

/// `value`, of which the compiler now knows nothing, cut to `mask`.
///
/// For an index that was found in several ways: the compiler would make one copy of
/// all that follows for each way, with the index as a constant, and the verifier
/// would walk them all; and it would leave out a mask that changes nothing, though
/// it is the verifier's only proof of bounds.
#[inline(always)]
pub fn bounded(value: usize, mask: usize) -> usize {
    core::hint::black_box(value) & mask
}
