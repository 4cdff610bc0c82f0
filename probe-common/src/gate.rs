//! The gate that keeps established traffic away from the flow tables.
//!
//! A SYN-ACK leaves a mark under the connection's hash; any other segment costs a
//! table look-up only if it finds one. Marks are generation numbers and die by age:
//! a mark counts while it is of the present or the previous generation, so nothing
//! has to be cleared and the reader needs no clock.
//!
//! ```text
//!  hash ─▶ mark, one byte ── none, old ──▶ closed     64 KiB, in every cache
//!             │ fresh
//!             ▼
//!          three bits among 56, ── absent ──▶ closed
//!          for each generation
//!             │ there
//!             ▼
//!           open
//! ```
//! On most days the marks alone tell: few are fresh. A SYN flood makes nearly all of
//! them fresh; then the names (a Bloom filter in one word, Bloom 1970) tell which
//! connection a mark was for, so that established traffic is not led to the tables by
//! the flood's.

use crate::cell::{Atomics, Shared};

/// Marks of the gate.
pub const MARKS: usize = 1 << 16;
/// A generation lasts at least 2^30 ns (1.07 s), and as long as the longest deadline
/// of a trial that waits behind the gate.
pub const MIN_GENERATION_SHIFT: u32 = 30;
/// Bits below the generation in a word of names.
const NAME_BITS: u32 = 56;
/// How often a word of names is tried again that another CPU has just written.
const TRIES: usize = 4;

/// The gate's memory.
#[repr(C)]
pub struct Gate {
    /// The present generation.
    present: Shared<u32>,
    /// The one before it. Whoever looks while it changes may miss marks that are about to
    /// be old.
    former: Shared<u32>,
    /// Explicit padding.
    reserved: u32,
    /// Length of a generation as a power of two of nanoseconds; below
    /// [`MIN_GENERATION_SHIFT`] it is that.
    pub generation_shift: Shared<u32>,
    marks: [Shared<u8>; MARKS],
    /// By mark: the names of even generations, and those of odd ones. In the highest
    /// byte of each word is the generation that they are of.
    names: [[Shared<u64>; 2]; MARKS],
}

const _: () = assert!(size_of::<Gate>() == 16 + MARKS + 16 * MARKS);

impl Gate {
    /// Marks the connection with this hash: its first segments are awaited.
    #[inline(always)]
    pub fn open<A: Atomics>(&self, hash: u64, now_ns: u64) {
        let mut shift = self.generation_shift.load() & 63;
        if shift < MIN_GENERATION_SHIFT {
            shift = MIN_GENERATION_SHIFT;
        }
        // Never zero, which is the mark of a place that was never used; an even number
        // of them, so that even and odd ones take turns.
        let generation = ((now_ns >> shift) % 254) as u32 + 1;
        let seen = self.present.load();
        if seen != generation {
            self.former.store(seen);
            self.present.store(generation);
        }
        let position = position(hash);
        self.add_name::<A>(position, generation, name(hash));
        self.marks[position].store(generation as u8);
    }

    #[inline(always)]
    fn add_name<A: Atomics>(&self, position: usize, generation: u32, name: u64) {
        let word = &self.names[position][(generation & 1) as usize];
        let generation = u64::from(generation) << NAME_BITS;
        for _ in 0..TRIES {
            let seen = word.load();
            let wanted = if seen >> NAME_BITS << NAME_BITS == generation {
                seen | name
            } else {
                generation | name
            };
            if seen == wanted || A::compare_exchange_wide(word, seen, wanted) {
                break;
            }
        }
    }

    /// Whether a segment of the connection with this hash is worth a look-up.
    #[inline(always)]
    pub fn is_open(&self, hash: u64) -> bool {
        let position = position(hash);
        let mark = u32::from(self.marks[position].load());
        if mark == 0 {
            return false;
        }
        if mark != self.present.load() && mark != self.former.load() {
            return false;
        }
        let name = name(hash);
        let has_name = |generation: &Shared<u32>| {
            let generation = generation.load();
            let word = self.names[position][(generation & 1) as usize].load();
            let wanted = u64::from(generation) << NAME_BITS | name;
            // The generation's bits and the name's.
            (word ^ wanted) & (0xff << NAME_BITS | name) == 0
        };
        has_name(&self.present) || has_name(&self.former)
    }
}

#[inline(always)]
fn position(hash: u64) -> usize {
    (hash >> 48) as usize & (MARKS - 1)
}

/// Three bits, now and then fewer, from parts of the hash that do not tell the position.
#[inline(always)]
fn name(hash: u64) -> u64 {
    let bit = |part: u64| 1u64 << (((part & 0xff) * u64::from(NAME_BITS)) >> 8);
    bit(hash >> 40) | bit(hash >> 32) | bit(hash >> 24)
}

/// The generation shift with which a mark outlives `deadline_ns`.
pub fn generation_shift(deadline_ns: u64) -> u32 {
    let mut shift = MIN_GENERATION_SHIFT;
    while shift < 40 && 1u64 << shift < deadline_ns {
        shift += 1;
    }
    shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        address::{Address, HashKey, mixed},
        host::{HostTables, empty_state},
    };

    /// As many SYN-ACKs in a generation as leave hardly a mark unset: without the names
    /// every established connection would be led to the tables.
    #[test]
    fn flood_opens_the_gate_for_few_others() {
        let state = empty_state();
        let key = HashKey::from_random(1);
        let hash = |address: u64| mixed(key.sum(&Address([0, address]), 0));
        for flooding in 0..6 * MARKS as u64 {
            state.gate.open::<HostTables>(hash(flooding << 8), 1);
        }
        let others = 1..=100_000;
        let marked = |hash: u64| state.gate.marks[position(hash)].load() != 0;
        let led =
            |is: &dyn Fn(u64) -> bool| others.clone().filter(|other| is(hash(other << 40))).count();
        assert!(led(&marked) > 90_000, "no flood");
        let open = led(&|hash| state.gate.is_open(hash));
        assert!(open < 4_000, "{open} of 100000");
    }
}
