//! Where packets are measured, which are not, and what that costs.

use std::fmt;

use probe_common::skip::Skip;
use prometheus_client::{encoding::DescriptorEncoder, registry::Unit};

use super::{counters, gauge, gauges};
use crate::metrics::Model;

impl Model {
    pub(super) fn encode_sensor(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        gauges(
            encoder,
            "lapwing_sensor_attached",
            "Whether packets are measured there.",
            None,
            self.attachments.iter().map(|attachment| {
                let labels = [
                    ("interface", &*attachment.interface),
                    ("hook", &*attachment.hook),
                    ("mode", &*attachment.mode),
                ];
                (labels, u32::from(attachment.attached))
            }),
        )?;
        if let Some(daemon) = &self.daemon {
            gauge(
                encoder,
                "lapwing_sensor_blind",
                "1 while nothing that is measured is believed: a hook is missing, or the maps \
                 were read too late.",
                None,
                u32::from(daemon.blind),
            )?;
        }
        counters(
            encoder,
            "lapwing_skipped_packets",
            "Packets passed unmeasured.",
            None,
            Skip::ALL
                .into_iter()
                .map(|skip| ([("reason", skip.name())], self.skips[skip as usize])),
        )?;
        counters(
            encoder,
            "lapwing_program_runs",
            "Runs of our programs in the kernel, while kernel.bpf_stats_enabled is set.",
            None,
            self.programs
                .iter()
                .map(|program| ([("program", &*program.name)], program.runs)),
        )?;
        counters(
            encoder,
            "lapwing_program_run",
            "Time spent in our programs in the kernel, while kernel.bpf_stats_enabled is set.",
            Some(&Unit::Seconds),
            self.programs.iter().map(|program| {
                (
                    [("program", &*program.name)],
                    program.run_time.as_secs_f64(),
                )
            }),
        )
    }
}
