//! The nodes and links of the lab, and what runs on them from the start: BIRD on
//! three of them and nginx on both edges. Lapwing is started by each test.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use probe_core::Timestamp;
use serde::Serialize;

use super::{
    bgp::Change,
    bird::{self, Bird, Form},
    capture::Capture,
    faults::{self, Direction},
    lapwing::{self, Lapwing, Settings},
    load::{Load, Plan},
    netns::Namespace,
    nginx::Nginx,
    routes::RouteWatch,
    wait_until,
};

/// An edge site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Site {
    /// The site where faults are injected.
    Fra1,
    /// The site that takes over.
    Ams1,
}

impl Site {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Fra1, Self::Ams1];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Fra1 => Self::Ams1,
            Self::Ams1 => Self::Fra1,
        }
    }

    /// Its name, also the value of the X-Site header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fra1 => "fra1",
            Self::Ams1 => "ams1",
        }
    }

    /// The third octet or group of its link's addresses.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Fra1 => 1,
            Self::Ams1 => 2,
        }
    }

    /// The upstream's interface towards it.
    pub fn upstream_interface(self) -> String {
        format!("to-{}", self.name())
    }

    /// The address of the edge on its link to the upstream.
    pub fn edge_address(self, family: Family) -> IpAddr {
        self.link_address(family, 2)
    }

    /// The address of the upstream on the link to this site.
    pub fn upstream_address(self, family: Family) -> IpAddr {
        self.link_address(family, 1)
    }

    fn link_address(self, family: Family, end: u8) -> IpAddr {
        let (site, host) = (self.number(), end);
        match family {
            Family::V4 => Ipv4Addr::new(198, 19, site, host).into(),
            Family::V6 => Ipv6Addr::new(
                0x2001,
                0xdb8,
                0xf,
                u16::from(site),
                0,
                0,
                0,
                u16::from(host),
            )
            .into(),
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The withdraws of both prefixes.
    pub fn withdraws() -> [Change; 2] {
        Self::ALL.map(|family| Change::Withdraw(family.network()))
    }

    /// The anycast prefix.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::V4 => "192.0.2.0/24",
            Self::V6 => "2001:db8:a::/48",
        }
    }

    /// [`prefix`](Self::prefix), parsed.
    pub fn network(self) -> IpNet {
        let length = match self {
            Self::V4 => 24,
            Self::V6 => 48,
        };
        IpNet::new_assert(self.service(), length).trunc()
    }

    /// The anycast address of the service.
    pub fn service(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(192, 0, 2, 10).into(),
            Self::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x10).into(),
        }
    }

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// `-4` or `-6`, as `ip` wants it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// How many client networks of each family there are.
pub const CLIENT_NETWORKS: u8 = 32;

/// The clients' addresses: each in a /24 or /48 of its own.
pub fn client_addresses(family: Family) -> Vec<IpAddr> {
    (1..=CLIENT_NETWORKS)
        .map(|n| match family {
            Family::V4 => Ipv4Addr::new(198, 18, n, 10).into(),
            Family::V6 => {
                Ipv6Addr::new(0x2001, 0xdb8, 0xc00 + u16::from(n), 0, 0, 0, 0, 0x10).into()
            }
        })
        .collect()
}

/// Lapwing's kernel table.
pub const TABLE: u32 = 4242;
/// The edges' interface to the world.
pub const OUTER: &str = "eth0";

/// An edge site's namespace and programs.
pub struct Edge {
    /// Which site.
    pub site: Site,
    /// Its web server.
    pub nginx: Nginx,
    /// Its router.
    pub bird: Bird,
    /// Where they run.
    pub node: Namespace,
}

impl Edge {
    /// Puts the route of a prefix into Lapwing's table, as the daemon would.
    pub fn add_route(&self, family: Family) -> Result<()> {
        let (flag, prefix, table) = (family.flag(), family.prefix(), TABLE.to_string());
        self.node
            .run(
                "ip",
                [
                    flag,
                    "route",
                    "add",
                    "blackhole",
                    prefix,
                    "table",
                    &table,
                    "proto",
                    "201",
                    "metric",
                    "32",
                ],
            )
            .map(drop)
    }

    /// Puts the route of another level in its place, as the daemon would.
    pub fn replace_route(&self, family: Family, protocol: u8) -> Result<()> {
        self.node.ip(&format!(
            "route replace blackhole {} table {TABLE} proto {protocol} metric 32\n",
            family.prefix()
        ))
    }

    /// Deletes the routes of both prefixes from Lapwing's table. Returns the moment
    /// just before.
    pub fn delete_routes(&self) -> Result<Timestamp> {
        let mut command = Command::new("ip");
        command.args(["-batch", "-"]);
        let orders = Family::ALL
            .iter()
            .map(|family| format!("route del blackhole {} table {TABLE}\n", family.prefix()))
            .collect::<Vec<_>>()
            .concat();
        self.node.prepare(command)?.fire(&orders)
    }

    /// What Lapwing's table holds of a family, as `ip -N route` prints it.
    pub fn routes(&self, family: Family) -> Result<String> {
        let table = TABLE.to_string();
        let mut command = Command::new("ip");
        command.args(["-N", family.flag(), "route", "show", "table", &table]);
        // A table that never held a route is an error for `ip`; here it is empty.
        let output = self.node.output(command, "")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A request from the host itself, as a local checker would make it.
    pub fn local_check(&self, family: Family) -> Result<String> {
        let url = match family.service() {
            IpAddr::V4(address) => format!("http://{address}/"),
            IpAddr::V6(address) => format!("http://[{address}]/"),
        };
        self.node.run(
            "curl",
            [
                "-sS",
                "-g",
                "-m",
                "2",
                "-o",
                "/dev/null",
                "-w",
                "HTTP %{http_code}",
                &url,
            ],
        )
    }

    /// Drops the service's packets on the outer interface only.
    pub fn drop_outside(&self, direction: Direction) -> Result<Timestamp> {
        faults::drop_outside(&self.node, OUTER, direction)
    }

    /// Ends [`drop_outside`](Self::drop_outside).
    pub fn heal_outside(&self) -> Result<Timestamp> {
        faults::heal_outside(&self.node)
    }

    /// Starts Lapwing here.
    pub fn lapwing(&self, settings: &Settings) -> Result<Lapwing> {
        Lapwing::start(&self.node, self.site, settings)
    }

    /// What `lapwing ARGUMENTS` prints here.
    pub fn lapwing_command(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let mut command = Command::new(lapwing::binary()?);
        command.args(arguments);
        self.node.output(command, "")
    }

    /// Hears changes of Lapwing's table from now on.
    pub fn watch_routes(&self) -> Result<RouteWatch> {
        RouteWatch::start(&self.node, TABLE)
    }
}

/// The whole lab. Fields are dropped in this order: what runs on a node first.
pub struct Lab {
    /// The site where faults are injected.
    pub fra1: Edge,
    /// The site that takes over.
    pub ams1: Edge,
    upstream_bird: Bird,
    /// The upstream's router.
    pub upstream: Namespace,
    /// Where the load comes from.
    pub clients: Namespace,
}

impl Lab {
    /// Builds it: links, routers with established sessions, web servers that answer.
    /// Nothing is announced yet.
    pub fn start() -> Result<Self> {
        Self::build(Form::Standalone, false, |_| ())
    }

    /// As [`start`](Self::start), telling `progress` what is being done.
    pub fn start_with(progress: impl Fn(&str)) -> Result<Self> {
        Self::build(Form::Standalone, false, progress)
    }

    /// As [`start`](Self::start), with edges that use the fragments in this form.
    pub fn start_in(form: Form) -> Result<Self> {
        Self::build(form, false, |_| ())
    }

    /// As [`start_in`](Self::start_in), with sites that hear each other directly.
    pub fn start_witnessed(form: Form) -> Result<Self> {
        let lab = Self::build(form, true, |_| ())?;
        for site in Site::ALL {
            let sessions = Family::ALL.map(bird::witness_session);
            lab.edge(site).bird.wait_established(&sessions)?;
        }
        Ok(lab)
    }

    fn build(form: Form, witnessed: bool, progress: impl Fn(&str)) -> Result<Self> {
        progress("network namespaces and links");
        let upstream = Namespace::new("upstream")?;
        let clients = Namespace::new("clients")?;
        let nodes = Site::ALL.map(|site| Namespace::new(site.name()).map(|node| (site, node)));
        build_upstream(&upstream)?;
        build_clients(&clients, &upstream)?;

        progress("routers (BIRD) at the upstream and both edges");
        let mut edges = Vec::new();
        for node in nodes {
            let (site, node) = node?;
            build_edge(&node, site, &upstream)?;
            let mut config = bird::edge_config(site, form);
            if witnessed {
                config += &bird::witness_config(site);
            }
            let bird = Bird::start(&node, &config)?;
            edges.push((site, node, bird));
        }
        let upstream_bird = Bird::start(&upstream, &bird::upstream_config(&[]))?;

        progress("web servers (nginx) on the anycast addresses");
        let mut edges = edges
            .into_iter()
            .map(|(site, node, bird)| {
                Ok(Edge {
                    site,
                    nginx: Nginx::start(&node, site)?,
                    bird,
                    node,
                })
            })
            .collect::<Result<Vec<_>>>()?;

        progress("BGP sessions");
        for edge in &edges {
            edge.bird.wait_established(&["up4", "up6"])?;
        }
        let (ams1, fra1) = (edges.pop(), edges.pop());
        Ok(Self {
            fra1: fra1.context("fra1 is built")?,
            ams1: ams1.context("ams1 is built")?,
            upstream_bird,
            upstream,
            clients,
        })
    }

    /// The edge of a site.
    pub fn edge(&self, site: Site) -> &Edge {
        match site {
            Site::Fra1 => &self.fra1,
            Site::Ams1 => &self.ams1,
        }
    }

    /// Announces both prefixes at a site without a daemon.
    pub fn announce(&self, site: Site) -> Result<()> {
        for family in Family::ALL {
            self.edge(site).add_route(family)?;
        }
        self.wait_announced(site)
    }

    /// Waits until the upstream has both prefixes from a site.
    pub fn wait_announced(&self, site: Site) -> Result<()> {
        let what = format!("both prefixes of {site} at the upstream");
        wait_until(&what, Duration::from_secs(20), || {
            Ok(Family::ALL
                .iter()
                .all(|family| self.hears(site, *family).unwrap_or(false)))
        })
    }

    /// Whether the upstream has the prefix of `family` from `site`.
    pub fn hears(&self, site: Site, family: Family) -> Result<bool> {
        let protocol = bird::session(site, family);
        let shown = self.upstream_bird.ask(&format!(
            "show route for {} table {} protocol {protocol}",
            family.prefix(),
            Form::Master.table(family),
        ))?;
        Ok(shown.contains(&protocol))
    }

    /// Whether the upstream's best path to the prefix of `family` leads to `site`.
    pub fn prefers(&self, site: Site, family: Family) -> Result<bool> {
        let shown = self.upstream_bird.ask(&format!(
            "show route for {} table {} primary",
            family.prefix(),
            Form::Master.table(family),
        ))?;
        Ok(shown.contains(&bird::session(site, family)))
    }

    /// Has the upstream take what lies in these networks, too, and pass it on to nobody.
    pub fn take_from_edges(&self, networks: &[&str]) -> Result<()> {
        let config = bird::upstream_config(networks);
        self.upstream_bird.configure(&self.upstream, &config)
    }

    /// How many routes the upstream has from a site.
    pub fn upstream_routes(&self, site: Site) -> Result<usize> {
        let [v4, v6] = Family::ALL.map(|family| {
            let (table, session) = (Form::Master.table(family), bird::session(site, family));
            format!("{table} protocol {session}")
        });
        self.upstream_bird.routes_in([&v4, &v6])
    }

    /// Makes the link between the upstream and a site anew, after its interface was
    /// removed.
    pub fn link_again(&self, site: Site) -> Result<()> {
        connect_edge(&self.edge(site).node, site, &self.upstream)
    }

    /// Hears BGP on the upstream's link to a site from now on.
    pub fn capture(&self, site: Site) -> Result<Capture> {
        Capture::start(&self.upstream, &site.upstream_interface())
    }

    /// Starts clients.
    pub fn load(&self, plan: Plan) -> Result<Load> {
        Load::start(&self.clients, plan)
    }
}

/// Settings that each node wants before it has interfaces.
fn common_sysctls(node: &Namespace) -> Result<()> {
    node.sysctl(&[
        // Addresses serve at once; nobody else is on these links.
        ("net.ipv6.conf.all.accept_dad", "0"),
        ("net.ipv6.conf.default.accept_dad", "0"),
        ("net.ipv6.conf.all.accept_ra", "0"),
        ("net.ipv6.conf.default.accept_ra", "0"),
    ])
}

fn build_upstream(upstream: &Namespace) -> Result<()> {
    common_sysctls(upstream)?;
    upstream.sysctl(&[
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv6.conf.all.forwarding", "1"),
        // By ports too: one client reaches both sites.
        ("net.ipv4.fib_multipath_hash_policy", "1"),
        ("net.ipv6.fib_multipath_hash_policy", "1"),
        // Nobody's redirect or error is to be held back by a limit.
        ("net.ipv4.icmp_ratelimit", "0"),
    ])
}

/// A veth pair between the upstream and a node, up at both ends, with addresses.
fn link(
    node: &Namespace,
    upstream: &Namespace,
    upstream_end: &str,
    addresses: &[(IpAddr, IpAddr)],
) -> Result<()> {
    upstream.ip(&format!(
        "link add {upstream_end} type veth peer name {OUTER} netns {}\nlink set {upstream_end} up\n",
        node.netns_path().display(),
    ))?;
    node.ip(&format!("link set {OUTER} up\n"))?;
    for (ours, theirs) in addresses {
        let length = if ours.is_ipv4() { 30 } else { 64 };
        let nodad = if ours.is_ipv4() { "" } else { "nodad" };
        upstream.ip(&format!(
            "addr add {ours}/{length} dev {upstream_end} {nodad}\n"
        ))?;
        node.ip(&format!(
            "addr add {theirs}/{length} dev {OUTER} {nodad}\nroute add default via {ours}\n"
        ))?;
    }
    Ok(())
}

fn build_clients(clients: &Namespace, upstream: &Namespace) -> Result<()> {
    common_sysctls(clients)?;
    let links: [(IpAddr, IpAddr); 2] = [
        (
            Ipv4Addr::new(198, 19, 0, 1).into(),
            Ipv4Addr::new(198, 19, 0, 2).into(),
        ),
        (
            Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 1).into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 2).into(),
        ),
    ];
    link(clients, upstream, "to-clients", &links)?;
    let mut addresses = String::new();
    for family in Family::ALL {
        for address in client_addresses(family) {
            let suffix = if address.is_ipv4() {
                "/32 dev lo"
            } else {
                "/128 dev lo nodad"
            };
            writeln!(addresses, "addr add {address}{suffix}")?;
        }
    }
    clients.ip(&addresses)?;
    clients.sysctl(&[("net.ipv4.ip_local_port_range", "10240 65000")])?;
    upstream.ip(
        "route add 198.18.0.0/16 via 198.19.0.2\nroute add 2001:db8:c00::/40 via 2001:db8:f::2\n",
    )
}

fn connect_edge(node: &Namespace, site: Site, upstream: &Namespace) -> Result<()> {
    let links =
        Family::ALL.map(|family| (site.upstream_address(family), site.edge_address(family)));
    link(node, upstream, &site.upstream_interface(), &links)
}

fn build_edge(node: &Namespace, site: Site, upstream: &Namespace) -> Result<()> {
    common_sysctls(node)?;
    connect_edge(node, site, upstream)?;
    for family in Family::ALL {
        let address = family.service();
        let suffix = if address.is_ipv4() {
            "/32 dev lo"
        } else {
            "/128 dev lo nodad"
        };
        node.ip(&format!("addr add {address}{suffix}\n"))?;
    }
    node.sysctl(&[
        // The server closes first: a minute of its past connections waits here.
        ("net.ipv4.tcp_max_tw_buckets", "400000"),
        ("net.core.somaxconn", "4096"),
        ("net.ipv4.tcp_max_syn_backlog", "8192"),
    ])
}
