//! What becomes of the daemon's own counts when the configuration changes.

use std::collections::BTreeMap;

use probe_core::{Config, config};

use super::{super::*, sample::tally};

#[test]
fn other_numbers_of_prefixes_take_their_counts_along() {
    let with = |prefixes: &[&str]| -> Config {
        let mut core = crate::config::Settings::without_file().core;
        core.prefixes = prefixes
            .iter()
            .map(|prefix| config::Prefix {
                prefix: prefix.parse().unwrap(),
                withdraw_when: config::WithdrawWhen::Any,
                services: Vec::new(),
                drain: Duration::ZERO,
                last_site: config::LastSite::Unwitnessed,
            })
            .collect();
        core
    };
    let (before, after) = (
        with(&["192.0.2.0/24", "2001:db8::/32"]),
        with(&["198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24"]),
    );
    let mut tally = tally();
    tally.renumber(&Renumbering::between(&before, &after));
    let (moved, gone) = (PrefixId(2), PrefixId(1));
    let decided = (moved, Level::Full, Cause::FirstAnnouncement);
    assert_eq!(tally.decisions, BTreeMap::from([(decided, 1)]));
    assert_eq!(
        tally.holds,
        BTreeMap::from([((moved, Guard::SecondLeg), 1)])
    );
    assert_eq!(tally.route_differences, BTreeMap::from([(moved, 3)]));
    let hidden = (moved, ConflictKind::Hidden);
    assert_eq!(tally.route_conflicts, BTreeMap::from([(hidden, 1)]));
    assert!(!tally.route_differences.contains_key(&gone));
}
