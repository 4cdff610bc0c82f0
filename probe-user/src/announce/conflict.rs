//! What stands against the wanted level of a prefix, in words for the operator.

use core::fmt;

use ipnet::IpNet;
use probe_core::config::PrefixId;
use serde::Serialize;

use super::{Error, reconcile::Plan, route::Route, tracked::Tracked};

/// One thing that stands against the wanted level of a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// Whose level.
    pub prefix: PrefixId,
    /// What kind of thing.
    pub kind: ConflictKind,
    /// All of it: what, why, and what to do.
    pub sentence: String,
}

/// The kinds of [`Conflict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictKind {
    /// Another program's route holds the key of ours.
    Blocked,
    /// Another program's route hides ours from BIRD.
    Hidden,
    /// Another program undoes each of our changes.
    Contended,
    /// The kernel refuses our change.
    Refused,
}

impl ConflictKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Blocked, Self::Hidden, Self::Contended, Self::Refused];

    /// The name used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Hidden => "hidden",
            Self::Contended => "contended",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for ConflictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What stands against the wanted level of one prefix.
pub(super) fn conflicts(id: PrefixId, tracked: &Tracked, table: u32) -> Vec<Conflict> {
    let prefix = tracked.net;
    let conflict = |kind, sentence| Conflict {
        prefix: id,
        kind,
        sentence,
    };
    let mut found = Vec::new();
    let blocked = match tracked.reconciler.plan() {
        Plan::Blocked(route) => Some(route),
        Plan::Rest | Plan::Make(_) => None,
    };
    let level = tracked.reconciler.wanted();
    if let Some((route, level)) = blocked.zip(level) {
        let error = Error::Foreign {
            prefix,
            level,
            table,
            route,
        };
        found.push(conflict(ConflictKind::Blocked, error.to_string()));
    }
    let hiding = tracked
        .reconciler
        .hiding()
        .filter(|route| Some(*route) != blocked);
    for route in hiding {
        found.push(conflict(ConflictKind::Hidden, hidden(prefix, table, route)));
    }
    if let Some(level) = level.filter(|_| tracked.reconciler.is_contended()) {
        let error = Error::Contended {
            prefix,
            table,
            level,
        };
        found.push(conflict(ConflictKind::Contended, error.to_string()));
    }
    if let Some(refusal) = &tracked.refusal {
        found.push(conflict(ConflictKind::Refused, refusal.sentence.clone()));
    }
    found
}

fn hidden(prefix: IpNet, table: u32, route: Route) -> String {
    format!(
        "another program's {route} for {prefix} in routing table {table} hides lapwing's from \
         BIRD, which takes the lowest metric: remove it (ip route del {prefix} table {table} \
         metric {metric})",
        metric = route.metric
    )
}
