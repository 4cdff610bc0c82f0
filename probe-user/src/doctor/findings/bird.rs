//! Whether a running BIRD takes what Lapwing tells it, and passes it on.

use super::{Fail, Warn, bad, ok};
use crate::{
    bird::Family,
    doctor::{
        Finding,
        bird::{Bird, Known, Session},
        facts::Facts,
    },
};

/// Judges.
pub fn bird(facts: &Facts) -> Vec<Finding> {
    let bird = match &facts.bird {
        None => return Vec::new(),
        Some(Err(why)) => {
            return vec![bad(
                if facts.enforces { Fail } else { Warn },
                "bird",
                why.as_str(),
                "without BIRD no upstream hears of the prefix; --bird names another control socket",
            )];
        }
        Some(Ok(bird)) => bird,
    };
    let mut found: Vec<Finding> = bird
        .families
        .iter()
        .flat_map(|family| of_family(facts, bird, *family))
        .collect();
    found.extend(bird.sessions.iter().filter_map(session));
    found.extend(bird.prefixes.iter().flat_map(|known| prefix(facts, known)));
    if found.is_empty() {
        found.push(ok("bird", seen(bird)));
    }
    found
}

fn seen(bird: &Bird) -> String {
    let sessions: Vec<&str> = bird
        .sessions
        .iter()
        .map(|session| session.name.as_str())
        .collect();
    let announced = match bird.prefixes.len() {
        0 => "no prefix stands in the table, so what it would learn and export was not seen".into(),
        count => format!("{count} prefixes are learned and exported"),
    };
    format!("sessions {}; {announced}", sessions.join(", "))
}

fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// What there must be for a family, whatever stands in the table.
fn of_family(facts: &Facts, bird: &Bird, family: Family) -> Vec<Finding> {
    let mut found = Vec::new();
    let table = facts.table;
    if !bird.kernels.contains(&family) {
        found.push(bad(
            Fail,
            "bird",
            format!("no kernel protocol of BIRD's imports {}", name(family)),
            format!(
                "include bird-config/lapwing.conf: protocol kernel {{ kernel table {table}; learn; netlink rx buffer 16777216; ... import where ...; }}"
            ),
        ));
    }
    if !bird.sessions.iter().any(|session| session.family == family) {
        found.push(bad(
            Fail,
            "bird",
            format!("no BGP session of BIRD's exports {}", name(family)),
            "write `export filter lapwing_export;` in the channel of each session to an upstream",
        ));
    }
    found
}

fn session(session: &Session) -> Option<Finding> {
    (!session.up).then(|| {
        let why = session.last_error.as_deref().unwrap_or("no error is told");
        bad(
            Warn,
            "bird",
            format!("the BGP session {} is not established: {why}", session.name),
            format!("birdc show protocols all {}", session.name),
        )
    })
}

fn prefix(facts: &Facts, known: &Known) -> Vec<Finding> {
    let Known {
        prefix,
        learned,
        kept_from,
        exported_to,
    } = known;
    let table = facts.table;
    if !learned {
        return vec![bad(
            Fail,
            "bird",
            format!("{prefix} stands in table {table}, and BIRD has not learned it"),
            format!(
                "one of these lacks in the kernel protocol: `kernel table {table};`, `learn;`, the prefix in LAPWING_PREFIXES_*, or its number in the import filter (krt_source)"
            ),
        )];
    }
    kept_from
        .iter()
        .map(|session| {
            bad(
                if exported_to.is_empty() { Fail } else { Warn },
                "bird",
                format!("{prefix} is not exported to the BGP session {session}"),
                "let its `export filter` accept what is lapwing_is_ours(), and its channel take the table that has it; none is needed if this is no upstream",
            )
        })
        .collect()
}
