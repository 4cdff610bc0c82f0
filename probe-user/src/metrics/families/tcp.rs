//! What TCP services have: control segments of all connections, and every segment of
//! the sampled ones.

use std::fmt;

use probe_common::counters::RstPhase;
use prometheus_client::encoding::DescriptorEncoder;

use crate::metrics::{Model, Service};

impl Model {
    pub(super) fn encode_tcp(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let tcp = Service::is_tcp;
        self.one_each(
            encoder,
            "lapwing_tcp_syn",
            "SYN segments towards the service, repeats included.",
            tcp,
            |service| service.counters.syn,
        )?;
        self.one_each(
            encoder,
            "lapwing_tcp_syn_retransmissions",
            "SYN segments that repeat one which still waits.",
            tcp,
            |service| service.counters.syn_retransmissions,
        )?;
        self.one_each(
            encoder,
            "lapwing_tcp_syn_not_judged",
            "SYN segments that start no trial: bad checksum, MD5 or AO option, with FIN or \
             data, or for a connection that lives.",
            tcp,
            |service| service.counters.syn_not_judged,
        )?;
        self.one_each(
            encoder,
            "lapwing_tcp_synack",
            "SYN-ACK segments from the service, repeats included.",
            tcp,
            |service| service.counters.synack,
        )?;
        self.one_each(
            encoder,
            "lapwing_tcp_synack_retransmissions",
            "SYN-ACK segments that repeat another.",
            tcp,
            |service| service.counters.synack_retransmissions,
        )?;
        self.one_each(
            encoder,
            "lapwing_tcp_verified",
            "Handshakes whose ACK has shown that the client receives at its address.",
            tcp,
            |service| service.counters.verified,
        )?;
        self.both_ways(
            encoder,
            "lapwing_tcp_fin",
            "Segments with FIN.",
            None,
            tcp,
            |Service { counters, .. }| [counters.fin_in, counters.fin_out],
        )?;
        self.both_ways(
            encoder,
            "lapwing_tcp_zero_windows",
            "Segments that say that their sender has no room.",
            None,
            tcp,
            |Service { counters, .. }| [counters.zero_window_in, counters.zero_window_out],
        )?;
        self.by(
            encoder,
            "lapwing_tcp_rst",
            "RST segments by how far the connection was: refused answers a SYN, stray comes \
             after a FIN, unmatched is not in the handshake table, invalid has a sequence \
             number that its receiver ignores.",
            None,
            tcp,
            |service| {
                RstPhase::ALL.into_iter().flat_map(|phase| {
                    let labels = |direction| {
                        [
                            ("service", &*service.name),
                            ("direction", direction),
                            ("phase", phase.name()),
                        ]
                    };
                    [
                        (labels("in"), service.counters.rst_in[phase as usize]),
                        (labels("out"), service.counters.rst_out[phase as usize]),
                    ]
                })
            },
        )
    }

    pub(super) fn encode_samples(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let tcp = Service::is_tcp;
        self.one_each(
            encoder,
            "lapwing_sampled_connections",
            "Connections that took a sample cell.",
            tcp,
            |service| service.counters.sampled,
        )?;
        self.one_each(
            encoder,
            "lapwing_sample_cells_busy",
            "Connections that were to be sampled and found their cell in use.",
            tcp,
            |service| service.counters.cells_busy,
        )?;
        self.both_ways(
            encoder,
            "lapwing_tcp_sampled_segments",
            "Segments with payload of sampled connections.",
            None,
            tcp,
            |Service { counters, .. }| {
                [counters.sampled_segments_in, counters.sampled_segments_out]
            },
        )?;
        self.both_ways(
            encoder,
            "lapwing_tcp_retransmissions",
            "Segments with payload of sampled connections that repeat what was seen before.",
            None,
            tcp,
            |Service { counters, .. }| [counters.retransmissions_in, counters.retransmissions_out],
        )?;
        self.one_each(
            encoder,
            "lapwing_tcp_out_of_order",
            "Segments of sampled connections towards the service that fill a gap.",
            tcp,
            |service| service.counters.out_of_order_in,
        )?;
        self.both_ways(
            encoder,
            "lapwing_tcp_keep_alives",
            "Keep-alives of sampled connections.",
            None,
            tcp,
            |Service { counters, .. }| [counters.keep_alives_in, counters.keep_alives_out],
        )
    }
}
