//! `lapwing check`: what a file configures if it is good, and what is wrong with it if it
//! is not; in words, and as a document for programs.

pub mod question;

use std::path::{Path, PathBuf};

use probe_common::{parse::tunnel::Tunnels, trial::Kind};
use probe_core::config::{
    Application, LastSite, Mode, Prefix, Race, Service, ServiceId, WithdrawWhen,
};
use serde::Serialize;

use crate::{
    announce::witness::Witness,
    config::{Attach, Error, Interfaces, Mistake, OnExit, OnWatchdog, Settings},
    datapath::Measure,
    discover::interface_exists,
    journal::{self, record},
    probe::Prober,
};

/// What came of a check, for programs.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Document {
    /// The file.
    pub file: PathBuf,
    /// Whether `lapwing run` would take it.
    pub good: bool,
    /// All that is wrong with it, in the order of the text.
    pub mistakes: Vec<Mistake>,
    /// What it configures, if it is good.
    pub configures: Option<Configured>,
}

/// What a good file configures.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Configured {
    /// Whether decisions change routes.
    pub mode: Mode,
    /// The prefixes; without any, what listens on the host is observed.
    pub prefixes: Vec<ConfiguredPrefix>,
    /// What is allowed, and most probably not meant.
    pub warnings: Vec<String>,
    /// What names this configuration in the journal.
    pub config: String,
}

/// One prefix of it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfiguredPrefix {
    /// The network.
    pub prefix: String,
    /// The names of its services.
    pub services: Vec<String>,
}

/// Checks the file at `path` against this host.
pub fn check(path: &Path) -> Result<Settings, Error> {
    let settings = Settings::load(path, &interface_exists)?;
    Prober::new(&settings.core.services)?;
    Ok(settings)
}

impl Document {
    /// What came of the check of `path`.
    pub fn of(path: &Path, checked: &Result<Settings, Error>) -> Self {
        Self {
            file: path.to_owned(),
            good: checked.is_ok(),
            mistakes: checked
                .as_ref()
                .err()
                .map_or_else(Vec::new, Error::mistakes),
            configures: checked.as_ref().ok().map(Configured::by),
        }
    }
}

impl Configured {
    fn by(settings: &Settings) -> Self {
        let core = &settings.core;
        let name = |id: &ServiceId| Some(core.services.get(id.0 as usize)?.name.clone());
        Self {
            mode: core.mode,
            prefixes: core
                .prefixes
                .iter()
                .map(|prefix| ConfiguredPrefix {
                    prefix: prefix.prefix.to_string(),
                    services: prefix.services.iter().filter_map(name).collect(),
                })
                .collect(),
            warnings: core
                .prefixes
                .iter()
                .filter_map(|prefix| {
                    let warning = warning(prefix, &settings.witnesses)?;
                    Some(format!("{}: {warning}", prefix.prefix))
                })
                .collect(),
            config: record::config_hash(core),
        }
    }
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

/// What is most probably not meant.
fn warning(prefix: &Prefix, witnesses: &[Witness]) -> Option<&'static str> {
    match prefix.last_site {
        LastSite::Unwitnessed => Some(
            "the last site that announces it is withdrawn, too: no [[witness]] of its family, and last_site is not \"allow\"",
        ),
        LastSite::Hold(_) if !witnesses.iter().any(|witness| witness.hears(prefix.prefix)) => Some(
            "never withdrawn, only degraded: last_site is \"hold\", and there is no [[witness]] of its family",
        ),
        LastSite::Hold(_) | LastSite::Allow => None,
    }
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
    if let Some(warning) = warning(prefix, witnesses) {
        return format!("  warning: {warning}");
    }
    match prefix.last_site {
        LastSite::Allow | LastSite::Unwitnessed => "  last site: withdrawn all the same".to_owned(),
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
    fn a_bad_file_is_told_to_programs_with_places() {
        let text = "[daemon]\nmoed = \"observe\"\n\n[[prefix]]\nprefix = \"192.0.2.0\"\n";
        let path = Path::new("x");
        let checked = Settings::parse(path, text, &|_| true).map_err(Error::from);
        let document = Document::of(path, &checked);
        assert!(!document.good && document.configures.is_none());
        let [unknown, no_services, no_length] = &document.mistakes[..] else {
            panic!("{:?}", document.mistakes);
        };
        assert_eq!((unknown.line, unknown.column), (Some(2), Some(1)));
        assert_eq!(unknown.remedy.as_deref(), Some("did you mean `mode`?"));
        assert_eq!(no_services.line, Some(4));
        assert_eq!((no_length.line, no_length.column), (Some(5), Some(10)));

        let unreadable = Document::of(path, &check(Path::new("/nonexistent")));
        let [mistake] = &unreadable.mistakes[..] else {
            panic!("{:?}", unreadable.mistakes);
        };
        assert_eq!(mistake.line, None);
        assert!(mistake.remedy.is_some() && !mistake.what.contains("help"));
    }
}
