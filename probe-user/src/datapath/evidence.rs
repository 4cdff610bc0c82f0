//! Which flows fail: a sample of the kernel's flow tables, read when the core suspects
//! a service, so that the journal can say whose connections it was about.
//!
//! Flows stand in the table by hash, so a part of its sets is a fair sample. Clients'
//! addresses end here: only their networks (/24, /48) go on.

use std::{collections::BTreeMap, net::IpAddr};

use aya::maps::{Array, MapData};
use ipnet::IpNet;
use probe_common::{
    address::Address,
    flow::{Phase, Seen, SetWords},
    trial::Kind,
};
use probe_core::{Timestamp, config::ServiceId, input::Sample};

use super::object::Object;

/// So many sets are read: less than a millisecond.
const SETS: u32 = 1024;
/// A trial that failed is evidence for so long.
const RECENT_NS: u64 = 10_000_000_000;
/// The networks that are named.
const BUSIEST: usize = 8;
const V4_NETWORK: u8 = 24;
const V6_NETWORK: u8 = 48;

impl Object {
    /// Where flows come from whose trials of this kind failed lately; none if the table
    /// cannot be read.
    pub fn evidence(&self, service: ServiceId, kind: Kind, now: Timestamp) -> Option<Sample> {
        let place = self.places.get(service.0 as usize)?;
        let ring = place.ring(kind);
        let name = if Kind::TCP.contains(&kind) {
            "HANDSHAKES"
        } else {
            "QUERIES"
        };
        let table: Array<&MapData, SetWords> = self.ebpf.map(name)?.try_into().ok()?;
        let mut networks: BTreeMap<IpNet, u32> = BTreeMap::new();
        let step = (table.len() / SETS).max(1);
        for index in (0..table.len()).step_by(step as usize) {
            // One set that cannot be read makes the sample smaller, no more.
            let Ok(set) = table.get(&index, 0) else {
                continue;
            };
            for seen in Seen::of(&set) {
                let is_its = seen.service == place.id && seen.ring == ring;
                if is_its && has_failed(&seen, kind, now.as_nanos()) {
                    *networks.entry(network(seen.client)).or_default() += 1;
                }
            }
        }
        Some(sample(networks))
    }
}

/// Whether an entry's latest trial is late, or was turned down. An exchange over UDP is
/// closed by its answer, a connection by a RST.
fn has_failed(seen: &Seen, kind: Kind, now_ns: u64) -> bool {
    let recent = now_ns.saturating_sub(seen.started_ns) < RECENT_NS;
    let late = seen.state.is_undecided() && seen.expires_ns < now_ns;
    let reset = seen.state.phase() == Phase::Closed && Kind::TCP.contains(&kind);
    recent && (late || reset)
}

fn network(client: Address) -> IpNet {
    let octets = client.octets();
    let (address, length) = if client.is_v4() {
        let [.., a, b, c, d] = octets;
        (IpAddr::from([a, b, c, d]), V4_NETWORK)
    } else {
        (IpAddr::from(octets), V6_NETWORK)
    };
    IpNet::new_assert(address, length).trunc()
}

fn sample(networks: BTreeMap<IpNet, u32>) -> Sample {
    let count = u32::try_from(networks.len()).unwrap_or(u32::MAX);
    let flows = networks.values().sum();
    let mut busiest: Vec<(IpNet, u32)> = networks.into_iter().collect();
    busiest.sort_by_key(|(network, flows)| (std::cmp::Reverse(*flows), *network));
    busiest.truncate(BUSIEST);
    Sample {
        flows,
        networks: count,
        busiest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_by_their_network_only() {
        let octets = |text: &str| match text.parse().unwrap() {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        for (client, expected) in [
            ("198.51.100.77", "198.51.100.0/24"),
            ("2001:db8:7:1::9", "2001:db8:7::/48"),
        ] {
            let network = network(Address::from_octets(octets(client)));
            assert_eq!(network.to_string(), expected);
        }
    }

    #[test]
    fn the_busiest_networks_come_first_and_are_few() {
        let networks = (0_u8..20)
            .map(|index| {
                let network = format!("198.51.{index}.0/24").parse().unwrap();
                (network, u32::from(index / 2))
            })
            .collect();
        let sample = sample(networks);
        assert_eq!((sample.flows, sample.networks), (90, 20));
        assert_eq!(sample.busiest.len(), BUSIEST);
        assert_eq!(sample.busiest[0], ("198.51.18.0/24".parse().unwrap(), 9));
    }
}
