//! The handshake table's memory.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use probe_common::handshake::{HandshakeSet, SETS};

#[btf_map]
static HANDSHAKES: Array<HandshakeSet, SETS> = Array::new();

/// A set of the table.
#[inline(always)]
pub fn set(index: u32) -> Option<&'static HandshakeSet> {
    HANDSHAKES.get(index)
}
