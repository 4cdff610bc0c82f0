//! The gate's memory.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use probe_common::gate::Gate;

use crate::MMAPABLE;

#[btf_map]
static GATE: Array<Gate, 1, MMAPABLE> = Array::new();

/// The gate.
#[inline(always)]
pub fn gate() -> Option<&'static Gate> {
    GATE.get(0)
}
