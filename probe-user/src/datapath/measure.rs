//! What the operator may choose about the measurement as a whole.

use std::{collections::BTreeMap, time::Duration};

use probe_common::{cohort::width_shift, parse::tunnel::Tunnels, trial::Kind};
use probe_core::input::longest_gap;

use super::{ServiceSpec, Sizes};

/// How much room there is, when trials are late, and which tunnels there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// What the tables have room for.
    pub sizes: Sizes,
    /// When trials of a kind are late, at every service.
    pub deadlines: Deadlines,
    /// What interfaces carry.
    pub tunnels: InterfaceTunnels,
}

/// Deadlines of kinds of trials that have one of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadlines([Option<Duration>; Kind::COUNT]);

impl Deadlines {
    /// Gives a kind a deadline of its own.
    pub fn set(&mut self, kind: Kind, deadline: Duration) {
        self.0[kind as usize] = Some(deadline);
    }

    /// The deadline that a kind has of its own.
    pub fn get(&self, kind: Kind) -> Option<Duration> {
        self.0[kind as usize]
    }

    /// When an unanswered trial of this kind is late at a service.
    pub fn of(&self, service: &ServiceSpec, kind: Kind) -> Duration {
        self.get(kind).unwrap_or_else(|| service.deadline_of(kind))
    }

    /// The longest time between two readings in which nothing of a service's trials of
    /// this kind is lost.
    pub fn longest_gap(&self, service: &ServiceSpec, kind: Kind) -> Duration {
        let deadline = self.of(service, kind);
        let deadline_ns = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        longest_gap(width_shift(deadline_ns).into(), deadline).unwrap_or_default()
    }
}

/// Which tunnels the interfaces carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceTunnels {
    /// Bits of [`Tunnels`] by the interface's name.
    pub kinds: BTreeMap<String, u32>,
    /// UDP ports of FOU, GUE, VXLAN, Geneve, on all interfaces.
    pub ports: [u16; 4],
}

impl Default for InterfaceTunnels {
    fn default() -> Self {
        Self {
            kinds: BTreeMap::new(),
            ports: Tunnels::PORTS,
        }
    }
}

impl InterfaceTunnels {
    /// The tunnels of all interfaces together.
    pub fn all(&self) -> Tunnels {
        Tunnels {
            kinds: self.kinds.values().fold(0, |all, kinds| all | kinds),
            ports: self.ports,
        }
    }

    /// The tunnels of one interface.
    pub fn of(&self, interface: &str) -> u32 {
        self.kinds.get(interface).copied().unwrap_or_default()
    }
}
