//! What is shown of BIRD and of the phases of a change.

use proptest::prelude::*;

use super::{super::*, open, shows, text::parse};

#[test]
fn every_value_of_the_closed_loop_is_where_it_belongs() {
    shows(&[
        (
            "lapwing_withdraw_phase_seconds_sum",
            &[("phase", "decided")],
            0.012,
        ),
        (
            "lapwing_withdraw_phase_seconds_count",
            &[("phase", "kernel")],
            1.0,
        ),
        (
            "lapwing_withdraw_phase_seconds_sum",
            &[("phase", "export")],
            0.003,
        ),
        (
            "lapwing_announce_phase_seconds_count",
            &[("phase", "rib")],
            1.0,
        ),
        ("lapwing_bird_reloads_total", &[], 1.0),
        ("lapwing_bird_up", &[], 1.0),
        (
            "lapwing_bird_session_established",
            &[("session", "up4")],
            1.0,
        ),
        (
            "lapwing_export_verified",
            &[("prefix", "192.0.2.0/24")],
            1.0,
        ),
        (
            "lapwing_export_alerts",
            &[("prefix", "2001:db8::/32"), ("alert", "covered")],
            1.0,
        ),
    ]);
}

proptest! {
    #[test]
    fn a_latency_lies_below_its_bound_and_not_below_the_one_before(ns: u64, shift in 0u32..64) {
        let duration = Duration::from_nanos(ns >> shift);
        let mut model = Model::new(0);
        model
            .tally
            .took(Level::Withdrawn, Phase::Kernel, duration);
        let samples = parse(&open(model));
        let buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter(|(name, labels, _)| {
                name == "lapwing_withdraw_phase_seconds_bucket" && labels["phase"] == "kernel"
            })
            .map(|(_, labels, count)| {
                let bound = match &*labels["le"] {
                    "+Inf" => f64::INFINITY,
                    bound => bound.parse().unwrap(),
                };
                (bound, *count)
            })
            .collect();
        prop_assert_eq!(buckets.len(), 26);
        prop_assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        for (bound, count) in buckets {
            prop_assert_eq!(count > 0.0, duration.as_secs_f64() < bound);
        }
    }
}
