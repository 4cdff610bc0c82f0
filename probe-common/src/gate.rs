//! The gate that keeps established traffic away from the flow tables.
//!
//! A SYN-ACK leaves a mark under the connection's hash; any other segment costs a
//! table look-up only if it finds one. Marks are generation numbers and die by age:
//! a mark counts while it is of the present or the previous generation, so nothing
//! has to be cleared and the reader needs no clock.

use crate::cell::Shared;

/// Marks of the gate.
pub const MARKS: usize = 1 << 17;
/// A generation lasts at least 2^30 ns (1.07 s), and as long as the longest deadline
/// of a trial that waits behind the gate.
pub const MIN_GENERATION_SHIFT: u32 = 30;

/// The gate's memory.
#[repr(C)]
pub struct Gate {
    /// Present generation in the lowest byte, the one before in the next.
    generations: Shared<u32>,
    /// Length of a generation as a power of two of nanoseconds; below
    /// [`MIN_GENERATION_SHIFT`] it is that.
    pub generation_shift: Shared<u32>,
    marks: [Shared<u8>; MARKS],
}

const _: () = assert!(size_of::<Gate>() == 8 + MARKS);

impl Gate {
    /// Marks the connection with this hash: its first segments are awaited.
    #[inline(always)]
    pub fn open(&self, hash: u64, now_ns: u64) {
        let mut shift = self.generation_shift.load() & 63;
        if shift < MIN_GENERATION_SHIFT {
            shift = MIN_GENERATION_SHIFT;
        }
        // Never zero, which is the mark of a place that was never used.
        let generation = ((now_ns >> shift) % 255) as u32 + 1;
        let seen = self.generations.load();
        if seen & 0xff != generation {
            self.generations.store(generation | (seen & 0xff) << 8);
        }
        self.marks[position(hash)].store(generation as u8);
    }

    /// Whether a segment of the connection with this hash is worth a look-up.
    #[inline(always)]
    pub fn is_open(&self, hash: u64) -> bool {
        let mark = u32::from(self.marks[position(hash)].load());
        if mark == 0 {
            return false;
        }
        let generations = self.generations.load();
        mark == generations & 0xff || mark == generations >> 8 & 0xff
    }
}

#[inline(always)]
fn position(hash: u64) -> usize {
    (hash >> 47) as usize & (MARKS - 1)
}

/// The generation shift with which a mark outlives `deadline_ns`.
pub fn generation_shift(deadline_ns: u64) -> u32 {
    let mut shift = MIN_GENERATION_SHIFT;
    while shift < 40 && 1u64 << shift < deadline_ns {
        shift += 1;
    }
    shift
}
