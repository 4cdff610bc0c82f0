//! The control bits of a TCP segment.

/// The control bits of a segment (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgment number is valid.
    pub const ACK: u8 = 0x10;

    /// Whether any of `bits` is set.
    #[inline(always)]
    pub fn any(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    /// Whether all of `bits` are set.
    #[inline(always)]
    pub fn all(self, bits: u8) -> bool {
        self.0 & bits == bits
    }
}
