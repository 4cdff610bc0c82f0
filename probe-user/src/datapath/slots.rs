//! Which kernel slot a service has. A restart finds the slots of services that were
//! there before, so their counters go on; new services get slots that are free.

use probe_common::service::{Address, Service, TCP, port_protocol};
use probe_core::config::{Endpoint, Protocol};
use std::net::IpAddr;

/// A service's address and port in the form of the kernel's table.
pub fn key(endpoint: &Endpoint) -> (Address, u32) {
    let octets = match endpoint.address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    let protocol = match endpoint.protocol {
        Protocol::Tcp => TCP,
    };
    (
        Address::from_octets(octets),
        port_protocol(endpoint.port, protocol),
    )
}

/// A slot for each endpoint, and whether it is new and must be zeroed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Index of the service's counters.
    pub id: u32,
    /// Whether somebody else may have counted there before.
    pub fresh: bool,
    /// The ring it used before, if it was there.
    pub ring: Option<u32>,
}

/// Gives each endpoint a slot, keeping those in `present`.
pub fn assign(present: &[Service], wanted: &[Endpoint]) -> Vec<Slot> {
    let known = |endpoint: &Endpoint| {
        let (address, port_protocol) = key(endpoint);
        present
            .iter()
            .find(|service| service.address == address && service.port_protocol == port_protocol)
    };
    let mut used: Vec<u32> = wanted
        .iter()
        .filter_map(|endpoint| known(endpoint).map(|service| service.id))
        .collect();
    let mut free = 0..;
    wanted
        .iter()
        .map(|endpoint| {
            if let Some(service) = known(endpoint) {
                return Slot {
                    id: service.id,
                    fresh: false,
                    ring: Some(service.ring),
                };
            }
            let id = free
                .find(|id| !used.contains(id))
                .expect("an endless range has a number that a finite list lacks");
            used.push(id);
            Slot {
                id,
                fresh: true,
                ring: None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(last: u8, port: u16) -> Endpoint {
        Endpoint {
            address: IpAddr::from([192, 0, 2, last]),
            port,
            protocol: Protocol::Tcp,
        }
    }

    fn present(endpoint: &Endpoint, id: u32) -> Service {
        let (address, port_protocol) = key(endpoint);
        Service {
            address,
            port_protocol,
            id,
            ring: id * 2 + 1,
            reserved: 0,
        }
    }

    #[test]
    fn services_keep_their_slots_when_others_come_and_go() {
        let (a, b, c) = (endpoint(1, 80), endpoint(2, 80), endpoint(1, 443));
        let before = [present(&a, 0), present(&b, 1)];
        let slots = assign(&before, &[c, b]);
        assert_eq!(
            slots,
            [
                Slot {
                    id: 0,
                    fresh: true,
                    ring: None
                },
                Slot {
                    id: 1,
                    fresh: false,
                    ring: Some(3)
                },
            ]
        );
    }

    #[test]
    fn first_start_counts_up_from_zero() {
        let ids: Vec<u32> = assign(&[], &[endpoint(1, 1), endpoint(1, 2), endpoint(1, 3)])
            .iter()
            .map(|slot| slot.id)
            .collect();
        assert_eq!(ids, [0, 1, 2]);
    }
}
