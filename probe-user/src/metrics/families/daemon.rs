//! The daemon itself: who it is, whether it is well, and which configuration is in force.

use std::fmt;

use probe_core::config::Mode;
use prometheus_client::{encoding::DescriptorEncoder, metrics::MetricType};

use super::{gauge, gauges};
use crate::metrics::Model;

impl Model {
    pub(super) fn encode_daemon(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        if let Some(daemon) = &self.daemon {
            encoder
                .encode_descriptor("lapwing_host", "Where it runs.", None, MetricType::Info)?
                .encode_info(&[("site", &*daemon.site), ("host", &*daemon.host)])?;
            gauges(
                encoder,
                "lapwing_mode",
                "Whether decisions change routes: 1 for the mode in force, 0 for the other.",
                None,
                Mode::ALL.map(|mode| ([("mode", mode.name())], u32::from(daemon.mode == mode))),
            )?;
            for (name, help, holds) in [
                (
                    "lapwing_healthy",
                    "Whether /healthz says ok.",
                    self.health.is_ok(),
                ),
                (
                    "lapwing_frozen",
                    "1 while the operator has frozen the host: no level changes.",
                    daemon.frozen,
                ),
                (
                    "lapwing_journal_failing",
                    "1 while the journal cannot be written: records go to the log only.",
                    daemon.journal_failing,
                ),
            ] {
                gauge(encoder, name, help, None, u32::from(holds))?;
            }
        }
        self.encode_configuration(encoder)?;
        let abi = self.abi.to_string();
        encoder
            .encode_descriptor("lapwing_build", "What runs.", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION")), ("abi", &abi)])
    }
}
