//! Why the table is not as wanted, with what an operator can do about it.

use std::io;

use ipnet::IpNet;
use probe_core::{Level, config::PrefixId};

use super::{SET_TIMEOUT, route::Route};

/// Why the table is not as wanted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No actor.
    #[error("cannot start the route control thread: {source}")]
    Thread {
        /// The kernel's answer.
        source: io::Error,
    },
    /// No netlink.
    #[error("cannot open an rtnetlink socket: {source}{}", remedy(source, None))]
    Connect {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The table cannot be read.
    #[error("cannot read routing table {table}: {source}{}", remedy(source, None))]
    Read {
        /// Which table.
        table: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused a change.
    #[error(
        "cannot make {prefix} {level} in routing table {table}: {source}{}",
        remedy(source, Some(*prefix))
    )]
    Change {
        /// Which prefix.
        prefix: IpNet,
        /// In which table.
        table: u32,
        /// The level that was wanted.
        level: Level,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Another program's route holds the key of ours.
    #[error(
        "cannot make {prefix} {level} in routing table {table}: another program's {route} stands \
         there; remove it (ip route del {prefix} table {table} metric {metric}) or give lapwing \
         a table of its own: it goes in as soon as that one goes",
        metric = route.metric
    )]
    Foreign {
        /// Which prefix.
        prefix: IpNet,
        /// In which table.
        table: u32,
        /// The level that was wanted.
        level: Level,
        /// The route that stands there.
        route: Route,
    },
    /// Another program undoes one change after the other.
    #[error(
        "cannot keep {prefix} {level} in routing table {table}: another program undoes what lapwing \
         does, again and again; find it with: ip -ts monitor route. To spare the upstreams, \
         lapwing waits longer and longer before the next attempt, up to 5 minutes"
    )]
    Contended {
        /// Which prefix.
        prefix: IpNet,
        /// In which table.
        table: u32,
        /// The level that was wanted.
        level: Level,
    },
    /// The kernel did not answer.
    #[error(
        "the kernel did not acknowledge {prefix} {level} in routing table {table} within \
         {SET_TIMEOUT:?} (another program holds its routing lock?); lapwing goes on trying"
    )]
    Timeout {
        /// Which prefix.
        prefix: IpNet,
        /// In which table.
        table: u32,
        /// The level that was wanted.
        level: Level,
    },
    /// A prefix that the options do not have.
    #[error("there is no prefix number {}", .0.0)]
    UnknownPrefix(PrefixId),
    /// The actor is gone.
    #[error("route control has stopped; restart lapwing (the routes stay as they are)")]
    Stopped,
}

/// What an operator can do about a refusal, as the end of a sentence.
fn remedy(error: &io::Error, prefix: Option<IpNet>) -> &'static str {
    match (error.raw_os_error(), prefix) {
        (Some(libc::EPERM), _) => "; run lapwing as root or give it CAP_NET_ADMIN",
        (Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP), Some(IpNet::V6(_))) => {
            "; this kernel runs without IPv6: boot without ipv6.disable=1"
        }
        (Some(libc::ENOBUFS | libc::ENOMEM | libc::EMFILE | libc::ENFILE), _) => {
            "; the host lacks memory or file descriptors"
        }
        (Some(libc::ENOPROTOOPT), _) => "; lapwing needs Linux 4.20 or newer",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::route::Kind;

    #[test]
    fn errors_name_prefix_table_cause_and_remedy() {
        let prefix: IpNet = "192.0.2.0/24".parse().unwrap();
        let change = |prefix: &str, errno| Error::Change {
            prefix: prefix.parse().unwrap(),
            table: 4242,
            level: Level::Full,
            source: io::Error::from_raw_os_error(errno),
        };
        for (error, expected) in [
            (
                change("192.0.2.0/24", libc::EPERM),
                "cannot make 192.0.2.0/24 full in routing table 4242: Operation not permitted \
                 (os error 1); run lapwing as root or give it CAP_NET_ADMIN",
            ),
            (
                change("2001:db8::/32", libc::EOPNOTSUPP),
                "cannot make 2001:db8::/32 full in routing table 4242: Operation not supported \
                 (os error 95); this kernel runs without IPv6: boot without ipv6.disable=1",
            ),
            (
                Error::Foreign {
                    prefix,
                    table: 4242,
                    level: Level::Full,
                    route: Route {
                        metric: 32,
                        protocol: 4,
                        kind: Kind::Unicast,
                    },
                },
                "cannot make 192.0.2.0/24 full in routing table 4242: another program's unicast \
                 route of protocol 4, metric 32 stands there; remove it (ip route del \
                 192.0.2.0/24 table 4242 metric 32) or give lapwing a table of its own: it goes \
                 in as soon as that one goes",
            ),
        ] {
            assert_eq!(error.to_string(), expected);
        }
    }
}
