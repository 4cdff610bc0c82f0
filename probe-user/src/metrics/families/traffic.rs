//! What every service has: packets, bytes, and what the kernel side makes of them.

use std::fmt;

use prometheus_client::{encoding::DescriptorEncoder, registry::Unit};

use super::{Labels, counters};
use crate::metrics::{Model, Service};

impl Model {
    pub(super) fn encode_traffic(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        self.both_ways(
            encoder,
            "lapwing_packets",
            "Packets of the service. A GSO buffer counts as the segments it becomes.",
            None,
            |_| true,
            |service| [service.traffic.packets_in, service.traffic.packets_out],
        )?;
        self.both_ways(
            encoder,
            "lapwing",
            "Bytes of the service's IP packets.",
            Some(&Unit::Bytes),
            |_| true,
            |service| [service.traffic.bytes_in, service.traffic.bytes_out],
        )?;
        self.one_each(
            encoder,
            "lapwing_icmp_unreachable",
            "ICMP messages of this host that say that the service cannot be reached.",
            |_| true,
            |service| service.counters.unreachable_out,
        )?;
        self.one_each(
            encoder,
            "lapwing_trials_without_room",
            "Trials that did not start, since the table had no room for them.",
            |_| true,
            |service| service.counters.trials_without_room,
        )
    }

    /// A counter of the services that can have it.
    pub(super) fn one_each(
        &self,
        encoder: &mut DescriptorEncoder,
        name: &str,
        help: &str,
        applies: impl Fn(&Service) -> bool,
        value: impl Fn(&Service) -> u64,
    ) -> fmt::Result {
        self.by(encoder, name, help, None, applies, |service| {
            let labels = [("service", &*service.name)];
            [(labels, value(service))]
        })
    }

    /// A counter by direction: in, out.
    pub(super) fn both_ways(
        &self,
        encoder: &mut DescriptorEncoder,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        applies: impl Fn(&Service) -> bool,
        values: impl Fn(&Service) -> [u64; 2],
    ) -> fmt::Result {
        self.by(encoder, name, help, unit, applies, |service| {
            let labels = |direction| [("service", &*service.name), ("direction", direction)];
            let [inward, outward] = values(service);
            [(labels("in"), inward), (labels("out"), outward)]
        })
    }

    /// A counter with labels of its own.
    pub(super) fn by<'a, const N: usize, S>(
        &'a self,
        encoder: &mut DescriptorEncoder,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        applies: impl Fn(&Service) -> bool,
        samples: impl Fn(&'a Service) -> S,
    ) -> fmt::Result
    where
        S: IntoIterator<Item = (Labels<'a, N>, u64)>,
    {
        let services = self.services.iter().filter(|service| applies(service));
        counters(encoder, name, help, unit, services.flat_map(samples))
    }
}
