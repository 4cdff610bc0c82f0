//! The memory of the flow tables and of the sample cells.

use aya_ebpf::{Global, btf_maps::Array, macros::btf_map};
use probe_common::{
    flow::{Set, set_index},
    sample::{Cell, Holder, Holders, cell_index, holders_index},
};

use crate::DEFAULT_ENTRIES;

/// Sets of the table of connections, a power of two. Set before load.
#[unsafe(no_mangle)]
static HANDSHAKE_SETS: Global<u32> = Global::new(1);

/// Sets of the table of exchanges, a power of two. Set before load.
#[unsafe(no_mangle)]
static QUERY_SETS: Global<u32> = Global::new(1);

/// Sample cells of a service, a power of two. Set before load.
#[unsafe(no_mangle)]
static CELLS_PER_SERVICE: Global<u32> = Global::new(1);

#[btf_map]
static HANDSHAKES: Array<Set, DEFAULT_ENTRIES> = Array::new();

#[btf_map]
static QUERIES: Array<Set, DEFAULT_ENTRIES> = Array::new();

#[btf_map]
static HOLDERS: Array<Holders, DEFAULT_ENTRIES> = Array::new();

#[btf_map]
static CELLS: Array<Cell, DEFAULT_ENTRIES> = Array::new();

/// The set of a TCP connection.
#[inline(always)]
pub fn connections(hash: u64) -> Option<&'static Set> {
    HANDSHAKES.get(set_index(hash, HANDSHAKE_SETS.load()))
}

/// The set of a UDP exchange.
#[inline(always)]
pub fn exchanges(hash: u64) -> Option<&'static Set> {
    QUERIES.get(set_index(hash, QUERY_SETS.load()))
}

/// Who holds a connection's sample cell.
#[inline(always)]
pub fn holder(service: u32, hash: u64) -> Option<&'static Holder> {
    let cell = cell_index(service, hash, CELLS_PER_SERVICE.load());
    Some(HOLDERS.get(holders_index(cell))?.of(cell))
}

/// A connection's sample cell.
#[inline(always)]
pub fn cell(service: u32, hash: u64) -> Option<&'static Cell> {
    CELLS.get(cell_index(service, hash, CELLS_PER_SERVICE.load()))
}
