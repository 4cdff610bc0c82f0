//! Cohort rings, by ring index. User space reads them through mmap.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use probe_common::{cell::Shared, service::NETWORK_BUCKETS, trial::CohortRing};

use crate::atomics;

/// The map can be mapped into user space.
pub const MMAPABLE: usize = BPF_F_MMAPABLE as usize;
/// Replaced at load by what the configuration needs.
const DEFAULT_ENTRIES: usize = 1;

#[btf_map]
static RINGS: Array<CohortRing, DEFAULT_ENTRIES, MMAPABLE> = Array::new();

#[btf_map]
static VERIFIED: Array<[Shared<u32>; NETWORK_BUCKETS], DEFAULT_ENTRIES, MMAPABLE> = Array::new();

/// A ring.
#[inline(always)]
pub fn ring(index: u32) -> Option<&'static CohortRing> {
    RINGS.get(index)
}

/// Counts a verified handshake of a network.
#[inline(always)]
pub fn add_verified(service: u32, network_bucket: usize) {
    if let Some(networks) = VERIFIED.get(service) {
        atomics::add(&networks[network_bucket & (NETWORK_BUCKETS - 1)], 1);
    }
}
