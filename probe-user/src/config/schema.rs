//! The keys of the file, their defaults and the checks across them.

use std::{ops::Range, time::Duration};

use probe_core::config::{Absorb, Action, Classify, Config, Detect, Guards, Mode, Race, Recover};
use toml::de::{DeTable, DeValue};

use crate::datapath::Measure;

use super::{
    Attach, Daemon, Interfaces, OnExit, OnWatchdog, Route, Settings, journal, keys, measure,
    network,
    prefixes::Host,
    report::Finding,
    section::{Findings, Section},
    value,
    witness::{self, Rules},
};

/// "1 in 10 years".
pub const FALSE_ALARM_PERIOD: Duration = Duration::from_hours(87_660);
/// The first hold.
pub const HOLD: Duration = Duration::from_mins(1);
/// The longest hold.
pub const HOLD_MAX: Duration = Duration::from_hours(1);
/// How live trials are judged.
pub const DETECT: Detect = Detect {
    broken: 0.5,
    patience: Duration::from_secs(1),
    grey_patience: Duration::from_secs(5),
    deadline: Duration::from_millis(200),
    learns_deadline: true,
    arm_after: 200,
    settle: Duration::from_mins(1),
};

/// Probes at once on the whole host. Each has one or two descriptors, and a process
/// has 1024 of these by default.
pub const MAX_PROBES: usize = 256;

const ROOT: [&str; 12] = [
    "daemon",
    "journal",
    "interface",
    "route",
    "measure",
    "detect",
    "classify",
    "guards",
    "probe",
    "recover",
    "prefix",
    "witness",
];

/// Reads the whole text.
pub fn read(text: &str, interface_exists: &dyn Fn(&str) -> bool) -> Result<Settings, Vec<Finding>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(syntax_error).collect());
    }
    let findings = Findings::default();
    let settings = read_root(document.get_ref(), interface_exists, &findings);
    let findings = findings.into_vec();
    if findings.is_empty() {
        Ok(settings)
    } else {
        Err(findings)
    }
}

fn syntax_error(error: &toml::de::Error) -> Finding {
    let message = error.message().trim();
    let (title, help) = if message.starts_with("duplicate key") {
        (
            "a key is written twice".to_owned(),
            "keep one of the two; a list of tables has double brackets: `[[prefix]]`",
        )
    } else {
        (
            "this is not TOML".to_owned(),
            "texts stand in \"quotes\", a section is [name], a list of sections [[name]]; see https://toml.io",
        )
    };
    Finding::new(error.span().unwrap_or(0..0), title, message, help)
}

/// Everything is read, whatever is wrong on the way, so that all mistakes are
/// found; what is returned counts only if there was none.
fn read_root(
    document: &DeTable<'_>,
    interface_exists: &dyn Fn(&str) -> bool,
    findings: &Findings,
) -> Settings {
    let root = Section::new("the file", 0..0, document, &ROOT, findings);
    let daemon_section = root.table("daemon", &keys::DAEMON);
    let daemon = read_daemon(&daemon_section, interface_exists, findings);
    let mode = daemon_section
        .read(
            "mode",
            value::word(&[("observe", Mode::Observe), ("enforce", Mode::Enforce)]),
        )
        .unwrap_or_default();
    let route = read_route(&root.table("route", &keys::ROUTE), findings);
    let detect_section = root.table("detect", &keys::DETECT);
    let detect = read_detect(&detect_section);
    let false_alarm_period = detect_section
        .read("false_alarm", value::false_alarm)
        .unwrap_or(FALSE_ALARM_PERIOD);
    let measure = Measure {
        sizes: measure::sizes(&root.table("measure", &keys::MEASURE)),
        deadlines: measure::deadlines(&detect_section),
        tunnels: measure::tunnels(
            &root.tables("interface", &keys::INTERFACE),
            &daemon.interfaces,
            interface_exists,
            findings,
        ),
    };
    let max_probes = root
        .table("probe", &keys::PROBES)
        .read("max_concurrent", value::integer(4, 400))
        .map_or(MAX_PROBES, |count| count as usize);
    let recover = read_recover(&root.table("recover", &keys::RECOVER), findings);

    let witnesses = witness::read(
        &root.tables("witness", &keys::WITNESS),
        &daemon,
        &route,
        findings,
    );
    let race = Race {
        goes_first: daemon.goes_first,
        round: route.witness_round,
    };
    let mut host = Host::new(detect, Rules::new(race, &witnesses), findings);
    for section in root.tables("prefix", &keys::PREFIX) {
        host.read_prefix(&section);
    }
    host.share_services();
    if mode == Mode::Enforce && !root.has("prefix") {
        findings.push(Finding::new(
            daemon_section.place("mode"),
            "`mode` is \"enforce\", but there is no prefix to enforce anything for",
            "changes routes",
            "add a [[prefix]] with its services, or set mode = \"observe\"",
        ));
    }
    Settings {
        daemon,
        journal: journal::options(&root.table("journal", &keys::JOURNAL)),
        route,
        measure,
        detect,
        max_probes,
        witnesses,
        core: Config {
            mode,
            false_alarm_period,
            classify: read_classify(&root.table("classify", &keys::CLASSIFY)),
            guards: read_guards(&root.table("guards", &keys::GUARDS), host.prefixes.len()),
            recover,
            services: host.services,
            prefixes: host.prefixes,
        },
    }
}

fn read_daemon(
    section: &Section<'_>,
    interface_exists: &dyn Fn(&str) -> bool,
    findings: &Findings,
) -> Daemon {
    let default = Daemon::default();
    let host = section.read("host", value::name).unwrap_or(default.host);
    Daemon {
        // One host is a site of its own unless told otherwise.
        site: section
            .read("site", value::name)
            .unwrap_or_else(|| host.clone()),
        host,
        attach: section
            .read(
                "attach",
                value::word(&[
                    ("auto", Attach::Auto),
                    ("native", Attach::Native),
                    ("generic", Attach::Generic),
                    ("tc", Attach::Tc),
                ]),
            )
            .unwrap_or(default.attach),
        interfaces: read_interfaces(section, interface_exists, findings),
        http: section
            .read("http", network::loopback_address)
            .unwrap_or(default.http),
        control: section
            .read("control", value::path)
            .unwrap_or(default.control),
        state_dir: section
            .read("state_dir", value::path)
            .unwrap_or(default.state_dir),
        pin_dir: section
            .read("pin_dir", value::path)
            .unwrap_or(default.pin_dir),
        on_exit: section
            .read(
                "on_exit",
                value::word(&[("keep", OnExit::Keep), ("withdraw", OnExit::Withdraw)]),
            )
            .unwrap_or(default.on_exit),
        on_watchdog: section
            .read(
                "on_watchdog",
                value::word(&[("keep", OnWatchdog::Keep), ("probe", OnWatchdog::Probe)]),
            )
            .unwrap_or(default.on_watchdog),
        goes_first: section
            .read("goes_first", value::boolean)
            .unwrap_or(default.goes_first),
    }
}

fn read_interfaces(
    section: &Section<'_>,
    interface_exists: &dyn Fn(&str) -> bool,
    findings: &Findings,
) -> Interfaces {
    const HELP: &str = "write \"auto\" or a list such as [\"eth0\"]";
    let Some(value) = section.raw("interfaces") else {
        return Interfaces::Auto;
    };
    let wrong = |place: Range<usize>, label: &str| {
        findings.push(Finding::new(
            place,
            "`interfaces` must be \"auto\" or a list of names",
            label,
            HELP,
        ));
    };
    let list = match value.get_ref() {
        DeValue::String(word) if word == "auto" => return Interfaces::Auto,
        DeValue::Array(list) if !list.is_empty() => list,
        DeValue::Array(_) => {
            wrong(value.span(), "an empty list: nothing would be measured");
            return Interfaces::Auto;
        }
        other => {
            wrong(value.span(), &super::section::article(other.type_str()));
            return Interfaces::Auto;
        }
    };
    let mut names: Vec<String> = Vec::new();
    for item in list {
        let Some(name) = item.get_ref().as_str() else {
            wrong(item.span(), "not a name");
            continue;
        };
        if names.iter().any(|known| known == name) {
            findings.push(Finding::new(
                item.span(),
                format!("interface `{name}` is named twice"),
                "again",
                "remove one of the two",
            ));
        } else if !interface_exists(name) {
            findings.push(Finding::new(
                item.span(),
                format!("interface `{name}` does not exist on this host"),
                "no such interface",
                "write a name that `ip -brief link` shows, or interfaces = \"auto\" for those of the default routes",
            ));
        }
        names.push(name.to_owned());
    }
    Interfaces::Named(names)
}

fn read_route(section: &Section<'_>, findings: &Findings) -> Route {
    let default = Route::default();
    let protocols = section.inner(
        "protocols",
        "protocols = { full = 201, degraded = 202 }",
        &["full", "degraded"],
    );
    let full = protocols.read("full", network::route_protocol);
    let degraded = protocols.read("degraded", network::route_protocol);
    let route = Route {
        table: section
            .read("table", network::route_table)
            .unwrap_or(default.table),
        protocol_full: full.unwrap_or(default.protocol_full),
        protocol_degraded: degraded.unwrap_or(default.protocol_degraded),
        bird_socket: section.read("bird_socket", value::path),
        witness_round: section
            .read(
                "witness_round",
                value::duration(Duration::from_millis(100), Duration::from_mins(1)),
            )
            .unwrap_or(default.witness_round),
    };
    if route.protocol_full == route.protocol_degraded {
        let (key, label) = match (full, degraded) {
            (Some(_), None) => ("full", "`degraded` is 202 unless it is written"),
            (None, Some(_)) => ("degraded", "`full` is 201 unless it is written"),
            (Some(_), Some(_)) | (None, None) => ("degraded", "the same number as `full`"),
        };
        findings.push(Finding::new(
            protocols.place(key),
            "`full` and `degraded` must be two numbers",
            label,
            "write both, for example protocols = { full = 201, degraded = 202 }, and the same in BIRD's filter",
        ));
    }
    route
}

fn patience(value: value::Value<'_>) -> Result<Duration, value::Fault> {
    value::duration(Duration::ZERO, Duration::from_mins(10))(value)
}

/// What is to last must be seen in several spans of time.
fn grey_patience(value: value::Value<'_>) -> Result<Duration, value::Fault> {
    value::duration(Duration::from_secs(1), Duration::from_hours(1))(value)
}

/// None: the answers say what is late. Below 10 ms the ticks would cost more than they tell; above 30 s a client has
/// long given up.
fn deadline(value: value::Value<'_>) -> Result<Option<Duration>, value::Fault> {
    if value.text("\"auto\"")? == "auto" {
        return Ok(None);
    }
    value::duration(Duration::from_millis(10), Duration::from_secs(30))(value).map(Some)
}

fn arm_after(value: value::Value<'_>) -> Result<u32, value::Fault> {
    value::integer(20, 1_000_000)(value)
}

fn read_detect(section: &Section<'_>) -> Detect {
    let profile_patience = section
        .read(
            "profile",
            value::word(&[("default", DETECT.patience), ("fast", Duration::ZERO)]),
        )
        .unwrap_or(DETECT.patience);
    Detect {
        settle: section
            .read(
                "settle",
                value::duration(Duration::ZERO, Duration::from_hours(1)),
            )
            .unwrap_or(DETECT.settle),
        ..read_detect_overrides(
            section,
            Detect {
                patience: profile_patience,
                ..DETECT
            },
        )
    }
}

/// The keys that a service may have of its own.
pub fn read_detect_overrides(section: &Section<'_>, default: Detect) -> Detect {
    let asked = section.read("deadline", deadline);
    let late = asked.flatten();
    Detect {
        broken: section
            .read("broken", value::broken)
            .unwrap_or(default.broken),
        patience: section
            .read("patience", patience)
            .unwrap_or(default.patience),
        grey_patience: section
            .read("grey_patience", grey_patience)
            .unwrap_or(default.grey_patience),
        deadline: late.unwrap_or(default.deadline),
        learns_deadline: asked.map_or(default.learns_deadline, |_| late.is_none()),
        arm_after: section
            .read("arm_after", arm_after)
            .unwrap_or(default.arm_after),
        settle: default.settle,
    }
}

fn read_classify(section: &Section<'_>) -> Classify {
    let default = Classify::default();
    let death = value::word(&[
        ("withdraw", Action::Withdraw),
        ("degrade", Action::Degrade),
        ("hold", Action::Hold),
    ]);
    let impairment = value::word(&[("degrade", Action::Degrade), ("hold", Action::Hold)]);
    Classify {
        service: section.read("service", &death).unwrap_or(default.service),
        host: section.read("host", &death).unwrap_or(default.host),
        quiet: section.read("quiet", &death).unwrap_or(default.quiet),
        path: section.read("path", &impairment).unwrap_or(default.path),
        grey: section.read("grey", &impairment).unwrap_or(default.grey),
        overload: section
            .read(
                "overload",
                value::word(&[("hold", Absorb::Hold), ("ignore", Absorb::Ignore)]),
            )
            .unwrap_or(default.overload),
        overload_factor: section
            .read("overload_factor", value::factor)
            .unwrap_or(default.overload_factor),
    }
}

fn read_guards(section: &Section<'_>, prefixes: usize) -> Guards {
    let default = Guards::for_prefixes(prefixes);
    Guards {
        lowerings_per_hour: section
            .read("lowerings_per_hour", value::integer(1, 1_000_000))
            .unwrap_or(default.lowerings_per_hour),
    }
}

fn read_recover(section: &Section<'_>, findings: &Findings) -> Recover {
    let bounds = || value::duration(Duration::from_secs(1), Duration::from_hours(7 * 24));
    let hold = section.read_spanned("hold", bounds());
    let hold_max = section.read_spanned("hold_max", bounds());
    let recover = Recover {
        hold: hold.as_ref().map_or(HOLD, |hold| *hold.get_ref()),
        hold_max: hold_max.as_ref().map_or(HOLD_MAX, |hold| *hold.get_ref()),
        canary: section.read("canary", value::boolean).unwrap_or(false),
    };
    if recover.hold > recover.hold_max {
        findings.push(Finding::new(
            section.place(if hold.is_some() { "hold" } else { "hold_max" }),
            "`hold` is longer than `hold_max`",
            format!(
                "hold is {}, hold_max {}",
                humantime::format_duration(recover.hold),
                humantime::format_duration(recover.hold_max)
            ),
            "the hold grows from `hold` to `hold_max`: make hold the smaller of the two",
        ));
    }
    recover
}
