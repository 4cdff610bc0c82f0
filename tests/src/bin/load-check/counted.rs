//! What each hook has to count of a connection that is made and closed again. Repeats
//! do not count: an emulated guest may be late with an answer.

use std::collections::BTreeMap;

use probe_common::counters::Counters;
use probe_user::datapath::{Datapath, Hook};

/// The counters of all services together.
pub fn sum(datapath: &Datapath) -> Counters {
    let mut sum = Counters::default();
    for counters in datapath.counters() {
        sum.add(&counters);
    }
    sum
}

/// The counters of a hook of which every connection adds one, by name.
pub fn of(hook: Hook, counters: &Counters) -> BTreeMap<&'static str, u64> {
    match hook {
        Hook::Ingress => BTreeMap::from([
            ("syn", counters.syn - counters.syn_retransmissions),
            ("verified", counters.verified),
        ]),
        Hook::Egress => {
            BTreeMap::from([("synack", counters.synack - counters.synack_retransmissions)])
        }
    }
}
