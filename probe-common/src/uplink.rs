//! What became of connections by the interface that they use: where a host has several
//! uplinks, this tells through which of them the clients are lost.
//!
//! A connection is counted twice, where its SYN came in and where our SYN-ACK left: once
//! when it is answered, and once more when its client completes the handshake. What is
//! answered and not completed is lost behind one of the two. The trials `deliver` are
//! counted where the segment leaves that starts or fails them.

use crate::cell::{Atomics, Shared};

/// Interfaces are told apart by the lower bits of their index.
pub const INTERFACES: usize = 1024;

/// The place of an interface in tables of [`INTERFACES`].
#[inline(always)]
pub fn place(interface: u32) -> usize {
    interface as usize & (INTERFACES - 1)
}

/// The counts of one interface: one cache line.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Uplink {
    /// Connections whose SYN came in by it.
    pub came: Handshakes,
    /// Connections whose SYN-ACK left by it.
    pub left: Handshakes,
    /// Trials `deliver` that started on it.
    pub spans: Shared<u64>,
    /// Trials `deliver` that failed on it, by a retransmission.
    pub spans_failed: Shared<u64>,
    reserved: [u64; 2],
}

const _: () = assert!(size_of::<Uplink>() == 64);

/// Handshakes, up to our answer and to their end.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Handshakes {
    /// Answered by a SYN-ACK.
    pub answered: Shared<u64>,
    /// ... and completed by the client.
    pub completed: Shared<u64>,
}

impl Handshakes {
    /// One more was answered.
    #[inline(always)]
    pub fn answer<A: Atomics>(&self) {
        A::add_wide(&self.answered, 1);
    }

    /// One more was completed.
    #[inline(always)]
    pub fn complete<A: Atomics>(&self) {
        A::add_wide(&self.completed, 1);
    }
}

/// The two interfaces of a connection, in one word of its entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways(u32);

const LEFT_SHIFT: u32 = 16;

impl Ways {
    /// Of a connection whose SYN came in by this interface.
    #[inline(always)]
    pub fn came_by(interface: u32) -> Self {
        Self(place(interface) as u32)
    }

    /// The same connection, whose SYN-ACK left by this interface.
    #[inline(always)]
    #[must_use]
    pub fn left_by(self, interface: u32) -> Self {
        Self(self.0 & (INTERFACES as u32 - 1) | (place(interface) as u32) << LEFT_SHIFT)
    }

    /// Both in one word.
    #[inline(always)]
    pub fn word(self) -> u32 {
        self.0
    }

    /// What was made one word.
    #[inline(always)]
    pub fn of_word(word: u32) -> Self {
        Self(word)
    }

    /// By which interface the SYN came in.
    #[inline(always)]
    pub fn came(self) -> u32 {
        self.0 & (INTERFACES as u32 - 1)
    }

    /// By which interface the SYN-ACK left.
    #[inline(always)]
    pub fn left(self) -> u32 {
        self.0 >> LEFT_SHIFT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_interfaces_are_in_one_word() {
        for (came, left, expected) in [
            (1, 2, (1, 2)),
            (1023, 1023, (1023, 1023)),
            (1025, 70_000, (1, 70_000 % 1024)),
            (0, 0, (0, 0)),
        ] {
            let ways = Ways::of_word(Ways::came_by(came).left_by(left).word());
            assert_eq!((ways.came(), ways.left()), expected);
            let again = ways.left_by(7);
            assert_eq!((again.came(), again.left()), (expected.0, 7));
        }
    }
}
