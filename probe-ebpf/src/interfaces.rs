//! What interfaces carry.

use aya_ebpf::{Global, btf_maps::Array, macros::btf_map};
use probe_common::{cell::Shared, parse::tunnel::Tunnels};

use crate::MMAPABLE;

/// Interfaces are told apart by the lower bits of their index.
pub const INTERFACES: usize = 1024;

/// The tunnels of all interfaces together. Set before load: where there are none,
/// the verifier removes all that concerns tunnels.
#[unsafe(no_mangle)]
static TUNNEL_KINDS: Global<u32> = Global::new(0);

/// Their UDP ports, as in [`Tunnels::ports`].
#[unsafe(no_mangle)]
static TUNNEL_PORTS: Global<[u16; 4]> = Global::new(Tunnels::PORTS);

/// The kinds of tunnels of each interface.
#[btf_map]
static TUNNELS: Array<[Shared<u32>; INTERFACES], 1, MMAPABLE> = Array::new();

/// The tunnels of an interface.
#[inline(always)]
pub fn tunnels(interface: u32) -> Tunnels {
    let possible = TUNNEL_KINDS.load();
    if possible == 0 {
        return Tunnels::default();
    }
    let kinds = TUNNELS.get(0).map_or(0, |interfaces| {
        interfaces[interface as usize & (INTERFACES - 1)].load()
    });
    Tunnels {
        kinds: kinds & possible,
        ports: TUNNEL_PORTS.load(),
    }
}
