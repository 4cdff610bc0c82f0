//! What a running BIRD makes of the prefixes that stand in our table. It is asked, not
//! its files: what counts is what it does.

use std::{path::Path, time::Duration};

use ipnet::IpNet;

use crate::{
    bird::{Client, Error, Family, Kind, Lookup, Name, Protocol, Selection},
    config::Settings,
};

/// Each question may take so long.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What BIRD says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bird {
    /// The families of our prefixes.
    pub families: Vec<Family>,
    /// Kernel protocols that import, by family.
    pub kernels: Vec<Family>,
    /// BGP sessions that may export.
    pub sessions: Vec<Session>,
    /// Our prefixes that stand in the table.
    pub prefixes: Vec<Known>,
}

/// A BGP session that may export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its name.
    pub name: String,
    /// The family.
    pub family: Family,
    /// Whether it is established.
    pub up: bool,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// What BIRD knows of a prefix that stands in our table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Which.
    pub prefix: IpNet,
    /// Whether a kernel protocol has learned it.
    pub learned: bool,
    /// The established sessions that do not export it.
    pub kept_from: Vec<String>,
    /// Those that do.
    pub exported_to: Vec<String>,
}

/// Asks BIRD about the prefixes that stand in our table; none without any prefix.
pub async fn ask(
    socket: &Path,
    settings: &Settings,
    standing: &[IpNet],
) -> Option<Result<Bird, String>> {
    if settings.core.prefixes.is_empty() {
        return None;
    }
    let told = tell(socket, settings, standing).await;
    Some(told.map_err(|error| error.to_string()))
}

async fn tell(socket: &Path, settings: &Settings, standing: &[IpNet]) -> Result<Bird, Error> {
    let mut client = Client::new(socket, TIMEOUT, TIMEOUT);
    let protocols = client.protocols().await?;
    let mut bird = Bird::default();
    for prefix in &settings.core.prefixes {
        let family = Family::of(prefix.prefix);
        if !bird.families.contains(&family) {
            bird.families.push(family);
        }
    }
    for &family in &bird.families {
        if of(&protocols, Kind::Kernel, family).any(|(_, channel)| channel.imports) {
            bird.kernels.push(family);
        }
        for (protocol, _) in exporters(&protocols, family) {
            bird.sessions.push(Session {
                name: protocol.name.to_string(),
                family,
                up: protocol.up,
                last_error: protocol.last_error.clone(),
            });
        }
    }
    let route = &settings.route;
    let ours = [route.protocol_full, route.protocol_degraded];
    for &prefix in standing {
        bird.prefixes
            .push(known(&mut client, &protocols, prefix, ours).await?);
    }
    Ok(bird)
}

async fn known(
    client: &mut Client,
    protocols: &[Protocol],
    prefix: IpNet,
    ours: [u8; 2],
) -> Result<Known, Error> {
    let family = Family::of(prefix);
    let mut known = Known {
        prefix,
        learned: false,
        kept_from: Vec::new(),
        exported_to: Vec::new(),
    };
    for (protocol, channel) in of(protocols, Kind::Kernel, family) {
        let routes = routes(client, prefix, &channel.table, Some(&protocol.name), None).await?;
        known.learned |= routes.iter().any(|route| {
            let source = route.kernel_source;
            source.is_some_and(|source| ours.contains(&source))
        });
    }
    for (protocol, channel) in exporters(protocols, family).filter(|(session, _)| session.up) {
        let name = &protocol.name;
        let exported = routes(client, prefix, &channel.table, None, Some(name)).await?;
        if exported.is_empty() {
            known.kept_from.push(name.to_string());
        } else {
            known.exported_to.push(name.to_string());
        }
    }
    Ok(known)
}

async fn routes(
    client: &mut Client,
    prefix: IpNet,
    table: &Name,
    protocol: Option<&Name>,
    export: Option<&Name>,
) -> Result<Vec<crate::bird::Route>, Error> {
    let selection = Selection {
        lookup: Lookup::Exact(prefix),
        table,
        protocol,
        export,
    };
    client.routes(&selection).await
}

fn of(
    protocols: &[Protocol],
    kind: Kind,
    family: Family,
) -> impl Iterator<Item = (&Protocol, &crate::bird::Channel)> {
    protocols
        .iter()
        .filter(move |protocol| protocol.kind == kind)
        .filter_map(move |protocol| Some((protocol, protocol.channel(family)?)))
}

/// BGP sessions that may export.
fn exporters(
    protocols: &[Protocol],
    family: Family,
) -> impl Iterator<Item = (&Protocol, &crate::bird::Channel)> {
    of(protocols, Kind::Bgp, family).filter(|(_, channel)| channel.exports)
}
