//! What is heard of the other hosts that announce the prefixes.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{PrefixNames, gauges, level_number};
use crate::metrics::Model;

impl Model {
    pub(super) fn encode_witnesses(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let names = PrefixNames::of(self);
        let others = || {
            self.prefixes
                .iter()
                .zip(&names.0)
                .flat_map(|(prefix, name)| prefix.status.others.iter().map(move |o| (&**name, o)))
                .map(|(prefix, other)| {
                    let labels = [
                        ("prefix", prefix),
                        ("witness_site", &*other.site),
                        ("witness_host", &*other.host),
                    ];
                    (labels, other.level())
                })
        };
        gauges(
            encoder,
            "lapwing_witness_level",
            "At which level another host is heard to announce the prefix: 2 full, 1 degraded, \
             0 withdrawn. Absent while nothing can be believed.",
            None,
            others().filter_map(|(labels, level)| Some((labels, level_number(level?)))),
        )?;
        gauges(
            encoder,
            "lapwing_witness_stale",
            "1 while what is heard of another host cannot be believed.",
            None,
            others().map(|(labels, level)| (labels, u32::from(level.is_none()))),
        )
    }
}
