//! From what was read to what is believed. Pure.

use ipnet::IpNet;
use probe_core::{
    Level,
    witness::{Heard, Other},
};

use super::{Options, Table, UNREAD};
use crate::{
    announce::route::{Kind, Route},
    bird::{Error, Name, Protocol},
};

/// BIRD's sessions and whether they are established; or why BIRD does not say.
pub type Sessions = Result<Vec<(Name, bool)>, String>;

/// What BIRD's answer says.
pub fn sessions(answer: Result<Vec<Protocol>, Error>) -> Sessions {
    match answer {
        Ok(protocols) => Ok(protocols
            .into_iter()
            .map(|protocol| (protocol.name, protocol.up))
            .collect()),
        Err(error) => Err(error.to_string()),
    }
}

/// The level at which a table holds each prefix. Of two routes the lower one counts: it
/// may be the newer one.
pub fn levels(routes: &[(IpNet, Route)], prefixes: &[IpNet]) -> Vec<Level> {
    let level = |route: &Route| match route.kind {
        Kind::Blackhole => Some(Level::Full),
        Kind::Unreachable => Some(Level::Degraded),
        Kind::Prohibit | Kind::Unicast | Kind::Other(_) => None,
    };
    prefixes
        .iter()
        .map(|prefix| {
            routes
                .iter()
                .filter(|(of, _)| of == prefix)
                .filter_map(|(_, route)| level(route))
                .min()
                .unwrap_or(Level::Withdrawn)
        })
        .collect()
}

/// What is believed of every witness, by prefix.
pub fn others(options: &Options, tables: &[Table], sessions: &Sessions) -> Vec<Vec<Other>> {
    let of_prefix = |(index, prefix): (usize, &IpNet)| {
        options
            .witnesses
            .iter()
            .zip(tables)
            .filter_map(|(witness, table)| {
                let session = witness.session(*prefix)?;
                let heard = match (is_alive(session, sessions), table) {
                    (Err(why), _) => Heard::Stale(why),
                    (Ok(()), Err(why)) => Heard::Stale(why.clone()),
                    (Ok(()), Ok(levels)) => levels.get(index).map_or_else(
                        || Heard::Stale(UNREAD.to_owned()),
                        |level| Heard::Level(*level),
                    ),
                };
                Some(Other {
                    site: witness.site.clone(),
                    host: witness.host.clone(),
                    is_neighbour: witness.is_neighbour,
                    heard,
                })
            })
            .collect()
    };
    options.prefixes.iter().enumerate().map(of_prefix).collect()
}

fn is_alive(session: &Name, sessions: &Sessions) -> Result<(), String> {
    let sessions = sessions.as_ref().map_err(Clone::clone)?;
    match sessions.iter().find(|(name, _)| name == session) {
        Some((_, true)) => Ok(()),
        Some((_, false)) => Err(format!("BIRD's session {session} is not established")),
        None => Err(format!(
            "BIRD has no session {session}: correct `sessions` in [[witness]], or BIRD's configuration"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Witness, *};

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn route(kind: Kind) -> Route {
        Route {
            metric: 32,
            protocol: 12,
            kind,
        }
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn the_kind_of_a_route_is_its_level() {
        let ours = net("192.0.2.0/24");
        let cases: [(&str, &[Kind], Level); 6] = [
            ("nothing", &[], Level::Withdrawn),
            ("full", &[Kind::Blackhole], Level::Full),
            ("degraded", &[Kind::Unreachable], Level::Degraded),
            ("something else", &[Kind::Unicast], Level::Withdrawn),
            (
                "both, while one replaces the other",
                &[Kind::Blackhole, Kind::Unreachable],
                Level::Degraded,
            ),
            (
                "beside something else",
                &[Kind::Prohibit, Kind::Blackhole],
                Level::Full,
            ),
        ];
        for (description, kinds, level) in cases {
            let routes: Vec<_> = kinds
                .iter()
                .map(|kind| (ours, route(*kind)))
                .chain([(net("198.51.100.0/24"), route(Kind::Blackhole))])
                .collect();
            assert_eq!(levels(&routes, &[ours]), [level], "{description}");
        }
    }

    #[test]
    fn a_table_is_believed_while_bird_lives_and_the_session_stands() {
        let options = Options {
            bird_socket: "/run/bird/bird.ctl".into(),
            witnesses: vec![
                Witness {
                    site: "ams1".into(),
                    host: "edge1".into(),
                    is_neighbour: false,
                    table: 4243,
                    session_v4: Some(name("ams1_4")),
                    session_v6: Some(name("ams1_6")),
                },
                Witness {
                    site: "fra1".into(),
                    host: "edge2".into(),
                    is_neighbour: true,
                    table: 4244,
                    session_v4: Some(name("edge2_4")),
                    session_v6: None,
                },
            ],
            prefixes: vec![net("192.0.2.0/24"), net("2001:db8::/48")],
        };
        let both = || Ok(vec![Level::Full, Level::Degraded]);
        let heard = |tables: &[Table], sessions: &Sessions| -> Vec<Vec<String>> {
            others(&options, tables, sessions)
                .iter()
                .map(|others| others.iter().map(Other::sentence).collect())
                .collect()
        };
        let standing = |ams1_6| {
            Ok(vec![
                (name("ams1_4"), true),
                (name("ams1_6"), ams1_6),
                (name("edge2_4"), true),
            ])
        };
        assert_eq!(
            heard(&[both(), both()], &standing(true)),
            [
                vec!["ams1/edge1 full", "fra1/edge2 full"],
                vec!["ams1/edge1 degraded"]
            ]
        );
        assert_eq!(
            heard(&[both(), Err("no".into())], &standing(false)),
            [
                vec!["ams1/edge1 full", "fra1/edge2 stale (no)"],
                vec!["ams1/edge1 stale (BIRD's session ams1_6 is not established)"]
            ]
        );
        let dead: Sessions = Err("BIRD has died".into());
        for others in others(&options, &[both(), both()], &dead) {
            assert!(others.iter().all(|other| other.level().is_none()));
        }
        let unknown = heard(&[both(), both()], &Ok(Vec::new()));
        assert!(unknown[1][0].contains("no session ams1_6"), "{unknown:?}");
    }
}
