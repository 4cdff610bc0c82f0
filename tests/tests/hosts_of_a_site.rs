//! Several hosts at one site, and another site: a neighbour in the rack keeps the site on
//! the air, but is not another site, and only the site's last host needs one.
//!
//! ```text
//!  fra1/edge1  lapwing ◀─ table 4243 ◀─ BIRD ══ upstream ══ BIRD ◀─ table 4242  fra1/edge2
//!     └────────────────◀─ table 4244 ◀─ BIRD ══ a link ════ BIRD ◀─ table 4242  lon1/edge1
//! ```
//! The node that other tests call ams1 is a host of fra1 here. Levels of the others are set
//! by hand, those of edge1 by its daemon, which would go first where another *site* is full.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    bird::{self, Bird, Form, Heard},
    lapwing::{CONFIG, Lapwing, Record, Settings},
    netns::Namespace,
    topology::{Family, Lab, Site, TABLE},
    wait_until,
};

const SOON: Duration = Duration::from_secs(20);
/// As long as `witness_round` by default.
const ROUND: Duration = Duration::from_secs(1);
const LON1_TABLE: u32 = 4244;
const LON1_NUMBER: u8 = 3;
const LON1_SESSIONS: [&str; 2] = ["lon1_4", "lon1_6"];

/// The two ends of the link between edge1 and lon1.
fn ends(family: Family) -> (IpAddr, IpAddr) {
    match family {
        Family::V4 => (
            Ipv4Addr::new(198, 19, 77, 1).into(),
            Ipv4Addr::new(198, 19, 77, 2).into(),
        ),
        Family::V6 => {
            let end = |last| Ipv6Addr::new(0x2001, 0xdb8, 0xf, 77, 0, 0, 0, last).into();
            (end(1), end(2))
        }
    }
}

/// Three hosts, and the daemon at fra1/edge1.
struct Hosts {
    daemon: Lapwing,
    _lon1_bird: Bird,
    lon1: Namespace,
    lab: Lab,
}

impl Hosts {
    fn start() -> Result<Self> {
        let lab = Lab::start_witnessed(Form::Standalone)?;
        let lon1 = Namespace::new("lon1")?;
        let edge1 = &lab.fra1.node;
        edge1.ip(&format!(
            "link add to-lon1 type veth peer name eth0 netns {}\nlink set to-lon1 up\n",
            lon1.netns_path().display()
        ))?;
        lon1.ip("link set eth0 up\n")?;
        for family in Family::ALL {
            let (ours, theirs) = ends(family);
            let suffix = match family {
                Family::V4 => "/30",
                Family::V6 => "/64 nodad",
            };
            edge1.ip(&format!("addr add {ours}{suffix} dev to-lon1\n"))?;
            lon1.ip(&format!("addr add {theirs}{suffix} dev eth0\n"))?;
        }

        let [v4, v6] = Family::ALL.map(ends);
        let at_lon1 = Heard {
            number: 1,
            table: bird::WITNESS_TABLE,
            sessions: [("edge1_4", v4.1, v4.0), ("edge1_6", v6.1, v6.0)],
        };
        let lon1_bird = Bird::start(
            &lon1,
            &[
                bird::fragments_config(v4.1, Form::Standalone),
                bird::witness_host_config(LON1_NUMBER),
                at_lon1.config(),
            ]
            .concat(),
        )?;
        let [name4, name6] = LON1_SESSIONS;
        let at_edge1 = Heard {
            number: LON1_NUMBER,
            table: LON1_TABLE,
            sessions: [(name4, v4.0, v4.1), (name6, v6.0, v6.1)],
        };
        lab.fra1.bird.configure(
            edge1,
            &[
                bird::edge_config(Site::Fra1, Form::Standalone),
                bird::witness_config(Site::Fra1),
                at_edge1.config(),
            ]
            .concat(),
        )?;
        lab.fra1.bird.wait_established(&LON1_SESSIONS)?;

        let settings = Settings {
            witnessed: true,
            goes_first: Some(Site::Fra1),
            lowerings_per_hour: 1000,
            ..Settings::fast()
        };
        let config = settings.config(Site::Fra1).replace(
            "site = \"ams1\"\nhost = \"ams1-edge1\"",
            "site = \"fra1\"\nhost = \"edge2\"",
        );
        ensure!(!config.contains("ams1"), "{config}");
        let other_site = format!(
            "\n[[witness]]\nsite = \"lon1\"\nhost = \"edge1\"\ntable = {LON1_TABLE}\nsessions = {{ ipv4 = \"{name4}\", ipv6 = \"{name6}\" }}\n"
        );
        edge1.write(CONFIG, &(config + &other_site))?;
        let daemon = Lapwing::start_again(edge1, &settings)?;
        lab.wait_announced(Site::Fra1)?;
        Ok(Self {
            daemon,
            _lon1_bird: lon1_bird,
            lon1,
            lab,
        })
    }

    /// Sets the levels of the other two hosts and waits until edge1 has heard them.
    fn others(&self, neighbour: Level, other_site: Level) -> Result<()> {
        for family in Family::ALL {
            for (node, level) in [(&self.lab.ams1.node, neighbour), (&self.lon1, other_site)] {
                node.ip(&level.order(family))?;
            }
            let expected = [neighbour.name(), other_site.name()];
            wait_until("the others are heard", SOON, || {
                let others = self
                    .daemon
                    .prefix_field(&self.lab.fra1.node, family, "others")?;
                let heard = [0, 1].map(|index| &others[index]["heard"]["level"]);
                Ok(heard[0] == expected[0] && heard[1] == expected[1])
            })?;
        }
        Ok(())
    }

    /// The next decision about each family's prefix.
    fn decisions(&mut self, level: &str) -> Result<Vec<Record>> {
        let decisions = self.daemon.journal().wait_decisions(level, SOON);
        decisions.with_context(|| format!("lapwing says:\n{}", self.daemon.log_tail()))
    }

    /// Both prefixes stay degraded, held by this guard.
    fn ensure_held(&self) -> Result<()> {
        thread::sleep(ROUND * 2);
        for family in Family::ALL {
            let held = self
                .daemon
                .prefix_field(&self.lab.fra1.node, family, "held_by")?;
            ensure!(held == "last_site", "{family} is held by {held}");
            let observed = self
                .daemon
                .prefix_field(&self.lab.fra1.node, family, "observed")?;
            ensure!(observed == "degraded", "{family} is {observed}");
        }
        Ok(())
    }

    fn service_returns(&mut self) -> Result<()> {
        self.lab.fra1.nginx.start_again(&self.lab.fra1.node)?;
        self.decisions("full").map(drop)
    }
}

#[derive(Clone, Copy, Debug)]
enum Level {
    Full,
    Degraded,
    Withdrawn,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Degraded => "degraded",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// What `ip` is to do, whatever stands there.
    fn order(self, family: Family) -> String {
        let route = |protocol| {
            format!(
                "route replace blackhole {} table {TABLE} proto {protocol} metric 32\n",
                family.prefix()
            )
        };
        match self {
            Self::Full => route(201),
            Self::Degraded => route(202),
            Self::Withdrawn => route(201) + &route(201).replace("replace", "del"),
        }
    }
}

#[test]
fn a_neighbour_is_a_refuge_but_not_another_site_and_the_last_host_needs_one() -> Result<()> {
    let mut hosts = Hosts::start()?;

    // The site stays on the air by its other host. That is no other site: edge1 does not
    // go first, but tells and waits as it would for any race.
    hosts.others(Level::Full, Level::Withdrawn)?;
    hosts.lab.fra1.nginx.kill()?;
    let degraded = hosts.decisions("degraded")?;
    for withdrawn in hosts.decisions("withdrawn")? {
        let before = degraded
            .iter()
            .find(|record| record.text("prefix") == withdrawn.text("prefix"))
            .context("degraded first")?;
        let waited = withdrawn.at().since(before.at());
        ensure!(waited >= ROUND, "{waited:?}");
        let [neighbour, other_site] = [0, 1].map(|index| &withdrawn.0["reason"]["others"][index]);
        ensure!(neighbour["is_neighbour"] == true, "{neighbour}");
        ensure!(other_site["is_neighbour"] == false, "{other_site}");
    }
    hosts.service_returns()?;

    // Another site is full: it goes first.
    hosts.others(Level::Full, Level::Full)?;
    hosts.lab.fra1.nginx.kill()?;
    hosts.daemon.journal().wait(SOON, |record| {
        let decision = record.filter(|record| record.event() == "decision");
        if let Some(decision) = decision {
            ensure!(decision.text("level") == "withdrawn", "{decision:?}");
        }
        Ok(decision.is_some())
    })?;
    for family in Family::ALL {
        wait_until("both are withdrawn", SOON, || {
            Ok(hosts.lab.fra1.routes(family)?.trim().is_empty())
        })?;
    }
    hosts.service_returns()?;

    // Now it is the site's last host, and degraded elsewhere is no refuge.
    hosts.others(Level::Withdrawn, Level::Degraded)?;
    hosts.lab.fra1.nginx.kill()?;
    hosts.decisions("degraded")?;
    hosts.ensure_held()?;

    // The neighbour degraded, too: still nowhere to go. Full: the site stays on the air.
    hosts.others(Level::Degraded, Level::Degraded)?;
    hosts.ensure_held()?;
    hosts.others(Level::Full, Level::Degraded)?;
    hosts.decisions("withdrawn")?;
    Ok(())
}
