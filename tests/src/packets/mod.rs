//! Frames built by hand, byte by byte, so that the parser is tested against the
//! RFCs and not against another parser of ours.
//!
//! ```text
//! dns, quic, any bytes ─▶ payload ─┐
//! Frame::{tcp, udp, icmp_error, ip} ┴─▶ Frame ─┬─▶ build()      Ethernet frame
//!                      ▲                       ├─▶ ip_packet()  without Ethernet
//!                      └── encapsulate::* ◀────┴─▶ fragments()
//! ```
//! Lengths and checksums are right unless a test asks for wrong ones.

mod checksum;
pub mod dns;
pub mod encapsulate;
mod frame;
mod network;
pub mod quic;
#[cfg(test)]
mod tests;
mod transport;

pub use frame::Frame;

/// RFC 9293 control bits.
pub mod flags {
    /// No more data.
    pub const FIN: u8 = 0x01;
    /// Synchronise.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// Acknowledge.
    pub const ACK: u8 = 0x10;
}

/// Types and codes of ICMP errors (RFC 792, RFC 4443).
pub mod icmp {
    /// `ICMPv4` type: destination unreachable.
    pub const UNREACHABLE4: u8 = 3;
    /// `ICMPv4` code: port unreachable.
    pub const PORT4: u8 = 3;
    /// `ICMPv4` code: fragmentation needed.
    pub const TOO_BIG4: u8 = 4;
    /// `ICMPv4` type: time exceeded.
    pub const TIME_EXCEEDED4: u8 = 11;
    /// `ICMPv6` type: destination unreachable.
    pub const UNREACHABLE6: u8 = 1;
    /// `ICMPv6` code: port unreachable.
    pub const PORT6: u8 = 4;
    /// `ICMPv6` type: packet too big.
    pub const TOO_BIG6: u8 = 2;
    /// `ICMPv6` type: time exceeded.
    pub const TIME_EXCEEDED6: u8 = 3;
}

/// A length field of two bytes.
fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes)
        .expect("test frames are short")
        .to_be_bytes()
}
