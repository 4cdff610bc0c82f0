//! Who else has a hand in the routing table.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{counters, gauges};
use crate::{announce::conflict::ConflictKind, metrics::Model};

impl Model {
    pub(super) fn encode_routes(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let prefixes = self.named_prefixes();
        counters(
            encoder,
            "lapwing_route_differences",
            "How often the routing table was found to hold another level than the decided one: \
             somebody else changed it.",
            None,
            prefixes.iter().map(|(id, name)| {
                let count = self.tally.route_differences.get(id);
                ([("prefix", &**name)], count.copied().unwrap_or_default())
            }),
        )?;
        gauges(
            encoder,
            "lapwing_route_conflicts",
            "What stands against the wanted level now: another program's route in our place \
             (blocked) or preferred by BIRD (hidden), another program that undoes our changes \
             (contended), the kernel (refused).",
            None,
            prefixes.iter().flat_map(|(id, name)| {
                ConflictKind::ALL.map(|kind| {
                    let standing = self.tally.route_conflicts.get(&(*id, kind));
                    let labels = [("prefix", &**name), ("conflict", kind.name())];
                    (labels, standing.copied().unwrap_or_default())
                })
            }),
        )
    }
}
