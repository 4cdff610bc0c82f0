//! The text as a whole; the families, by what they are about, in files of their own.

mod closed_loop;
mod daemon;
mod dashboards;
mod document;
mod prefixes;
mod sample;
mod services;
mod tally;
mod text;

use std::sync::Arc;

use self::{
    sample::model,
    text::{parse, value},
};
use super::*;

fn open(model: Model) -> String {
    encode(Arc::new(model), Format::OpenMetrics)
}

/// A name, labels, and the value.
type Expected<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// Checks that the sample model shows these values under these names and labels.
fn shows(expected: &[Expected<'_>]) {
    let samples = parse(&open(model()));
    for (name, labels, expected) in expected {
        assert_eq!(
            value(&samples, name, labels),
            Some(*expected),
            "{name} {labels:?}"
        );
    }
}

#[test]
fn the_text_looks_like_this() {
    let text = open(model());
    let start = "\
# HELP lapwing_packets Packets of the service. A GSO buffer counts as the segments it becomes.
# TYPE lapwing_packets counter
lapwing_packets_total{service=\"web\",direction=\"in\"} 10
lapwing_packets_total{service=\"web\",direction=\"out\"} 9
lapwing_packets_total{service=\"say \\\"hi\\\"\\\\\\n\",direction=\"in\"} 10
lapwing_packets_total{service=\"say \\\"hi\\\"\\\\\\n\",direction=\"out\"} 9
# HELP lapwing_bytes Bytes of the service's IP packets.
# TYPE lapwing_bytes counter
# UNIT lapwing_bytes bytes
lapwing_bytes_total{service=\"web\",direction=\"in\"} 1000
";
    assert!(text.starts_with(start), "{text}");
    for snippet in [
        "\
# TYPE lapwing_response_seconds histogram
# UNIT lapwing_response_seconds seconds
lapwing_response_seconds_sum{service=\"web\",kind=\"connect\"} 0.013
lapwing_response_seconds_count{service=\"web\",kind=\"connect\"} 5
lapwing_response_seconds_bucket{le=\"0.000004096\",service=\"web\",kind=\"connect\"} 2
lapwing_response_seconds_bucket{le=\"0.000008192\",service=\"web\",kind=\"connect\"} 2
",
        "\
lapwing_response_seconds_bucket{le=\"68.719476736\",service=\"web\",kind=\"connect\"} 4
lapwing_response_seconds_bucket{le=\"+Inf\",service=\"web\",kind=\"connect\"} 5
",
        "\
# TYPE lapwing_config_last_reload_successful gauge
lapwing_config_last_reload_successful 0
",
        "\
# UNIT lapwing_config_last_reload_success_timestamp_seconds seconds
lapwing_config_last_reload_success_timestamp_seconds 1795467834.5
",
        "\
# HELP lapwing_build What runs.
# TYPE lapwing_build info
",
    ] {
        assert!(text.contains(snippet), "{snippet}\nis not in\n{text}");
    }
}

#[test]
fn the_classic_text_has_the_same_samples_under_their_full_names() {
    let model = Arc::new(model());
    let classic = encode(Arc::clone(&model), Format::Classic);
    let open = encode(model, Format::OpenMetrics);
    let samples = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(samples(&classic), samples(&open));
    for (has, lacks) in [
        (
            "# TYPE lapwing_packets_total counter\n",
            "# TYPE lapwing_packets ",
        ),
        (
            "# HELP lapwing_bytes_total Bytes of the service's IP packets.\n",
            "# UNIT",
        ),
        ("# TYPE lapwing_build_info gauge\n", " info\n"),
        ("# TYPE lapwing_response_seconds histogram\n", "# EOF"),
    ] {
        assert!(classic.contains(has), "{has}\nis not in\n{classic}");
        assert!(!classic.contains(lacks), "{lacks}\nis in\n{classic}");
    }
    // Every sample stands below the comments of its own family.
    let mut family = String::new();
    for line in classic.lines() {
        if let Some(comment) = line.strip_prefix("# TYPE ") {
            family = comment.split(' ').next().unwrap().to_owned();
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&family), "{line} in {family}");
        }
    }
}
