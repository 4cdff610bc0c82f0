//! Looks at one prefix in BIRD.

use std::collections::BTreeSet;

use ipnet::IpNet;
use probe_core::Level;

use super::landscape::Landscape;
use crate::bird::{Client, Error, Family, Lookup, Name, Route, Selection};

/// What BIRD has of a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// What its kernel protocols have learned.
    pub learned: Vec<Route>,
    /// Each session that is established, and what it exports for the very prefix.
    pub exported: Vec<(Name, Vec<Route>)>,
    /// Larger networks around the prefix that are exported, with the session. Only
    /// looked for once a prefix is to be withdrawn and no session exports it.
    pub covering: Vec<(Name, Route)>,
}

/// Looks at a prefix that is to be at `wanted`.
pub async fn look(
    client: &mut Client,
    landscape: &Landscape,
    prefix: IpNet,
    wanted: Level,
) -> Result<Sight, Error> {
    let family = Family::of(prefix);
    let mut sight = Sight::default();
    for learner in landscape.learners(family) {
        let selection = Selection {
            lookup: Lookup::Exact(prefix),
            table: learner.table,
            protocol: Some(learner.name),
            export: None,
        };
        sight.learned.extend(client.routes(&selection).await?);
    }
    let established = || {
        landscape
            .sessions(family)
            .filter(|session| session.established)
    };
    for session in established() {
        let selection = Selection {
            lookup: Lookup::Exact(prefix),
            table: session.table,
            protocol: None,
            export: Some(session.name),
        };
        let routes = client.routes(&selection).await?;
        sight.exported.push((session.name.clone(), routes));
    }
    let gone = sight.exported.iter().all(|(_, routes)| routes.is_empty());
    if wanted == Level::Withdrawn && gone {
        let tables: BTreeSet<&Name> = established().map(|session| session.table).collect();
        for table in tables {
            for around in networks_around(client, prefix, table).await? {
                for session in established().filter(|session| session.table == table) {
                    let selection = Selection {
                        lookup: Lookup::Exact(around),
                        table,
                        protocol: None,
                        export: Some(session.name),
                    };
                    let routes = client.routes(&selection).await?;
                    let named = routes
                        .into_iter()
                        .map(|route| (session.name.clone(), route));
                    sight.covering.extend(named);
                }
            }
        }
    }
    Ok(sight)
}

/// The networks of a table that contain the prefix, the smallest first. Not the
/// default route: that is what one gives to routers below, and no upstream wants it.
async fn networks_around(
    client: &mut Client,
    prefix: IpNet,
    table: &Name,
) -> Result<Vec<IpNet>, Error> {
    let mut found = Vec::new();
    let mut next = prefix.supernet();
    while let Some(lookup) = next.filter(|lookup| lookup.prefix_len() > 0) {
        let selection = Selection {
            lookup: Lookup::Longest(lookup),
            table,
            protocol: None,
            export: None,
        };
        let routes = client.routes(&selection).await?;
        let around = routes.first().map(|route| route.prefix);
        // BIRD says nothing larger than it was asked for: each step leads up.
        let Some(around) =
            around.filter(|around| around.contains(&lookup) && around.prefix_len() > 0)
        else {
            break;
        };
        found.push(around);
        next = around.supernet();
    }
    Ok(found)
}
