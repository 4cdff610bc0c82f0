//! What becomes of connections by interface.

use std::fmt;

use probe_core::{
    input::{HandshakeCounts, UplinkReading},
    uplinks::Way,
};
use prometheus_client::encoding::DescriptorEncoder;

use super::counters;
use crate::metrics::Model;

impl Model {
    pub(super) fn encode_uplinks(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let handshakes = |name, help, count: fn(&HandshakeCounts) -> u64| {
            (
                name,
                help,
                self.uplinks.iter().flat_map(move |uplink| {
                    let way = move |way: Way, counts| {
                        let labels = [("interface", &*uplink.interface), ("way", way.name())];
                        (labels, count(counts))
                    };
                    [way(Way::Came, &uplink.came), way(Way::Left, &uplink.left)]
                }),
            )
        };
        let (name, help, samples) = handshakes(
            "lapwing_uplink_answered",
            "Connections answered by a SYN-ACK, by the interface by which the SYN came, and \
             by that by which the SYN-ACK left.",
            |counts| counts.answered,
        );
        counters(encoder, name, help, None, samples)?;
        let (name, help, samples) = handshakes(
            "lapwing_uplink_completed",
            "... of which the client completed the handshake.",
            |counts| counts.completed,
        );
        counters(encoder, name, help, None, samples)?;
        let spans = |count: fn(&UplinkReading) -> u64| {
            self.uplinks
                .iter()
                .map(move |uplink| ([("interface", &*uplink.interface)], count(uplink)))
        };
        counters(
            encoder,
            "lapwing_uplink_spans",
            "Trials `deliver` of sampled connections, by the interface by which they leave.",
            None,
            spans(|uplink| uplink.spans),
        )?;
        counters(
            encoder,
            "lapwing_uplink_spans_failed",
            "... of which failed by a retransmission.",
            None,
            spans(|uplink| uplink.spans_failed),
        )
    }
}
