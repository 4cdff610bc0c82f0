//! What services have by what they speak.

use std::fmt;

use probe_common::counters::RcodeClass;
use probe_core::config::Application;
use prometheus_client::encoding::DescriptorEncoder;

use crate::metrics::{Model, Service};

/// In the order of the counters.
const HTTP_CLASSES: [&str; probe_common::counters::HTTP_CLASSES] =
    ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Model {
    pub(super) fn encode_dns(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let dns = |service: &Service| service.speaks(Application::Dns);
        self.one_each(
            encoder,
            "lapwing_dns_queries",
            "DNS queries towards the service.",
            dns,
            |service| service.counters.dns_queries,
        )?;
        self.one_each(
            encoder,
            "lapwing_dns_malformed",
            "Messages that should be DNS queries and that no server needs to answer.",
            |service| dns(service) && !service.is_tcp(),
            |service| service.counters.dns_malformed,
        )?;
        self.by(
            encoder,
            "lapwing_dns_responses",
            "DNS responses by response code.",
            None,
            dns,
            |service| {
                let counts = service.counters.dns_responses;
                RcodeClass::ALL.map(|class| {
                    let labels = [("service", &*service.name), ("rcode", class.name())];
                    (labels, counts[class as usize])
                })
            },
        )
    }

    pub(super) fn encode_quic(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let quic = |service: &Service| service.speaks(Application::Quic);
        self.both_ways(
            encoder,
            "lapwing_quic_initials",
            "Datagrams that begin with a QUIC Initial.",
            None,
            quic,
            |Service { counters, .. }| [counters.quic_initials_in, counters.quic_initials_out],
        )?;
        self.one_each(
            encoder,
            "lapwing_quic_retries",
            "QUIC Retry packets of the service.",
            quic,
            |service| service.counters.quic_retries,
        )?;
        self.one_each(
            encoder,
            "lapwing_quic_version_negotiations",
            "QUIC Version Negotiation packets of the service.",
            quic,
            |service| service.counters.quic_version_negotiations,
        )
    }

    pub(super) fn encode_http(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        self.by(
            encoder,
            "lapwing_http_responses",
            "The first HTTP/1 responses of connections, by class of status.",
            None,
            |service| service.speaks(Application::Http),
            |service| {
                let counts = service.counters.http_responses;
                let classes = HTTP_CLASSES.iter().zip(counts);
                classes.map(|(class, count)| {
                    let labels = [("service", &*service.name), ("class", *class)];
                    (labels, count)
                })
            },
        )
    }
}
