//! The memory that nearly every packet needs, and what is known before load.

use aya_ebpf::{Global, btf_maps::Array, macros::btf_map};
use probe_common::{parse::tunnel::Tunnels, state::State, syn::ChecksumRule};

use crate::MMAPABLE;

#[btf_map]
static STATE: Array<State, 1, MMAPABLE> = Array::new();

/// Set before load where a hook sits on a virtual link.
#[unsafe(no_mangle)]
static PARTIAL_CHECKSUMS: Global<u8> = Global::new(0);

/// The tunnels of all interfaces together. Set before load: where there are none,
/// the verifier removes all that concerns tunnels.
#[unsafe(no_mangle)]
static TUNNEL_KINDS: Global<u32> = Global::new(0);

/// Their UDP ports, as in [`Tunnels::ports`].
#[unsafe(no_mangle)]
static TUNNEL_PORTS: Global<[u16; 4]> = Global::new(Tunnels::PORTS);

/// The state.
#[inline(always)]
pub fn state() -> Option<&'static State> {
    STATE.get(0)
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

/// The tunnels of an interface.
#[inline(always)]
pub fn tunnels(state: &State, interface: impl Fn() -> u32) -> Tunnels {
    let possible = TUNNEL_KINDS.load();
    if possible == 0 {
        return Tunnels::default();
    }
    Tunnels {
        kinds: state.tunnels_of(interface()).load() & possible,
        ports: TUNNEL_PORTS.load(),
    }
}
