//! At which level prefixes stand, why, and what was decided about them.

use std::fmt;

use probe_core::{
    Level,
    command::{Cause, Guard},
    input::Order,
    status::Standing,
};
use prometheus_client::encoding::DescriptorEncoder;

use super::{PrefixNames, counters, gauges, level_number};
use crate::metrics::Model;

impl Model {
    pub(super) fn encode_prefixes(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let names = PrefixNames::of(self);
        let prefixes = || {
            let all = names.0.iter().zip(&self.prefixes);
            all.map(|(name, prefix)| (&**name, &prefix.status))
        };
        gauges(
            encoder,
            "lapwing_prefix_level",
            "What the routing table holds for the prefix: 2 full, 1 degraded, 0 withdrawn.",
            None,
            prefixes().filter_map(|(name, status)| {
                Some(([("prefix", name)], level_number(status.observed?)))
            }),
        )?;
        gauges(
            encoder,
            "lapwing_prefix_wanted_level",
            "What was decided last: 2 full, 1 degraded, 0 withdrawn. Absent before the table was \
             read; in mode observe, what the table holds.",
            None,
            prefixes().filter_map(|(name, status)| {
                Some(([("prefix", name)], level_number(status.wanted?)))
            }),
        )?;
        gauges(
            encoder,
            "lapwing_prefix_standing",
            "Why the prefix stands where it does: 1 for the present reason, 0 for the others.",
            None,
            prefixes().flat_map(|(name, status)| {
                Standing::ALL.map(|standing| {
                    let labels = [("prefix", name), ("standing", standing.name())];
                    (labels, u32::from(status.standing == standing))
                })
            }),
        )?;
        gauges(
            encoder,
            "lapwing_prefix_pinned",
            "1 while the operator keeps the prefix at a level.",
            None,
            prefixes().map(|(name, status)| {
                (
                    [("prefix", name)],
                    u32::from(status.orders.iter().any(Order::is_pin)),
                )
            }),
        )?;
        gauges(
            encoder,
            "lapwing_prefix_held",
            "1 while the guard holds a change that is due; absent otherwise.",
            None,
            prefixes().filter_map(|(name, status)| {
                Some(([("prefix", name), ("guard", status.held_by?.name())], 1u32))
            }),
        )?;
        self.encode_decisions(encoder)
    }

    /// What was counted, and zero of what can be: a rate has to see the first one.
    fn encode_decisions(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let prefixes = self.named_prefixes();
        counters(
            encoder,
            "lapwing_decisions",
            "Decided level changes.",
            None,
            prefixes.iter().flat_map(|(id, name)| {
                let changes = LEVELS
                    .into_iter()
                    .flat_map(|level| Cause::ALL.map(|cause| (level, cause)));
                changes.filter_map(|(level, cause)| {
                    let count = self.tally.decisions.get(&(*id, level, cause)).copied();
                    let count = count.or_else(|| may_lead_to(cause, level).then_some(0))?;
                    let labels = [
                        ("prefix", &**name),
                        ("action", action(level)),
                        ("cause", cause.name()),
                    ];
                    Some((labels, count))
                })
            }),
        )?;
        counters(
            encoder,
            "lapwing_holds",
            "Level changes that were due and that a guard held.",
            None,
            prefixes.iter().flat_map(|(id, name)| {
                Guard::ALL.map(|guard| {
                    let count = self.tally.holds.get(&(*id, guard));
                    let labels = [("prefix", &**name), ("guard", guard.name())];
                    (labels, count.copied().unwrap_or_default())
                })
            }),
        )
    }
}

const LEVELS: [Level; 3] = [Level::Full, Level::Degraded, Level::Withdrawn];

fn action(level: Level) -> &'static str {
    match level {
        Level::Full => "announce",
        Level::Degraded => "degrade",
        Level::Withdrawn => "withdraw",
    }
}

/// Whether a level can be decided for this cause.
fn may_lead_to(cause: Cause, level: Level) -> bool {
    match cause {
        Cause::LiveTrials | Cause::Probe => level != Level::Full,
        Cause::FirstAnnouncement | Cause::Canary => level == Level::Full,
        // A canary comes back degraded.
        Cause::Recovered | Cause::Retry => level != Level::Withdrawn,
        Cause::LastSite => level == Level::Degraded,
        Cause::Drain | Cause::Pin => true,
    }
}
