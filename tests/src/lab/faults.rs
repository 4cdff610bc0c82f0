//! Faults in the network of a host: packets of the service are dropped on the outer
//! interface only, so that every check made from the host itself still passes.
//!
//! Where the drops are, seen from Lapwing's hooks:
//! ```text
//!  wire ─▶ XDP (SYN counted) ─▶ nft ingress: DROP           Direction::Inward
//!  wire ◀─ tc egress ◀─ nft egress: DROP (SYN-ACK unseen)   Direction::Outward
//! ```

use std::process::Command;

use anyhow::Result;
use probe_core::Timestamp;

use super::netns::{Namespace, Prepared};

/// Which way packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Packets to the service, after the XDP hook.
    Inward,
    /// Packets from the service, before the tc egress hook.
    Outward,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inward, Self::Outward];

    /// For messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inward => "inward",
            Self::Outward => "outward",
        }
    }
}

const TABLE: &str = "lab_fault";

/// Drops all TCP packets of port 80 on `interface` in one direction, both families.
/// Returns the moment just before nft got the rule.
pub fn drop_outside(node: &Namespace, interface: &str, direction: Direction) -> Result<Timestamp> {
    let (hook, port) = match direction {
        Direction::Inward => ("ingress", "dport"),
        Direction::Outward => ("egress", "sport"),
    };
    prepare(node)?.fire(&format!(
        "table netdev {TABLE} {{\n  chain drop_service {{\n    \
             type filter hook {hook} device \"{interface}\" priority 0; policy accept;\n    \
             tcp {port} 80 counter drop\n  }}\n}}\n"
    ))
}

/// Removes the rule. Returns the moment just before.
pub fn heal_outside(node: &Namespace) -> Result<Timestamp> {
    prepare(node)?.fire(&format!("delete table netdev {TABLE}\n"))
}

/// Gives orders to the packet filter of a node.
pub fn nft(node: &Namespace, orders: &str) -> Result<()> {
    prepare(node)?.fire(orders).map(drop)
}

fn prepare(node: &Namespace) -> Result<Prepared> {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]);
    node.prepare(command)
}
