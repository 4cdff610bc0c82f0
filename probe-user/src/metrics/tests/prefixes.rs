//! What prefixes, the routing table and other hosts show.

use super::{
    super::*,
    open,
    sample::model,
    shows,
    text::{parse, value},
};

#[test]
fn every_value_of_a_prefix_is_where_it_belongs() {
    let first = ("prefix", "192.0.2.0/24");
    let second = ("prefix", "2001:db8::/32");
    let last = ("prefix", "203.0.113.0/24");
    shows(&[
        ("lapwing_prefix_level", &[("prefix", "192.0.2.0/24")], 2.0),
        ("lapwing_prefix_level", &[("prefix", "2001:db8::/32")], 0.0),
        (
            "lapwing_witness_level",
            &[
                ("prefix", "192.0.2.0/24"),
                ("witness_site", "ams1"),
                ("witness_host", "edge1"),
            ],
            1.0,
        ),
        (
            "lapwing_witness_stale",
            &[
                ("prefix", "192.0.2.0/24"),
                ("witness_site", "ams1"),
                ("witness_host", "edge1"),
            ],
            0.0,
        ),
        (
            "lapwing_witness_stale",
            &[
                ("prefix", "2001:db8::/32"),
                ("witness_site", "ams1"),
                ("witness_host", "edge1"),
            ],
            1.0,
        ),
        ("lapwing_prefix_level", &[("prefix", "203.0.113.0/24")], 1.0),
        (
            "lapwing_route_differences_total",
            &[("prefix", "192.0.2.0/24")],
            3.0,
        ),
        (
            "lapwing_route_conflicts",
            &[("prefix", "192.0.2.0/24"), ("conflict", "hidden")],
            1.0,
        ),
        (
            "lapwing_route_conflicts",
            &[("prefix", "2001:db8::/32"), ("conflict", "blocked")],
            0.0,
        ),
        (
            "lapwing_decisions_total",
            &[
                ("prefix", "2001:db8::/32"),
                ("action", "withdraw"),
                ("cause", "live_trials"),
            ],
            2.0,
        ),
        (
            "lapwing_holds_total",
            &[("prefix", "192.0.2.0/24"), ("guard", "second_leg")],
            1.0,
        ),
        ("lapwing_prefix_wanted_level", &[first], 0.0),
        ("lapwing_prefix_wanted_level", &[last], 2.0),
        (
            "lapwing_prefix_standing",
            &[first, ("standing", "announced")],
            1.0,
        ),
        (
            "lapwing_prefix_standing",
            &[first, ("standing", "locked_out")],
            0.0,
        ),
        ("lapwing_prefix_pinned", &[first], 0.0),
        ("lapwing_prefix_pinned", &[last], 1.0),
        ("lapwing_prefix_held", &[first, ("guard", "last_site")], 1.0),
        // What can be counted is there before it is.
        (
            "lapwing_decisions_total",
            &[second, ("action", "degrade"), ("cause", "probe")],
            0.0,
        ),
        (
            "lapwing_holds_total",
            &[second, ("guard", "budget_local")],
            0.0,
        ),
        ("lapwing_route_differences_total", &[second], 0.0),
        (
            "lapwing_route_conflicts",
            &[second, ("conflict", "refused")],
            0.0,
        ),
    ]);
}

#[test]
fn what_is_not_so_or_not_known_is_absent() {
    let samples = parse(&open(model()));
    for (name, labels) in [
        ("lapwing_prefix_level", &[("prefix", "198.51.100.0/24")][..]),
        (
            "lapwing_prefix_wanted_level",
            &[("prefix", "198.51.100.0/24")],
        ),
        (
            "lapwing_prefix_held",
            &[("prefix", "192.0.2.0/24"), ("guard", "frozen")],
        ),
        (
            "lapwing_prefix_held",
            &[("prefix", "2001:db8::/32"), ("guard", "last_site")],
        ),
        // Nothing announces because live trials fail.
        (
            "lapwing_decisions_total",
            &[
                ("prefix", "2001:db8::/32"),
                ("action", "announce"),
                ("cause", "live_trials"),
            ],
        ),
    ] {
        assert_eq!(value(&samples, name, labels), None, "{name} {labels:?}");
    }
}

#[test]
fn a_decision_is_counted_whatever_its_cause_and_level() {
    let mut model = model();
    let (prefix, cause) = (PrefixId(0), Cause::LiveTrials);
    model.tally.decided(prefix, Level::Full, cause);
    let labels = [
        ("prefix", "192.0.2.0/24"),
        ("action", "announce"),
        ("cause", "live_trials"),
    ];
    let samples = parse(&open(model));
    assert_eq!(
        value(&samples, "lapwing_decisions_total", &labels),
        Some(1.0)
    );
}
