//! Both ends of a packet of a service, and the hash of the flow between them.

use crate::{
    address::{Address, HashKey, mixed},
    measure::Direction,
    service::port_protocol,
};

/// Both ends of a packet of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client's address.
    pub client: Address,
    /// The client's port; above it, for DNS, the query's ID.
    pub client_port: u32,
    /// The service's address.
    pub local: Address,
    /// The port of it at which the client is served, and the protocol (see
    /// [`port_protocol`]).
    pub local_port_protocol: u32,
}

impl Ends {
    /// Those of a packet that goes this way, between these addresses and ports.
    #[inline(always)]
    pub fn of(
        direction: Direction,
        source: (Address, u16),
        destination: (Address, u16),
        protocol: u8,
    ) -> Self {
        let ((client, client_port), (local, local_port)) = match direction {
            Direction::In => (source, destination),
            Direction::Out => (destination, source),
        };
        Self {
            client,
            client_port: u32::from(client_port),
            local,
            local_port_protocol: port_protocol(local_port, protocol),
        }
    }
}

/// The key of the hash of flows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowHashKey {
    client: HashKey,
    local: u64,
}

impl FlowHashKey {
    /// Derives a key from a random word.
    pub fn from_random(word: u64) -> Self {
        let HashKey([local, ..]) = HashKey::from_random(!word);
        Self {
            client: HashKey::from_random(word),
            local,
        }
    }

    /// The hash of the flow between these ends; each table uses other upper bits of it.
    ///
    /// Of the packet's own ends rather than of its [`FlowKey`](crate::flow::FlowKey): so
    /// it does not wait for the service to be found. Nobody outside chooses a service's
    /// address, so that one is folded.
    #[inline(always)]
    pub fn hash(&self, ends: &Ends) -> u64 {
        let ports = u64::from(ends.client_port) | u64::from(ends.local_port_protocol) << 32;
        let local = ends.local.0[0] ^ ends.local.0[1];
        // Two IPv4 addresses are one word, two IPv6 addresses are not.
        let v4 = ends.client.v4_mask();
        let addresses = Address([ends.client.0[0], ends.client.0[1] ^ local << 32 & v4]);
        let sum = self.client.sum(&addresses, ports);
        mixed(sum.wrapping_add((local & !v4).wrapping_mul(self.local)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flow::set_index, service::TCP};

    /// A resolver or a proxy talks to many services from one port.
    #[test]
    fn flows_of_one_client_port_spread_over_the_services() {
        let v4 = |number: u32| Address::v4((0x0a4d_0000 + number).to_be());
        let v6 = |number: u32| Address([0x2001_0db8 << 32, u64::from(number)]);
        for word in 1..=50 {
            let key = FlowHashKey::from_random(word);
            for address in [v4 as fn(u32) -> Address, v6] {
                let mut sets = [false; 1024];
                for number in 0..1000 {
                    let client = (address(1 << 16), 443);
                    let local = (address(number / 4), 8000 + (number % 4) as u16);
                    let ends = Ends::of(Direction::In, client, local, TCP);
                    sets[set_index(key.hash(&ends), 1024) as usize] = true;
                }
                let used = sets.iter().filter(|used| **used).count();
                assert!(used > 580, "key {word}: {used} sets");
            }
        }
    }
}
