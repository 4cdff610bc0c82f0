//! What the kernel side and the user side of Lapwing share.
//!
//! In flow packets, as bytes; out flow counters, handshake entries and trial
//! outcomes in tables. The same code is compiled for bpf, where the tables are
//! maps, and for the host, where tests and tools hold them in memory, so that what
//! is tested is what runs in the kernel.
//!
//! ```text
//! bytes ─▶ parse ─▶ measure ─┬─▶ service   (is it ours?)
//!                            ├─▶ counters  (every packet)
//!                            ├─▶ gate      (is this segment worth a look-up?)
//!                            ├─▶ flow      (connections and exchanges)
//!                            ├─▶ sample    (every segment of a few connections)
//!                            ├─▶ trial     (outcome into the cohort ring)
//!                            └─▶ uplink    (through which interface)
//! ```
#![cfg_attr(not(test), no_std)]
#![allow(
    clippy::inline_always,
    reason = "a call in bpf costs registers and stack, and hides bounds from the verifier"
)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "casts here keep the bits that a mask or a protocol field has room for"
)]

pub mod address;
pub mod cell;
pub mod cohort;
pub mod counters;
pub mod ends;
pub mod flow;
pub mod gate;
#[cfg(feature = "host")]
pub mod host;
pub mod latency;
pub mod measure;
pub mod packet;
pub mod parse;
pub mod sample;
pub mod service;
pub mod skip;
pub mod state;
pub mod syn;
pub mod trial;
pub mod uplink;
mod verifier;

/// Version of every layout in this crate. It is part of the path under which maps
/// and links are pinned, so that a daemon never adopts maps of another layout.
/// Count it up with every change of a layout or of a field's meaning.
pub const ABI_VERSION: u32 = 8;
