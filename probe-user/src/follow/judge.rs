//! Whether what BIRD has of a prefix is what it should have, and in words what not.

use std::collections::BTreeSet;

use ipnet::IpNet;
use probe_core::Level;
use serde::Serialize;

use super::{landscape::Landscape, sight::Sight};
use crate::bird::{Family, Name, Route};

/// Lapwing's own mark on a route, as BIRD's configuration must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The kernel table.
    pub table: u32,
    /// The route protocol number of `full`.
    pub full: u8,
    /// The route protocol number of `degraded`.
    pub degraded: u8,
}

impl Numbers {
    fn of(self, level: Level) -> Option<u8> {
        match level {
            Level::Full => Some(self.full),
            Level::Degraded => Some(self.degraded),
            Level::Withdrawn => None,
        }
    }

    /// Whether the number is one of ours, or cannot be read.
    fn mark(self, route: &Route) -> bool {
        route
            .kernel_source
            .is_none_or(|source| source == self.full || source == self.degraded)
    }

    /// A route without a number that can be read is given the benefit of the doubt.
    fn says(self, route: &Route, level: Level) -> bool {
        match (route.kernel_source, self.of(level)) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(source), Some(number)) => source == number,
        }
    }
}

/// What can be wrong with a prefix in BIRD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// BIRD's table says something else than the kernel's.
    Stale,
    /// No session exports the prefix.
    NotExported,
    /// A session that exported it does so no longer.
    ExportLost,
    /// Something else than Lapwing's route keeps the withdrawn prefix announced.
    StillExported,
    /// A network around the withdrawn prefix is exported.
    Covered,
    /// The prefix is withdrawn, and clients still come.
    TrafficStays,
}

impl AlertKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Stale,
        Self::NotExported,
        Self::ExportLost,
        Self::StillExported,
        Self::Covered,
        Self::TrafficStays,
    ];

    /// The name used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::NotExported => "not_exported",
            Self::ExportLost => "export_lost",
            Self::StillExported => "still_exported",
            Self::Covered => "covered",
            Self::TrafficStays => "traffic_stays",
        }
    }
}

/// What is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The prefix.
    pub prefix: IpNet,
    /// What the kernel's table says.
    pub level: Level,
    /// Lapwing's marks.
    pub numbers: Numbers,
    /// The sessions that have exported it at this level or another.
    pub carriers: &'a BTreeSet<Name>,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// BIRD's table says what the kernel's does.
    pub learned: bool,
    /// Each established session, and whether it exports Lapwing's route at this level.
    pub exported: Vec<(Name, bool)>,
    /// All sessions do as they should.
    pub passed_on: bool,
    /// What is wrong.
    pub troubles: Vec<(AlertKind, String)>,
}

impl Judgement {
    /// Whether nothing remains to be waited for.
    pub fn is_done(&self) -> bool {
        self.learned && self.passed_on && self.troubles.is_empty()
    }
}

/// Judges.
pub fn judge(case: Case<'_>, landscape: &Landscape, sight: &Sight) -> Judgement {
    let family = Family::of(case.prefix);
    let ours = |route: &Route| {
        landscape
            .learners(family)
            .any(|learner| *learner.name == route.origin)
            && case.numbers.mark(route)
    };
    let mut judgement = Judgement {
        learned: match case.level {
            Level::Withdrawn => !sight.learned.iter().any(|route| case.numbers.mark(route)),
            Level::Full | Level::Degraded => sight
                .learned
                .iter()
                .any(|route| case.numbers.says(route, case.level)),
        },
        exported: sight
            .exported
            .iter()
            .map(|(session, routes)| {
                let exported = routes.iter().any(|route| {
                    ours(route)
                        && (case.level == Level::Withdrawn || case.numbers.says(route, case.level))
                });
                (session.clone(), exported)
            })
            .collect(),
        passed_on: false,
        troubles: Vec::new(),
    };
    if !judgement.learned {
        let sentence = stale(case, landscape, sight);
        judgement.troubles.push((AlertKind::Stale, sentence));
    }
    match case.level {
        Level::Withdrawn => judge_withdrawn(case, landscape, sight, &mut judgement, ours),
        Level::Full | Level::Degraded => judge_announced(case, landscape, sight, &mut judgement),
    }
    judgement
}

fn judge_withdrawn(
    case: Case<'_>,
    landscape: &Landscape,
    sight: &Sight,
    judgement: &mut Judgement,
    ours: impl Fn(&Route) -> bool,
) {
    let prefix = case.prefix;
    judgement.passed_on = judgement.exported.iter().all(|(_, exported)| !exported);
    // What another router announces leads to that router.
    let originated = |route: &&Route| !landscape.is_bgp(&route.origin);
    for (session, routes) in &sight.exported {
        for route in routes
            .iter()
            .filter(originated)
            .filter(|route| !ours(route))
        {
            judgement.passed_on = false;
            judgement.troubles.push((
                AlertKind::StillExported,
                format!(
                    "{prefix} is withdrawn, but BIRD's session {session} still exports it, as {} \
                     originates it, too: the withdraw is void; take that route away from BIRD's \
                     configuration",
                    route.origin
                ),
            ));
        }
    }
    for (session, route) in sight
        .covering
        .iter()
        .filter(|(_, route)| originated(&route))
    {
        judgement.troubles.push((
            AlertKind::Covered,
            format!(
                "{prefix} is withdrawn, but BIRD's session {session} exports {}, originated by \
                 {}: whoever hears {prefix} from no other site still comes here, and for them the \
                 withdraw is void; have {} originated elsewhere, or not exported here",
                route.prefix, route.origin, route.prefix
            ),
        ));
    }
}

fn judge_announced(
    case: Case<'_>,
    landscape: &Landscape,
    sight: &Sight,
    judgement: &mut Judgement,
) {
    let Case { prefix, level, .. } = case;
    let exporting = judgement.exported.iter().any(|(_, exported)| *exported);
    let lost: Vec<&Name> = judgement
        .exported
        .iter()
        .filter(|(session, exported)| !exported && case.carriers.contains(session))
        .map(|(session, _)| session)
        .collect();
    judgement.passed_on = exporting && lost.is_empty();
    // What BIRD has not learned, it cannot export: one trouble, not two.
    if !judgement.learned {
        return;
    }
    if !exporting {
        let sentence = not_exported(prefix, level, landscape, sight);
        judgement.troubles.push((AlertKind::NotExported, sentence));
        return;
    }
    for session in lost {
        judgement.troubles.push((
            AlertKind::ExportLost,
            format!(
                "BIRD's session {session} has exported {prefix} and no longer does so at {level}: \
                 look at its export filter (birdc show route {prefix} export {session})"
            ),
        ));
    }
}

fn stale(case: Case<'_>, landscape: &Landscape, sight: &Sight) -> String {
    let Case {
        prefix,
        level,
        numbers: Numbers { table, .. },
        ..
    } = case;
    let family = Family::of(prefix);
    let learners: Vec<String> = landscape
        .learners(family)
        .map(|learner| {
            format!(
                "{}{}",
                learner.name,
                if learner.up { "" } else { " (down)" }
            )
        })
        .collect();
    let has = match (level, sight.learned.first()) {
        (Level::Withdrawn, _) => format!("BIRD still has {prefix}, which is withdrawn"),
        (Level::Full | Level::Degraded, Some(route)) => format!(
            "BIRD has {prefix} with protocol number {}, which is not {level}",
            route
                .kernel_source
                .map_or_else(|| "unknown".to_owned(), |number| number.to_string())
        ),
        (Level::Full | Level::Degraded, None) => {
            format!("BIRD does not have {prefix}, which is {level} in kernel table {table}")
        }
    };
    if learners.is_empty() {
        return format!(
            "{has}: BIRD has no kernel protocol that imports {} routes; include \
             bird-config/lapwing.conf in its configuration",
            match family {
                Family::V4 => "IPv4",
                Family::V6 => "IPv6",
            }
        );
    }
    let learners = learners.join(", ");
    match level {
        Level::Withdrawn => format!(
            "{has}; its kernel protocol {learners} was told to read kernel table {table} again, \
             without effect: is it up, and has nobody else a route there?"
        ),
        Level::Full | Level::Degraded => format!(
            "{has}; its kernel protocol {learners} was told to read that table again, without \
             effect: does it read that table, is it up, and does its import filter accept the \
             prefix (LAPWING_PREFIXES_4, LAPWING_PREFIXES_6) and the number?"
        ),
    }
}

fn not_exported(prefix: IpNet, level: Level, landscape: &Landscape, sight: &Sight) -> String {
    let family = Family::of(prefix);
    let down: Vec<&str> = landscape
        .sessions(family)
        .filter(|session| !session.established)
        .map(|session| session.name.as_str())
        .collect();
    let others: Vec<String> = sight
        .exported
        .iter()
        .flat_map(|(session, routes)| {
            let origins = routes.iter().map(|route| &route.origin);
            origins.map(move |origin| format!("{session} exports that of {origin}"))
        })
        .collect();
    let why = match (sight.exported.as_slice(), &*down, &*others) {
        ([], [], _) => "BIRD has no BGP session that may export it".to_owned(),
        ([], down, _) => format!("not established: {}", down.join(", ")),
        (_, _, others @ [_, ..]) => format!(
            "its own route is not the one that is used: {}",
            others.join(", ")
        ),
        (established, _, []) => format!(
            "the export filter of {} rejects it, or its table has not got it",
            established
                .iter()
                .map(|(session, _)| session.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    format!("{prefix} is {level}, but no BGP session of BIRD exports it so: {why}")
}

#[cfg(test)]
mod tests;
