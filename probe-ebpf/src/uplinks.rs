//! What became of connections by interface. User space reads it through mmap.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use probe_common::uplink::{INTERFACES, Uplink, place};

use crate::MMAPABLE;

#[btf_map]
static UPLINKS: Array<Uplink, INTERFACES, MMAPABLE> = Array::new();

/// The counts of an interface.
#[inline(always)]
pub fn uplink(interface: u32) -> Option<&'static Uplink> {
    UPLINKS.get(place(interface) as u32)
}
