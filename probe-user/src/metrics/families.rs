//! The metric families: names, help, units and labels, one after the other.
//!
//! The encoder appends the unit, and `_total` or `_info`, to a name by itself.

mod applications;
mod closed_loop;
mod configuration;
mod tcp;
mod traffic;

use std::{array, fmt};

use probe_common::{
    latency::{self, BUCKETS, Histogram, MAX_EXPONENT, MIN_EXPONENT, PARTS},
    skip::Skip,
    trial::Kind,
};
use probe_core::{
    Level,
    config::{Application, PrefixId, Protocol},
    status::ServiceState,
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

impl Collector for Model {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.encode_traffic(&mut encoder)?;
        self.encode_tcp(&mut encoder)?;
        self.encode_samples(&mut encoder)?;
        self.encode_dns(&mut encoder)?;
        self.encode_quic(&mut encoder)?;
        self.encode_http(&mut encoder)?;
        self.encode_trials(&mut encoder)?;
        self.encode_decisions(&mut encoder)?;
        self.encode_witnesses(&mut encoder)?;
        self.encode_quarrels(&mut encoder)?;
        self.encode_closed_loop(&mut encoder)?;
        self.encode_sensor(&mut encoder)?;
        self.encode_configuration(&mut encoder)
    }
}

impl Model {
    fn encode_trials(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        counters(
            encoder,
            "lapwing_trials",
            "Live trials by outcome; a late one was not answered by its deadline.",
            None,
            self.services.iter().flat_map(|service| {
                let trials = service.status.trials.iter();
                let trials = trials.filter(|(kind, _)| service.has_trials(**kind));
                trials.flat_map(|(kind, totals)| {
                    [
                        ("succeeded", totals.succeeded),
                        ("failed", totals.failed),
                        ("late", totals.late),
                        ("abandoned", totals.abandoned),
                    ]
                    .map(|(outcome, value)| {
                        let labels = [
                            ("service", &*service.name),
                            ("kind", kind.name()),
                            ("outcome", outcome),
                        ];
                        (labels, value)
                    })
                })
            }),
        )?;
        histograms(
            encoder,
            "lapwing_response",
            "Time from the packet that starts a trial to its answer.",
            self.services.iter().flat_map(|service| {
                let latencies = service.latencies.iter();
                let latencies = latencies.filter(|(kind, _)| service.has_trials(**kind));
                latencies.map(|(kind, latency)| {
                    let labels = [("service", &*service.name), ("kind", kind.name())];
                    (labels, latency)
                })
            }),
        )?;
        gauges(
            encoder,
            "lapwing_detector_score",
            "The highest detector's score as a part of its threshold: at 1 the service is \
             suspect.",
            Some(&Unit::Other("ratio".to_owned())),
            self.services.iter().flat_map(|service| {
                let kinds = service.status.kinds.iter();
                kinds.map(|(kind, status)| {
                    let labels = [("service", &*service.name), ("kind", kind.name())];
                    (labels, status.score_ratio)
                })
            }),
        )?;
        gauges(
            encoder,
            "lapwing_service_state",
            "What the service is held to be: 1 for the present state, 0 for the others.",
            None,
            self.services.iter().flat_map(|service| {
                ServiceState::ALL.map(|state| {
                    let labels = [("service", &*service.name), ("state", state.name())];
                    (labels, u32::from(service.status.state == state))
                })
            }),
        )
    }

    fn encode_decisions(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let names = PrefixNames::of(self);
        let name = |prefix| names.get(prefix);
        gauges(
            encoder,
            "lapwing_prefix_level",
            "What the routing table holds for the prefix: 2 full, 1 degraded, 0 withdrawn.",
            None,
            self.prefixes
                .iter()
                .zip(&names.0)
                .filter_map(|(prefix, name)| {
                    let level = level_number(prefix.status.observed?);
                    Some(([("prefix", &**name)], level))
                }),
        )?;
        counters(
            encoder,
            "lapwing_decisions",
            "Decided level changes.",
            None,
            self.tally
                .decisions
                .iter()
                .filter_map(|((prefix, level, cause), count)| {
                    let labels = [
                        ("prefix", name(*prefix)?),
                        ("action", action(*level)),
                        ("cause", cause.name()),
                    ];
                    Some((labels, *count))
                }),
        )?;
        let guards: Vec<String> = self
            .tally
            .holds
            .keys()
            .map(|(_, guard)| guard.to_string())
            .collect();
        counters(
            encoder,
            "lapwing_holds",
            "Level changes that were due and that a guard held.",
            None,
            self.tally
                .holds
                .iter()
                .zip(&guards)
                .filter_map(|(((prefix, _), count), guard)| {
                    Some(([("prefix", name(*prefix)?), ("guard", &**guard)], *count))
                }),
        )
    }

    fn encode_witnesses(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
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

    fn encode_quarrels(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let names = PrefixNames::of(self);
        let name = |prefix| names.get(prefix);
        counters(
            encoder,
            "lapwing_route_differences",
            "How often the routing table was found to hold another level than the decided one: \
             somebody else changed it.",
            None,
            self.tally
                .route_differences
                .iter()
                .filter_map(|(prefix, count)| Some(([("prefix", name(*prefix)?)], *count))),
        )?;
        gauges(
            encoder,
            "lapwing_route_conflicts",
            "What stands against the wanted level now: another program's route in our place \
             (blocked) or preferred by BIRD (hidden), another program that undoes our changes \
             (contended), the kernel (refused).",
            None,
            self.tally
                .route_conflicts
                .iter()
                .filter_map(|((prefix, kind), standing)| {
                    let labels = [("prefix", name(*prefix)?), ("conflict", kind.name())];
                    Some((labels, *standing))
                }),
        )
    }

    fn encode_sensor(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
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
        )?;
        let abi = self.abi.to_string();
        encoder
            .encode_descriptor("lapwing_build", "What runs.", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION")), ("abi", &abi)])
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

    /// A tally of a prefix that is not shown has no name.
    fn get(&self, prefix: PrefixId) -> Option<&str> {
        let index = usize::try_from(prefix.0).ok()?;
        self.0.get(index).map(String::as_str)
    }
}

fn level_number(level: Level) -> u32 {
    match level {
        Level::Full => 2,
        Level::Degraded => 1,
        Level::Withdrawn => 0,
    }
}

fn action(level: Level) -> &'static str {
    match level {
        Level::Full => "announce",
        Level::Degraded => "degrade",
        Level::Withdrawn => "withdraw",
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
