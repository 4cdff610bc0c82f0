//! The service table's memory.

use aya_ebpf::{Global, btf_maps::Array, macros::btf_map};
use probe_common::{service::ServiceTable, syn::ChecksumRule};

use crate::MMAPABLE;

#[btf_map]
static SERVICES: Array<ServiceTable, 1, MMAPABLE> = Array::new();

/// Set before load where a hook sits on a virtual link.
#[unsafe(no_mangle)]
static PARTIAL_CHECKSUMS: Global<u8> = Global::new(0);

/// The table.
#[inline(always)]
pub fn table() -> Option<&'static ServiceTable> {
    SERVICES.get(0)
}

/// How checksums may look.
#[inline(always)]
pub fn checksum_rule() -> ChecksumRule {
    if PARTIAL_CHECKSUMS.load() == 0 {
        ChecksumRule::Full
    } else {
        ChecksumRule::FullOrPartial
    }
}
