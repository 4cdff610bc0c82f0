//! The smallest lab: a host with a service, and its clients at the other end of a
//! link.
//!
//! ```text
//!  clients  eth0 ───── eth0  host   192.0.2.10, 2001:db8:a::10
//!  64 networks             └ default route: the clients
//! ```
//! Whatever the source of a packet is, its answer goes back over the link and ends
//! there.

use std::{fmt::Write as _, net::IpAddr};

use anyhow::{Context as _, Result};

use super::{
    netns::Namespace,
    topology::{Family, OUTER, Site, client_addresses},
};

/// Host and clients. Fields are dropped in this order.
pub struct Pair {
    /// Where the service runs.
    pub host: Namespace,
    /// Where the clients are.
    pub clients: Namespace,
}

impl Pair {
    /// Builds both, joined by one link.
    pub fn new() -> Result<Self> {
        let pair = Self {
            host: Namespace::new("host")?,
            clients: Namespace::new("clients")?,
        };
        for node in [&pair.host, &pair.clients] {
            node.sysctl(&[
                ("net.ipv6.conf.all.accept_dad", "0"),
                ("net.ipv6.conf.default.accept_dad", "0"),
                ("net.ipv6.conf.all.accept_ra", "0"),
                ("net.ipv6.conf.default.accept_ra", "0"),
                // Requests and answers may take different links.
                ("net.ipv4.conf.all.rp_filter", "0"),
                ("net.ipv4.conf.default.rp_filter", "0"),
            ])?;
        }
        pair.host.sysctl(&[
            ("net.core.somaxconn", "4096"),
            ("net.ipv4.tcp_max_syn_backlog", "8192"),
            ("net.ipv4.tcp_max_tw_buckets", "400000"),
            // No error is to be held back by a limit.
            ("net.ipv4.icmp_ratelimit", "0"),
            ("net.ipv4.icmp_msgs_per_sec", "100000"),
            ("net.ipv4.icmp_msgs_burst", "100000"),
            ("net.ipv6.icmp.ratelimit", "0"),
        ])?;
        pair.clients
            .sysctl(&[("net.ipv4.ip_local_port_range", "10240 65000")])?;
        let (mut host, mut clients) = (String::new(), String::new());
        for family in Family::ALL {
            writeln!(host, "addr add {}{}", family.service(), on_loopback(family))?;
            for address in client_addresses(family) {
                writeln!(clients, "addr add {address}{}", on_loopback(family))?;
            }
        }
        pair.host.ip(&host)?;
        pair.clients.ip(&clients)?;
        pair.link(OUTER, Site::Fra1)?;
        for family in Family::ALL {
            pair.set_way(Direction::ToHost, family, OUTER, Site::Fra1)?;
            pair.set_way(Direction::ToClients, family, OUTER, Site::Fra1)?;
        }
        Ok(pair)
    }

    /// A further link, of the same name at both ends, with the addresses that a
    /// site's link has.
    pub fn link(&self, name: &str, addresses: Site) -> Result<()> {
        self.host.ip(&format!(
            "link add {name} type veth peer name {name} netns {}\nlink set {name} up\n",
            self.clients.netns_path().display(),
        ))?;
        self.clients.ip(&format!("link set {name} up\n"))?;
        for family in Family::ALL {
            let nodad = match family {
                Family::V4 => "/30",
                Family::V6 => "/64 nodad",
            };
            let (ours, theirs) = (
                addresses.edge_address(family),
                addresses.upstream_address(family),
            );
            self.host
                .ip(&format!("addr add {ours}{nodad} dev {name}\n"))?;
            self.clients
                .ip(&format!("addr add {theirs}{nodad} dev {name}\n"))?;
        }
        Ok(())
    }

    /// Sends all packets of a direction over a link.
    pub fn set_way(
        &self,
        direction: Direction,
        family: Family,
        name: &str,
        addresses: Site,
    ) -> Result<()> {
        match direction {
            Direction::ToHost => {
                let service = family.service();
                let via = addresses.edge_address(family);
                self.clients
                    .ip(&format!("route replace {service} via {via} dev {name}\n"))
            }
            Direction::ToClients => {
                let via = addresses.upstream_address(family);
                let flag = family.flag();
                self.host
                    .run(
                        "ip",
                        [
                            flag,
                            "route",
                            "replace",
                            "default",
                            "via",
                            &via.to_string(),
                            "dev",
                            name,
                        ],
                    )
                    .map(drop)
            }
        }
    }

    /// The address from which the first of the clients of a family comes.
    pub fn client(family: Family) -> Result<IpAddr> {
        client_addresses(family)
            .first()
            .copied()
            .context("there are clients")
    }
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Requests.
    ToHost,
    /// Answers.
    ToClients,
}

fn on_loopback(family: Family) -> &'static str {
    match family {
        Family::V4 => "/32 dev lo",
        Family::V6 => "/128 dev lo nodad",
    }
}
