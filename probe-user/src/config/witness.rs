//! The `[[witness]]` sections: other hosts that announce the prefixes, and how they are
//! heard; and what follows from them for the guard `last_site`.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use ipnet::IpNet;
use probe_core::config::{LastSite, Race};

use super::{
    Daemon, Route,
    report::Finding,
    section::{Findings, Section},
    value,
};
use crate::{announce::witness::Witness, bird::Name};

/// The table of the first witness unless configured; the others follow.
const FIRST_TABLE: u32 = 4243;
/// How long a host waits between degrading and withdrawing.
pub const ROUND: Duration = Duration::from_secs(1);

/// What the operator says about the last site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Guard where there is a witness.
    Auto,
    /// Guard.
    Hold,
    /// Do not.
    Allow,
}

/// How prefixes are guarded on this host.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    race: Race,
    v4: bool,
    v6: bool,
}

impl Rules {
    /// Those that follow from what there is.
    pub fn new(race: Race, witnesses: &[Witness]) -> Self {
        Self {
            race,
            v4: witnesses.iter().any(|witness| witness.session_v4.is_some()),
            v6: witnesses.iter().any(|witness| witness.session_v6.is_some()),
        }
    }

    /// What they mean for a prefix.
    pub fn of(self, prefix: IpNet, word: Word) -> LastSite {
        let is_witnessed = match prefix {
            IpNet::V4(_) => self.v4,
            IpNet::V6(_) => self.v6,
        };
        match word {
            Word::Allow => LastSite::Allow,
            Word::Auto if !is_witnessed => LastSite::Unwitnessed,
            Word::Auto | Word::Hold => LastSite::Hold(self.race),
        }
    }
}

/// Reads all of them.
pub fn read(
    sections: &[Section<'_>],
    daemon: &Daemon,
    route: &Route,
    findings: &Findings,
) -> Vec<Witness> {
    let mut hosts: BTreeMap<(String, String), Range<usize>> = BTreeMap::new();
    let mut tables: BTreeMap<u32, Range<usize>> = BTreeMap::new();
    let mut witnesses = Vec::new();
    for (section, usual_table) in sections.iter().zip(FIRST_TABLE..) {
        let site = section.require("site", "\"ams1\"", value::name);
        let host = section.require("host", "\"edge1\"", value::name);
        let table = section
            .read("table", super::network::route_table)
            .unwrap_or(usual_table);
        let (session_v4, session_v6) = read_sessions(section, findings);
        if table == route.table {
            findings.push(Finding::new(
                section.place("table"),
                format!("table {table} is Lapwing's own"),
                "BIRD reads this one",
                "choose the table to which BIRD exports what it hears of this host",
            ));
        }
        if let Some(first) = tables.insert(table, section.place("table")) {
            let finding = Finding::new(
                section.place("table"),
                format!("table {table} belongs to two witnesses"),
                "again",
                "give each its own table: they could not be told apart",
            );
            findings.push(finding.with_context(first, "first here"));
        }
        let (Some(site), Some(host)) = (site, host) else {
            continue;
        };
        let name = (site.get_ref().clone(), host.get_ref().clone());
        if name == (daemon.site.clone(), daemon.host.clone()) {
            findings.push(Finding::new(
                host.span(),
                "this host cannot be its own witness",
                "`site` and `host` of [daemon]",
                "name another host that announces the prefixes",
            ));
        }
        if let Some(first) = hosts.insert(name, host.span()) {
            let finding = Finding::new(
                host.span(),
                format!(
                    "host {} of site {} is configured twice",
                    host.get_ref(),
                    site.get_ref()
                ),
                "again",
                "put both its sessions into one [[witness]]",
            );
            findings.push(finding.with_context(first, "first here"));
        }
        witnesses.push(Witness {
            is_neighbour: *site.get_ref() == daemon.site,
            site: site.into_inner(),
            host: host.into_inner(),
            table,
            session_v4,
            session_v6,
        });
    }
    witnesses
}

fn read_sessions(section: &Section<'_>, findings: &Findings) -> (Option<Name>, Option<Name>) {
    const EXAMPLE: &str = "sessions = { ipv4 = \"ams1_4\", ipv6 = \"ams1_6\" }";
    let sessions = section.inner("sessions", EXAMPLE, &["ipv4", "ipv6"]);
    let v4 = sessions.read("ipv4", session);
    let v6 = sessions.read("ipv6", session);
    if !sessions.has("ipv4") && !sessions.has("ipv6") {
        findings.push(Finding::new(
            section.place("sessions"),
            "a witness without a BGP session",
            "nothing could be heard of it",
            format!("name BIRD's sessions with it: {EXAMPLE}"),
        ));
    }
    (v4, v6)
}

/// The name of one of BIRD's protocols.
fn session(value: value::Value<'_>) -> Result<Name, value::Fault> {
    Name::new(value.text("\"ams1_4\"")?).ok_or_else(|| {
        value::Fault::new(
            "is no name of a BIRD protocol",
            "letters, digits and _ - . : only",
            "write what `birdc show protocols` shows in the first column",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Settings;

    const PREFIXES: &str = r#"
[[prefix]]
prefix = "192.0.2.0/24"
LAST_SITE
[[prefix.service]]
name = "web"
address = "192.0.2.10"
port = 80
[[prefix]]
prefix = "2001:db8::/48"
[[prefix.service]]
name = "web6"
address = "2001:db8::10"
port = 80
"#;

    fn parse(text: &str, last_site: &str) -> Result<Settings, String> {
        let prefixes = PREFIXES.replace("LAST_SITE", last_site);
        Settings::parse(Path::new("x"), &format!("{text}{prefixes}"), &|_| true)
            .map_err(|report| report.to_string())
    }

    const WITNESSES: &str = r#"
[daemon]
site = "fra1"
host = "edge1"
goes_first = true
[route]
bird_socket = "/run/bird.ctl"
witness_round = "2s"
[[witness]]
site = "ams1"
host = "edge1"
sessions = { ipv4 = "ams1_4" }
[[witness]]
site = "fra1"
host = "edge2"
table = 5000
sessions = { ipv4 = "edge2_4" }
"#;

    #[test]
    fn witnesses_guard_the_prefixes_of_their_family() {
        let settings = parse(WITNESSES, "").unwrap();
        let [ams1, edge2] = &settings.witnesses[..] else {
            panic!("{:?}", settings.witnesses);
        };
        assert_eq!((ams1.table, ams1.is_neighbour), (4243, false));
        assert_eq!((edge2.table, edge2.is_neighbour), (5000, true));
        assert_eq!(ams1.session_v4.as_ref().unwrap().as_str(), "ams1_4");
        let guards: Vec<LastSite> = settings
            .core
            .prefixes
            .iter()
            .map(|prefix| prefix.last_site)
            .collect();
        let race = Race {
            goes_first: true,
            round: Duration::from_secs(2),
        };
        assert_eq!(guards, [LastSite::Hold(race), LastSite::Unwitnessed]);
    }

    #[test]
    fn the_operator_may_say_otherwise() {
        let first = |text: &str, word: &str| parse(text, word).unwrap().core.prefixes[0].last_site;
        assert_eq!(first(WITNESSES, "last_site = \"allow\""), LastSite::Allow);
        assert_eq!(first("", ""), LastSite::Unwitnessed);
        assert_eq!(first("", "last_site = \"auto\""), LastSite::Unwitnessed);
        let race = Race {
            goes_first: false,
            round: ROUND,
        };
        assert_eq!(first("", "last_site = \"hold\""), LastSite::Hold(race));
    }

    #[test]
    fn mistakes_are_told() {
        for (from, to, title) in [
            (
                "table = 5000",
                "table = 4242",
                "table 4242 is Lapwing's own",
            ),
            ("table = 5000", "table = 4243", "belongs to two witnesses"),
            (
                "site = \"fra1\"\nhost = \"edge2\"",
                "site = \"ams1\"\nhost = \"edge1\"",
                "host edge1 of site ams1 is configured twice",
            ),
            ("host = \"edge2\"", "host = \"edge1\"", "its own witness"),
            ("\"edge2_4\"", "\"edge2 4\"", "no name of a BIRD protocol"),
            (
                "sessions = { ipv4 = \"edge2_4\" }",
                "",
                "a witness without a BGP session",
            ),
            (
                "witness_round = \"2s\"",
                "witness_round = \"1ms\"",
                "witness_round",
            ),
        ] {
            let report = parse(&WITNESSES.replace(from, to), "").unwrap_err();
            assert!(report.contains(title), "{title} in\n{report}");
        }
        assert!(parse("", "last_site = \"never\"").is_err());
    }
}
