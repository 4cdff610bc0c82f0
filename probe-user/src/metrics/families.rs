//! The metric families: names, help, units and labels, one after the other.
//!
//! In groups, as `docs/metrics.md` shows them. The encoder appends the unit, and `_total`
//! or `_info`, to a name by itself.

mod applications;
mod closed_loop;
mod configuration;
mod daemon;
mod prefixes;
mod process;
mod routes;
mod sensor;
mod services;
mod tcp;
mod traffic;
mod uplinks;
mod witnesses;

use std::{array, fmt};

use probe_common::{
    latency::{self, BUCKETS, Histogram, MAX_EXPONENT, MIN_EXPONENT, PARTS},
    trial::Kind,
};
use probe_core::{
    Level,
    config::{Application, PrefixId, Protocol},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use super::{Model, Service};

/// Powers of two below the open end, and the open end.
const BOUNDS: usize = (MAX_EXPONENT - MIN_EXPONENT) as usize + 2;

type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// Families that belong together.
pub(super) struct Group {
    /// What they are about.
    #[cfg_attr(not(test), expect(dead_code, reason = "a heading of the document"))]
    pub title: &'static str,
    /// Writes them.
    pub encode: fn(&Model, &mut DescriptorEncoder) -> fmt::Result,
}

/// All families, in order.
pub(super) const GROUPS: [Group; 15] = [
    group("Packets", Model::encode_traffic),
    group("TCP", Model::encode_tcp),
    group("Sampled TCP connections", Model::encode_samples),
    group("DNS", Model::encode_dns),
    group("QUIC", Model::encode_quic),
    group("HTTP", Model::encode_http),
    group("Uplinks", Model::encode_uplinks),
    group("Services", Model::encode_services),
    group("Prefixes", Model::encode_prefixes),
    group("Other hosts", Model::encode_witnesses),
    group("The routing table", Model::encode_routes),
    group("BIRD and beyond", Model::encode_closed_loop),
    group("The sensor", Model::encode_sensor),
    group("The daemon", Model::encode_daemon),
    group("Its process", Model::encode_process),
];

const fn group(
    title: &'static str,
    encode: fn(&Model, &mut DescriptorEncoder) -> fmt::Result,
) -> Group {
    Group { title, encode }
}

impl Collector for Model {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        GROUPS
            .iter()
            .try_for_each(|group| (group.encode)(self, &mut encoder))
    }
}

/// Families that a service cannot have are left out for it.
impl Service {
    fn has_trials(&self, kind: Kind) -> bool {
        self.protocol.has_trials(self.application, kind)
    }

    fn is_tcp(&self) -> bool {
        self.protocol == Protocol::Tcp
    }

    fn speaks(&self, application: Application) -> bool {
        self.application == application
    }
}

/// The prefixes as text, by id.
struct PrefixNames(Vec<String>);

impl PrefixNames {
    fn of(model: &Model) -> Self {
        let prefixes = model.prefixes.iter();
        Self(prefixes.map(|prefix| prefix.prefix.to_string()).collect())
    }
}

impl Model {
    /// The prefixes by the ids under which they are counted.
    fn named_prefixes(&self) -> Vec<(PrefixId, String)> {
        (0..).map(PrefixId).zip(PrefixNames::of(self).0).collect()
    }
}

fn level_number(level: Level) -> u32 {
    match level {
        Level::Full => 2,
        Level::Degraded => 1,
        Level::Withdrawn => 0,
    }
}

fn counters<'a, const N: usize, V: EncodeCounterValue>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    samples: impl IntoIterator<Item = (Labels<'a, N>, V)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
    for (labels, value) in samples {
        // Braces around nothing are no label set.
        if N == 0 {
            family.encode_counter::<NoLabelSet, V, f64>(&value, None)?;
        } else {
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, V, f64>(&value, None)?;
        }
    }
    Ok(())
}

fn gauges<'a, const N: usize, V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    samples: impl IntoIterator<Item = (Labels<'a, N>, V)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    for (labels, value) in samples {
        if N == 0 {
            family.encode_gauge(&value)?;
        } else {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
    }
    Ok(())
}

/// A gauge without labels.
fn gauge<V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: V,
) -> fmt::Result {
    gauges(encoder, name, help, unit, [([], value)])
}

/// Histograms of seconds.
fn histograms<'a, const N: usize>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels<'a, N>, &'a Histogram)>,
) -> fmt::Result {
    let unit = Unit::Seconds;
    let mut family = encoder.encode_descriptor(name, help, Some(&unit), MetricType::Histogram)?;
    for (labels, histogram) in samples {
        let buckets = by_powers_of_two(histogram);
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = seconds(histogram.sum_ns);
        family
            .encode_family(&labels)?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
    }
    Ok(())
}

/// The histogram with one bucket per power of two: upper bound in seconds, count.
fn by_powers_of_two(histogram: &Histogram) -> [(f64, u64); BOUNDS] {
    array::from_fn(|bound| {
        // Bucket 0, then groups of `PARTS`, then the open end.
        let last = (bound * PARTS).min(BUCKETS - 1);
        let first = if bound == 0 {
            0
        } else {
            (bound - 1) * PARTS + 1
        };
        let upper = latency::upper_bound_ns(last).map_or(f64::INFINITY, seconds);
        (upper, histogram.buckets[first..=last].iter().sum())
    })
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
