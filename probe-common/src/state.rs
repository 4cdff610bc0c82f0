//! What nearly every packet needs, in one map value: a single look-up finds it all.

use crate::{
    cell::Shared,
    ends::FlowHashKey,
    gate::Gate,
    service::ServiceTable,
    uplink::{INTERFACES, place},
};

/// The one value of the map `STATE`.
///
/// What is read at a fixed place comes first: an instruction reaches no further than
/// 32 KiB without another one to help it.
#[repr(C)]
pub struct State {
    /// A secret of this host, so that nobody outside can choose connections that
    /// collide in the flow tables. It lives here, not in the program, so that
    /// entries are found again after the programs were replaced.
    pub flow_key: FlowHashKey,
    /// The gate.
    pub gate: Gate,
    /// The services.
    pub services: ServiceTable,
    /// The replayed time; otherwise the latest time that anybody asked the kernel
    /// for: a trial that began or ended, or user space at a reading.
    pub clock: Shared<u64>,
    /// One while user space sleeps and wants to be woken.
    pub bell_armed: Shared<u64>,
    /// Bits of [`Tunnels`](crate::parse::tunnel::Tunnels) by interface.
    pub tunnels: [Shared<u32>; INTERFACES],
}

impl State {
    /// The tunnels of an interface.
    #[inline(always)]
    pub fn tunnels_of(&self, interface: u32) -> &Shared<u32> {
        &self.tunnels[place(interface)]
    }
}
