//! Route messages: ours as the kernel wants them, the kernel's as we see them.

use core::net::IpAddr;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteScope, RouteType},
};

use super::{
    super::{
        reconcile::Change,
        route::{Kind, Route},
    },
    Event,
};

/// The request for one change.
pub fn request(prefix: IpNet, table: u32, change: Change) -> NetlinkMessage<RouteNetlinkMessage> {
    let ours = |route| {
        RouteNetlinkMessage::NewRoute(build(
            prefix,
            table,
            route,
            RouteType::BlackHole,
            RouteScope::Universe,
        ))
    };
    let (payload, flags) = match change {
        Change::Add(route) => (ours(route), NLM_F_CREATE | NLM_F_EXCL),
        Change::Replace(route) => (ours(route), NLM_F_REPLACE),
        // Any kind and scope, but only of our protocol: both families compare the
        // protocol, so a foreign route survives even a race.
        Change::Remove(route) => (
            RouteNetlinkMessage::DelRoute(build(
                prefix,
                table,
                route,
                RouteType::Unspec,
                RouteScope::NoWhere,
            )),
            0,
        ),
    };
    let mut request = NetlinkMessage::from(payload);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    request
}

fn build(
    prefix: IpNet,
    table: u32,
    route: Route,
    kind: RouteType,
    scope: RouteScope,
) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = match prefix {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.header.destination_prefix_length = prefix.prefix_len();
    message.header.protocol = route.protocol.into();
    message.header.kind = kind;
    message.header.scope = scope;
    message.attributes = vec![
        RouteAttribute::Destination(prefix.network().into()),
        RouteAttribute::Table(table),
        RouteAttribute::Priority(route.metric),
    ];
    message
}

/// What a message on the event socket says about `table`.
pub fn event(table: u32, message: &NetlinkMessage<RouteNetlinkMessage>) -> Option<Event> {
    match &message.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(message)) => {
            route(table, message).map(|(prefix, route)| Event::Appeared(prefix, route))
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelRoute(message)) => {
            route(table, message).map(|(prefix, route)| Event::Gone(prefix, route))
        }
        NetlinkPayload::Overrun(_) => Some(Event::Overrun),
        _ => None,
    }
}

/// The route of a message, if it stands in `table` and BIRD could learn it: routes
/// with a type of service or a source prefix are other keys, and ignored by it.
pub fn route(table: u32, message: &RouteMessage) -> Option<(IpNet, Route)> {
    let header = &message.header;
    let mut in_table = u32::from(header.table);
    let mut metric = 0;
    let mut address: IpAddr = match header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(id) => in_table = *id,
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Destination(RouteAddress::Inet(destination)) => {
                address = (*destination).into();
            }
            RouteAttribute::Destination(RouteAddress::Inet6(destination)) => {
                address = (*destination).into();
            }
            _ => {}
        }
    }
    if in_table != table
        || header.tos != 0
        || header.source_prefix_length != 0
        || header.flags.contains(RouteFlags::Cloned)
    {
        return None;
    }
    let prefix = IpNet::new(address, header.destination_prefix_length).ok()?;
    let kind = match header.kind {
        RouteType::BlackHole => Kind::Blackhole,
        RouteType::Unreachable => Kind::Unreachable,
        RouteType::Prohibit => Kind::Prohibit,
        RouteType::Unicast => Kind::Unicast,
        other => Kind::Other(other.into()),
    };
    let route = Route {
        metric,
        protocol: header.protocol.into(),
        kind,
    };
    Some((prefix, route))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Route = Route {
        metric: 32,
        protocol: 201,
        kind: Kind::Blackhole,
    };

    fn message(prefix: &str, table: u32) -> RouteMessage {
        build(
            prefix.parse().unwrap(),
            table,
            OURS,
            RouteType::BlackHole,
            RouteScope::Universe,
        )
    }

    #[test]
    fn what_is_built_reads_back() {
        for prefix in ["192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0", "::/0"] {
            for table in [42, 4242] {
                assert_eq!(
                    route(table, &message(prefix, table)),
                    Some((prefix.parse().unwrap(), OURS)),
                    "{prefix} in table {table}"
                );
            }
        }
    }

    #[test]
    fn a_default_route_comes_without_destination() {
        for (prefix, family) in [
            ("0.0.0.0/0", AddressFamily::Inet),
            ("::/0", AddressFamily::Inet6),
        ] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            message.header.table = 42;
            let (found, _) = route(42, &message).unwrap();
            assert_eq!(found, prefix.parse().unwrap());
        }
    }

    #[test]
    fn routes_that_are_no_concern_of_ours_are_left_out() {
        type Twist = fn(&mut RouteMessage);
        let cases: [(&str, Twist); 4] = [
            ("another table", |message| {
                message.attributes.push(RouteAttribute::Table(4243));
            }),
            ("type of service", |message| message.header.tos = 8),
            ("source prefix", |message| {
                message.header.source_prefix_length = 24;
            }),
            ("cache entry", |message| {
                message.header.flags.insert(RouteFlags::Cloned);
            }),
        ];
        for (description, twist) in cases {
            let mut message = message("2001:db8::/32", 4242);
            twist(&mut message);
            assert_eq!(route(4242, &message), None, "{description}");
        }
    }

    #[test]
    fn lost_events_are_told() {
        let mut message =
            NetlinkMessage::from(RouteNetlinkMessage::NewRoute(message("192.0.2.0/24", 4242)));
        message.payload = NetlinkPayload::Overrun(Vec::new());
        assert_eq!(event(4242, &message), Some(Event::Overrun));
    }
}
