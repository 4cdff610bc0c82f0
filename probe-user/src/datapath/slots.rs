//! Which kernel slot a service has. A restart finds the slots of services that were
//! there before, so their counters go on; new services get slots that are free.
//!
//! A slot whose service is gone rests before another one gets it: entries of the flow
//! tables and programs that are just running still know the old service by that number.

use probe_common::{
    address::Address,
    service::{Options, Service, TCP, UDP, port_protocol},
};
use probe_core::{
    Timestamp,
    config::{Endpoint, Protocol},
};
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

/// A service's address and port in the form of the kernel's table.
pub fn key(endpoint: &Endpoint) -> (Address, u32) {
    let octets = match endpoint.address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    let protocol = match endpoint.protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
    };
    (
        Address::from_octets(octets),
        port_protocol(endpoint.port, protocol),
    )
}

/// A slot for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Index of the service's counters.
    pub id: u32,
    /// What the kernel did for it, if it was there before; otherwise somebody else
    /// may have counted here.
    pub known: Option<Known>,
}

/// What the kernel did for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its options.
    pub options: Options,
    /// Its sample mask.
    pub sample_mask: u32,
}

/// A slot rests for so long: nothing of its last service is waited for, or remembered as
/// evidence, after this time.
const REST: Duration = Duration::from_mins(1);

/// Slots that are free, and not to be used yet.
#[derive(Clone, Debug, Default)]
pub struct Resting(BTreeMap<u32, Timestamp>);

impl Resting {
    /// Those that still rest at `now`.
    pub fn wake(&mut self, now: Timestamp) {
        self.0.retain(|_, freed| now.since(*freed) < REST);
    }

    /// A slot is free since `now`.
    pub fn add(&mut self, id: u32, now: Timestamp) {
        self.0.insert(id, now);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Gives each endpoint a slot, keeping those in `present` and leaving alone those that
/// rest.
pub fn assign(present: &[Service], wanted: &[Endpoint], resting: &Resting) -> Vec<Slot> {
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
                    known: Some(Known {
                        options: Options(service.options.load()),
                        sample_mask: service.sample_mask.load(),
                    }),
                };
            }
            let id = free
                .find(|id| !used.contains(id) && !resting.0.contains_key(id))
                .expect("an endless range has a number that a finite list lacks");
            used.push(id);
            Slot { id, known: None }
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
        Service::new(address, port_protocol, id, Options(Options::DNS))
    }

    #[test]
    fn services_keep_their_slots_when_others_come_and_go() {
        let (a, b, c) = (endpoint(1, 80), endpoint(2, 80), endpoint(1, 443));
        let before = [present(&a, 0), present(&b, 1)];
        let slots = assign(&before, &[c, b], &Resting::default());
        assert_eq!(
            slots,
            [
                Slot { id: 0, known: None },
                Slot {
                    id: 1,
                    known: Some(Known {
                        options: Options(Options::DNS),
                        sample_mask: 0
                    })
                },
            ]
        );
    }

    #[test]
    fn a_slot_rests_before_another_service_gets_it() {
        let at = |seconds: u64| Timestamp::from_nanos(seconds * 1_000_000_000);
        let (a, b) = (endpoint(1, 80), endpoint(2, 80));
        let mut resting = Resting::default();
        resting.add(0, at(100));
        let id = |resting: &Resting| assign(&[present(&a, 1)], &[a, b], resting)[1].id;
        resting.wake(at(159));
        assert_eq!((id(&resting), resting.count()), (2, 1));
        resting.wake(at(160));
        assert_eq!((id(&resting), resting.count()), (0, 0));
    }

    #[test]
    fn first_start_counts_up_from_zero() {
        let ids: Vec<u32> = assign(
            &[],
            &[endpoint(1, 1), endpoint(1, 2), endpoint(1, 3)],
            &Resting::default(),
        )
        .iter()
        .map(|slot| slot.id)
        .collect();
        assert_eq!(ids, [0, 1, 2]);
    }
}
