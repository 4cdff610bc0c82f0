//! What is shown of the sensor, the daemon and its process.

use super::{super::*, open, shows, text::parse};

#[test]
fn every_value_of_the_daemon_is_where_it_belongs() {
    shows(&[
        (
            "lapwing_sensor_attached",
            &[
                ("interface", "eth0"),
                ("hook", "egress"),
                ("mode", "native"),
            ],
            0.0,
        ),
        (
            "lapwing_skipped_packets_total",
            &[("reason", "later_fragment")],
            12.0,
        ),
        (
            "lapwing_program_runs_total",
            &[("program", "lapwing_in")],
            1e6,
        ),
        (
            "lapwing_program_run_seconds_total",
            &[("program", "lapwing_in")],
            0.05,
        ),
        (
            "lapwing_build_info",
            &[("version", env!("CARGO_PKG_VERSION")), ("abi", "3")],
            1.0,
        ),
        ("lapwing_sensor_blind", &[], 1.0),
        (
            "lapwing_host_info",
            &[("site", "fra1"), ("host", "edge3")],
            1.0,
        ),
        ("lapwing_mode", &[("mode", "enforce")], 1.0),
        ("lapwing_mode", &[("mode", "observe")], 0.0),
        ("lapwing_healthy", &[], 0.0),
        ("lapwing_frozen", &[], 1.0),
        ("lapwing_journal_failing", &[], 1.0),
        ("lapwing_config_last_reload_successful", &[], 0.0),
        (
            "lapwing_config_last_reload_success_timestamp_seconds",
            &[],
            1_795_467_834.5,
        ),
        ("process_cpu_seconds_total", &[], 1.25),
        ("process_resident_memory_bytes", &[], 31_457_280.0),
        ("process_open_fds", &[], 77.0),
        ("process_start_time_seconds", &[], 1_795_467_000.25),
    ]);
}

#[test]
fn an_empty_model_is_valid_too() {
    let samples = parse(&open(Model::new(0)));
    assert!(samples.iter().all(|(name, _, _)| {
        name.starts_with("lapwing_build")
            || name.starts_with("lapwing_config")
            || name.starts_with("lapwing_skipped")
            || name.starts_with("lapwing_withdraw_phase")
            || name.starts_with("lapwing_announce_phase")
            || name == "lapwing_bird_reloads_total"
    }));
}
