//! `lapwing check`: what a file configures, in words, if it is good.

pub mod question;

use std::path::Path;

use probe_common::{parse::tunnel::Tunnels, trial::Kind};
use probe_core::config::{Application, LastSite, Mode, Prefix, Race, Service, WithdrawWhen};

use crate::{
    announce::witness::Witness,
    config::{Attach, Error, Interfaces, OnExit, OnWatchdog, Settings},
    datapath::Measure,
    discover::interface_exists,
    journal::{self, record},
    probe::Prober,
};

/// Checks the file at `path` against this host.
pub fn check(path: &Path) -> Result<String, Error> {
    let settings = Settings::load(path, &interface_exists)?;
    Prober::new(&settings.core.services)?;
    Ok(summary(&settings))
}

/// What `settings` say, for people.
pub fn summary(settings: &Settings) -> String {
    let Settings {
        daemon,
        journal: past,
        route,
        measure,
        detect: _,
        max_probes,
        witnesses,
        core,
    } = settings;
    let mut lines = vec![format!(
        "ok: {}, {}, mode {}",
        count(core.prefixes.len(), "prefix", "prefixes"),
        count(core.services.len(), "service", "services"),
        match core.mode {
            Mode::Observe => "observe (changes no route)",
            Mode::Enforce => "enforce",
        }
    )];
    for prefix in &core.prefixes {
        lines.push(format!(
            "{}: withdrawn when {} dead",
            prefix.prefix,
            match prefix.withdraw_when {
                WithdrawWhen::Any => "any service is".to_owned(),
                WithdrawWhen::All => "all services are".to_owned(),
                WithdrawWhen::AtLeast(1) => "at least 1 service is".to_owned(),
                WithdrawWhen::AtLeast(least) => format!("at least {least} services are"),
            }
        ));
        lines.push(last_site(prefix, witnesses));
        lines.extend(
            prefix
                .services
                .iter()
                .filter_map(|id| core.services.get(id.0 as usize))
                .map(service),
        );
    }
    if core.prefixes.is_empty() {
        lines.push("no prefix: the host's listening services are observed".to_owned());
    }
    lines.push(format!(
        "measured on {}, attached by {}",
        match &daemon.interfaces {
            Interfaces::Auto => "the interfaces of the default routes".to_owned(),
            Interfaces::Named(names) => names.join(", "),
        },
        match daemon.attach {
            Attach::Auto => "the best way that is quiet",
            Attach::Native => "native XDP",
            Attach::Generic => "generic XDP",
            Attach::Tc => "tc",
        }
    ));
    lines.extend(measure_words(measure));
    lines.push(format!("at most {max_probes} probes at once"));
    if !core.prefixes.is_empty() {
        lines.push(match &route.bird_socket {
            Some(socket) => format!("BIRD is asked at {}", socket.display()),
            None => format!(
                "BIRD is asked at {}, if it is there",
                route.bird_socket().display()
            ),
        });
    }
    lines.push(format!(
        "journal {}: a file of {} KiB becomes an old one, of which {} are kept",
        daemon.state_dir.join(journal::FILE).display(),
        past.rotate_at >> 10,
        past.keep
    ));
    lines.push(format!(
        "routes in table {}, protocol {} full, {} degraded; {} on exit, {} when no start succeeds",
        route.table,
        route.protocol_full,
        route.protocol_degraded,
        match daemon.on_exit {
            OnExit::Keep => "kept",
            OnExit::Withdraw => "withdrawn",
        },
        match daemon.on_watchdog {
            OnWatchdog::Keep => "kept",
            OnWatchdog::Probe => "withdrawn if the probes fail",
        }
    ));
    lines.push(format!("decides by {}", record::config_hash(core)));
    lines.join("\n") + "\n"
}

/// What becomes of a prefix where nobody else announces it.
fn last_site(prefix: &Prefix, witnesses: &[Witness]) -> String {
    let heard: Vec<String> = witnesses
        .iter()
        .filter(|witness| witness.hears(prefix.prefix))
        .map(|witness| {
            format!(
                "{}/{} in table {}",
                witness.site, witness.host, witness.table
            )
        })
        .collect();
    match prefix.last_site {
        LastSite::Allow => "  last site: withdrawn all the same".to_owned(),
        LastSite::Unwitnessed => {
            "  warning: the last site that announces it is withdrawn, too: no [[witness]] of its family, and last_site is not \"allow\"".to_owned()
        }
        LastSite::Hold(_) if heard.is_empty() => {
            "  warning: never withdrawn, only degraded: last_site is \"hold\", and there is no [[witness]] of its family".to_owned()
        }
        LastSite::Hold(Race { goes_first, round }) => format!(
            "  last site: held, unless announced by {}; {}",
            heard.join(" or "),
            if goes_first {
                "goes first".to_owned()
            } else {
                format!("waits {}", humantime::format_duration(round))
            }
        ),
    }
}

fn service(service: &Service) -> String {
    let Service {
        name,
        endpoint,
        application,
        detect,
        probe,
    } = service;
    let speaks = match application {
        Application::Any => String::new(),
        known => format!(" ({})", known.name()),
    };
    format!(
        "  {name}: {endpoint}{speaks}, deadline {}, patience {}, broken at {} % failures; probe {}",
        if detect.learns_deadline {
            "auto".to_owned()
        } else {
            humantime::format_duration(detect.deadline).to_string()
        },
        humantime::format_duration(detect.patience),
        (detect.broken * 1000.0).round() / 10.0,
        question::words(probe)
    )
}

fn measure_words(measure: &Measure) -> Vec<String> {
    let Measure {
        sizes,
        deadlines,
        tunnels,
    } = measure;
    let mut lines = vec![format!(
        "room for {} connections, {} exchanges, {} sample cells per service",
        sizes.connections, sizes.exchanges, sizes.cells
    )];
    let own: Vec<String> = Kind::ALL
        .into_iter()
        .filter_map(|kind| {
            let deadline = humantime::format_duration(deadlines.get(kind)?);
            Some(format!("{} {deadline}", kind.name()))
        })
        .collect();
    if !own.is_empty() {
        lines.push(format!("deadlines at every service: {}", own.join(", ")));
    }
    for (interface, kinds) in &tunnels.kinds {
        lines.push(format!(
            "tunnels on {interface}: {}",
            tunnel_words(*kinds, tunnels.ports)
        ));
    }
    lines
}

fn tunnel_words(kinds: u32, [fou, gue, vxlan, geneve]: [u16; 4]) -> String {
    let words: Vec<String> = [
        (Tunnels::IP, "ipip".to_owned()),
        (Tunnels::GRE, "gre".to_owned()),
        (Tunnels::FOU, format!("fou:{fou}")),
        (Tunnels::GUE, format!("gue:{gue}")),
        (Tunnels::VXLAN, format!("vxlan:{vxlan}")),
        (Tunnels::GENEVE, format!("geneve:{geneve}")),
    ]
    .into_iter()
    .filter(|(bit, _)| kinds & bit != 0)
    .map(|(_, word)| word)
    .collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_is_summed_up() {
        let text = r#"
[daemon]
mode = "enforce"
[[prefix]]
prefix = "192.0.2.0/24"
[[prefix.service]]
name = "web"
address = "192.0.2.10"
port = 80
probe = { http = "http://example.com/health", status = 200 }
"#;
        let settings = Settings::parse(Path::new("x"), text, &|_| true).unwrap();
        let summary = summary(&settings);
        for line in [
            "ok: 1 prefix, 1 service, mode enforce\n",
            "192.0.2.0/24: withdrawn when any service is dead\n",
            "  web: 192.0.2.10:80/tcp, deadline auto, patience 1s, broken at 50 % failures; probe http://example.com/health at 192.0.2.10:80 expecting 200 every 1s, timeout 1s, rise 2, fall 3\n",
            "BIRD is asked at /run/bird/bird.ctl, if it is there\n",
            "routes in table 4242, protocol 201 full, 202 degraded; kept on exit, kept when no start succeeds\n",
        ] {
            assert!(summary.contains(line), "{line} in\n{summary}");
        }
    }

    #[test]
    fn what_becomes_of_the_last_site_is_told() {
        let prefix = r#"
[[prefix]]
prefix = "192.0.2.0/24"
LAST_SITE
[[prefix.service]]
name = "web"
address = "192.0.2.10"
port = 80
"#;
        let witness = r#"
[[witness]]
site = "ams1"
host = "edge1"
sessions = { ipv4 = "ams1_4" }
"#;
        for (witness, last_site, line) in [
            (
                "",
                "",
                "warning: the last site that announces it is withdrawn, too",
            ),
            (
                "",
                "last_site = \"hold\"",
                "warning: never withdrawn, only degraded",
            ),
            (
                "",
                "last_site = \"allow\"",
                "last site: withdrawn all the same",
            ),
            (
                witness,
                "",
                "last site: held, unless announced by ams1/edge1 in table 4243; waits 1s",
            ),
        ] {
            let text = format!("{}{witness}", prefix.replace("LAST_SITE", last_site));
            let settings = Settings::parse(Path::new("x"), &text, &|_| true).unwrap();
            let summary = summary(&settings);
            assert!(summary.contains(line), "{line} in\n{summary}");
        }
    }

    #[test]
    fn the_documented_example_is_good() {
        let manual = include_str!("../../docs/configuration.md");
        let start = manual.find("```toml\n").unwrap() + "```toml\n".len();
        let example = &manual[start..start + manual[start..].find("```").unwrap()];
        let settings = Settings::parse(Path::new("docs"), example, &|_| true)
            .unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(settings.core.prefixes.len(), 2);
    }
}
