//! What the kernel says of links, rules and routes, by netlink: `/sys/class/net` shows
//! the network namespace of its mount, which may be another one.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use netlink_packet_route::{
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp},
    route::RouteAttribute,
    rule::{RuleAttribute, RuleMessage},
};
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};

use crate::{announce, config::Settings, datapath::driver, discover};

/// Clients may be anywhere; these stand for them (RFC 5737, RFC 3849).
const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// See [`CLIENT_V4`].
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);

/// An interface that is to be measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// What the kernel says of it; none if there is no such interface.
    pub state: Option<State>,
}

/// What the kernel says of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether it is up.
    pub up: bool,
    /// Its driver.
    pub driver: Option<String>,
    /// Its largest packet.
    pub mtu: u32,
    /// Whether it merges segments before XDP sees them; none if it does not say.
    pub lro: Option<bool>,
    /// Whether it is a bond.
    pub bond: bool,
    /// The bond or bridge that takes its packets.
    pub master: Option<String>,
    /// The XDP program on it.
    pub xdp: Option<String>,
}

/// By which interface an address answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The service's address.
    pub address: IpAddr,
    /// The interface; none without a route.
    pub interface: Option<String>,
}

/// A rule that leads to our table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Of IPv6 rather than IPv4.
    pub v6: bool,
    /// Its priority.
    pub priority: u32,
}

/// Another program's route of one of our prefixes, in our table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrayRoute {
    /// The prefix.
    pub prefix: IpNet,
    /// The route, as route control tells it.
    pub route: String,
    /// Whether BIRD would take it and not ours.
    pub hides: bool,
}

/// The links of these names.
pub async fn links(names: &[String]) -> Result<Vec<Link>, String> {
    let messages = all_links().await?;
    let by_index: BTreeMap<u32, String> = messages
        .iter()
        .filter_map(|message| Some((message.header.index, name(message)?.to_owned())))
        .collect();
    Ok(names
        .iter()
        .map(|wanted| Link {
            name: wanted.clone(),
            state: messages
                .iter()
                .find(|message| name(message) == Some(wanted))
                .map(|message| state(wanted, message, &by_index)),
        })
        .collect())
}

async fn all_links() -> Result<Vec<LinkMessage>, String> {
    connect()?
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(|error| error.to_string())
}

fn name(message: &LinkMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::IfName(name) = attribute {
            Some(name.as_str())
        } else {
            None
        }
    })
}

fn state(name: &str, message: &LinkMessage, by_index: &BTreeMap<u32, String>) -> State {
    let mut state = State {
        up: message.header.flags.contains(LinkFlags::Up),
        driver: driver::name(name),
        lro: driver::merges_segments(name),
        ..State::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Mtu(mtu) => state.mtu = *mtu,
            LinkAttribute::Controller(index) => state.master = by_index.get(index).cloned(),
            LinkAttribute::LinkInfo(infos) => {
                state.bond = infos.contains(&LinkInfo::Kind(InfoKind::Bond));
            }
            LinkAttribute::Xdp(xdp) => {
                let id = xdp.iter().find_map(|xdp| match xdp {
                    LinkXdp::ProgId(id) => Some(*id),
                    _ => None,
                });
                state.xdp = id.map(program);
            }
            _ => {}
        }
    }
    state
}

/// The name of a program; its number if we may not ask.
fn program(id: u32) -> String {
    aya::programs::loaded_programs()
        .flatten()
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(ToOwned::to_owned))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("program {id}"))
}

/// By which interfaces these addresses answer clients.
pub async fn replies(addresses: BTreeSet<IpAddr>) -> Vec<Reply> {
    let (Ok(handle), Ok(links)) = (connect(), all_links().await) else {
        return Vec::new();
    };
    let mut replies = Vec::new();
    for address in addresses {
        let mut request = match address {
            IpAddr::V4(source) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(CLIENT_V4, 32)
                .source_prefix(source, 32)
                .build(),
            IpAddr::V6(source) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(CLIENT_V6, 128)
                .source_prefix(source, 128)
                .build(),
        };
        // What a look-up leaves to the kernel.
        request.header.table = 0;
        request.header.protocol = 0.into();
        request.header.kind = 0.into();
        let found = handle.route().get(request).execute().try_next().await;
        let index = found.ok().flatten().and_then(|route| {
            route
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    RouteAttribute::Oif(index) => Some(*index),
                    _ => None,
                })
        });
        let link = links
            .iter()
            .find(|link| Some(link.header.index) == index)
            .and_then(name);
        replies.push(Reply {
            address,
            interface: link.map(ToOwned::to_owned),
        });
    }
    replies
}

/// The rules that lead to `table`.
pub async fn rules(table: u32) -> Result<Vec<Rule>, String> {
    let handle = connect()?;
    let mut found = Vec::new();
    for (v6, version) in [(false, IpVersion::V4), (true, IpVersion::V6)] {
        let rules: Vec<RuleMessage> = handle
            .rule()
            .get(version)
            .execute()
            .try_collect()
            .await
            .map_err(|error| error.to_string())?;
        found.extend(
            rules
                .iter()
                .filter_map(|rule| leads_to(rule, table))
                .map(|priority| Rule { v6, priority }),
        );
    }
    Ok(found)
}

/// The priority of a rule that leads to the table.
fn leads_to(rule: &RuleMessage, table: u32) -> Option<u32> {
    let mut to = u32::from(rule.header.table);
    let mut priority = 0;
    for attribute in &rule.attributes {
        match attribute {
            RuleAttribute::Table(id) => to = *id,
            RuleAttribute::Priority(value) => priority = *value,
            _ => {}
        }
    }
    (to == table).then_some(priority)
}

/// Routes of others of our prefixes in our table.
pub async fn strays(settings: &Settings) -> Result<Vec<StrayRoute>, String> {
    let own = announce::route::Own {
        full: settings.route.protocol_full,
        degraded: settings.route.protocol_degraded,
        metric: announce::METRIC,
    };
    let routes = announce::read_table(settings.route.table)
        .await
        .map_err(|error| error.to_string())?;
    let prefixes = &settings.core.prefixes;
    Ok(routes
        .into_iter()
        .filter(|(prefix, route)| {
            !own.made(route) && prefixes.iter().any(|ours| ours.prefix == *prefix)
        })
        .map(|(prefix, route)| StrayRoute {
            prefix,
            hides: route.metric <= own.metric,
            route: route.to_string(),
        })
        .collect())
}

fn connect() -> Result<Handle, String> {
    discover::connect().map_err(|error| error.to_string())
}
