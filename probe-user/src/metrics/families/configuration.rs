//! Whether the newest configuration is the one in force, by the names that Prometheus
//! has for its own.

use std::fmt;

use prometheus_client::{encoding::DescriptorEncoder, metrics::MetricType, registry::Unit};

use crate::metrics::Model;

impl Model {
    pub(super) fn encode_configuration(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        encoder
            .encode_descriptor(
                "lapwing_config_last_reload_successful",
                "Whether the configuration that was asked for last is in force: 1, or 0 if it \
                 was refused.",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&u32::from(self.configuration.successful))?;
        encoder
            .encode_descriptor(
                "lapwing_config_last_reload_success_timestamp",
                "When the configuration in force was read, since 1970.",
                Some(&Unit::Seconds),
                MetricType::Gauge,
            )?
            .encode_gauge(&self.configuration.read_at.as_secs_f64())
    }
}
