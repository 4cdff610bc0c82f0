//! What the process uses, by the names that Prometheus has for it.

use std::fmt;

use prometheus_client::{encoding::DescriptorEncoder, registry::Unit};

use super::{counters, gauge};
use crate::metrics::Model;

impl Model {
    pub(super) fn encode_process(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let process = self.daemon.as_ref().and_then(|daemon| daemon.process);
        let Some(process) = process else {
            return Ok(());
        };
        counters(
            encoder,
            "process_cpu",
            "Time spent on the processors, in user and kernel mode.",
            Some(&Unit::Seconds),
            [([], process.cpu.as_secs_f64())],
        )?;
        gauge(
            encoder,
            "process_resident_memory",
            "Memory in RAM.",
            Some(&Unit::Bytes),
            process.resident_bytes,
        )?;
        gauge(
            encoder,
            "process_open_fds",
            "Open file descriptors.",
            None,
            process.open_fds,
        )?;
        gauge(
            encoder,
            "process_start_time",
            "When the process was started, since 1970.",
            Some(&Unit::Seconds),
            process.started_at.as_secs_f64(),
        )
    }
}
