//! What another configuration changes, in lines for people, and which of it only a
//! restart can apply.
//!
//! Every field of the settings is named here, so that a new one cannot be forgotten: it
//! either changes at run time, or is listed as one that does not.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use ipnet::IpNet;
use probe_common::trial::Kind;
use probe_core::config::{
    Absorb, Action, Classify, Config, Detect, Endpoint, Guards, LastSite, Mode, Prefix, Recover,
    Service, WithdrawWhen,
};

use super::{Daemon, Journal, OnExit, Route, Settings};
use crate::{announce::witness::Witness, bird::Name, check::question, datapath::Measure};

/// So many services are named in a line about several.
const NAMED: usize = 5;

/// What is other than before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// One line for each thing: `+` is new, `-` is gone, `~` has changed.
    pub lines: Vec<String>,
    /// Prefixes that are gone.
    pub gone: Vec<IpNet>,
    /// Keys that have changed and that only a restart can apply.
    pub restart: Vec<&'static str>,
}

impl Difference {
    /// Between what is in force and what is to be.
    pub fn between(before: &Settings, after: &Settings) -> Self {
        let mut difference = Self::default();
        difference.restart(before, after);
        difference.settings(before, after);
        difference.others(before, after);
        difference.prefixes(&before.core, &after.core);
        difference.services(&before.core, &after.core);
        difference
    }

    /// Why it cannot be applied while the daemon runs, if it cannot.
    pub fn refusal(&self) -> Option<String> {
        (!self.restart.is_empty()).then(|| {
            format!(
                "error: these cannot change while lapwing runs: {}\nhelp: restart to apply the \
                 file (`systemctl restart lapwing`; routes and hooks stay in place), or take \
                 these changes back; nothing of the file was applied",
                self.restart.join(", ")
            )
        })
    }

    fn restart(&mut self, before: &Settings, after: &Settings) {
        let Daemon {
            site,
            host,
            attach,
            interfaces,
            http,
            control,
            state_dir,
            pin_dir,
            on_exit: _,
            goes_first: _,
        } = &before.daemon;
        let Route {
            table,
            protocol_full,
            protocol_degraded,
            bird_socket: _,
            witness_round: _,
        } = &before.route;
        let Measure {
            sizes,
            deadlines: _,
            tunnels,
        } = &before.measure;
        let protocols = (protocol_full, protocol_degraded);
        let new = &after.daemon;
        let new_protocols = (&after.route.protocol_full, &after.route.protocol_degraded);
        for (same, key) in [
            (*site == new.site, "`site` of [daemon]"),
            (*host == new.host, "`host` of [daemon]"),
            (*attach == new.attach, "`attach` of [daemon]"),
            (*interfaces == new.interfaces, "`interfaces` of [daemon]"),
            (*http == new.http, "`http` of [daemon]"),
            (*control == new.control, "`control` of [daemon]"),
            (*state_dir == new.state_dir, "`state_dir` of [daemon]"),
            (*pin_dir == new.pin_dir, "`pin_dir` of [daemon]"),
            (*table == after.route.table, "`table` of [route]"),
            (protocols == new_protocols, "`protocols` of [route]"),
            (*sizes == after.measure.sizes, "the sizes in [measure]"),
            (*tunnels == after.measure.tunnels, "[[interface]]"),
        ] {
            if !same {
                self.restart.push(key);
            }
        }
    }

    fn settings(&mut self, before: &Settings, after: &Settings) {
        let Settings {
            daemon: _,
            route: _,
            journal: Journal {
                rotate_at: _,
                keep: _,
            },
            measure: _,
            // What found services get: it shows in each of them.
            detect: _,
            max_probes: _,
            witnesses: _,
            core,
        } = before;
        let Config {
            mode: _,
            false_alarm_period: _,
            classify: _,
            guards: Guards {
                lowerings_per_hour: _,
            },
            recover:
                Recover {
                    hold: _,
                    hold_max: _,
                    canary: _,
                },
            services: _,
            prefixes: _,
        } = core;
        let (b, a) = (&before.core, &after.core);
        let mut section = |name: &str, changes: Changes| {
            if let Some(text) = changes.text() {
                self.lines.push(format!("~ [{name}] {text}"));
            }
        };
        section(
            "daemon",
            Changes::default()
                .of("mode", mode(b.mode), mode(a.mode))
                .of(
                    "on_exit",
                    on_exit(before.daemon.on_exit),
                    on_exit(after.daemon.on_exit),
                ),
        );
        section(
            "journal",
            Changes::default()
                .of(
                    "rotate_at",
                    size(before.journal.rotate_at),
                    size(after.journal.rotate_at),
                )
                .of("keep", before.journal.keep, after.journal.keep),
        );
        let mut detect = Changes::default().of(
            "false_alarm",
            once_in(b.false_alarm_period),
            once_in(a.false_alarm_period),
        );
        for kind in Kind::ALL {
            let own = |settings: &Settings| {
                let deadline = settings.measure.deadlines.get(kind);
                deadline.map_or_else(|| "of the service".to_owned(), time)
            };
            detect = detect.of(
                &format!("deadline of {}", kind.name()),
                own(before),
                own(after),
            );
        }
        section("detect", detect);
        section("classify", classify(&b.classify, &a.classify));
        section(
            "guards",
            Changes::default().of(
                "lowerings_per_hour",
                b.guards.lowerings_per_hour,
                a.guards.lowerings_per_hour,
            ),
        );
        section(
            "probe",
            Changes::default().of("max_concurrent", before.max_probes, after.max_probes),
        );
        section(
            "recover",
            Changes::default()
                .of("hold", time(b.recover.hold), time(a.recover.hold))
                .of(
                    "hold_max",
                    time(b.recover.hold_max),
                    time(a.recover.hold_max),
                )
                .of("canary", b.recover.canary, a.recover.canary),
        );
    }

    /// Who else announces the prefixes, and how that is known.
    fn others(&mut self, before: &Settings, after: &Settings) {
        let socket = |settings: &Settings| settings.route.bird_socket.display().to_string();
        let route = Changes::default()
            .of("bird_socket", socket(before), socket(after))
            .of(
                "witness_round",
                time(before.route.witness_round),
                time(after.route.witness_round),
            );
        let witness = Changes::default().of(
            "others",
            witnesses(&before.witnesses),
            witnesses(&after.witnesses),
        );
        let daemon = Changes::default().of(
            "goes_first",
            before.daemon.goes_first,
            after.daemon.goes_first,
        );
        for (section, changes) in [("daemon", daemon), ("route", route), ("witness", witness)] {
            if let Some(text) = changes.text() {
                self.lines.push(format!("~ [{section}] {text}"));
            }
        }
    }

    fn prefixes(&mut self, before: &Config, after: &Config) {
        let known: BTreeMap<IpNet, &Prefix> = by(&before.prefixes, |prefix| prefix.prefix);
        let wanted: BTreeMap<IpNet, &Prefix> = by(&after.prefixes, |prefix| prefix.prefix);
        for prefix in &before.prefixes {
            if !wanted.contains_key(&prefix.prefix) {
                self.gone.push(prefix.prefix);
                self.lines.push(format!(
                    "- prefix {}: no longer looked after; its route stays as it stands",
                    prefix.prefix
                ));
            }
        }
        for prefix in &after.prefixes {
            let Some(old) = known.get(&prefix.prefix) else {
                self.lines.push(format!(
                    "+ prefix {}: services {}",
                    prefix.prefix,
                    names(prefix, after)
                ));
                continue;
            };
            let mut changes = Changes::default()
                .of(
                    "withdraw_when",
                    withdraw_when(old.withdraw_when),
                    withdraw_when(prefix.withdraw_when),
                )
                .of("drain", time(old.drain), time(prefix.drain))
                .of("last_site", last_site(old), last_site(prefix));
            if endpoints(old, before) != endpoints(prefix, after) {
                changes = changes.of("services", names(old, before), names(prefix, after));
            }
            if let Some(text) = changes.text() {
                self.lines
                    .push(format!("~ prefix {}: {text}", prefix.prefix));
            }
        }
    }

    fn services(&mut self, before: &Config, after: &Config) {
        let known: BTreeMap<Endpoint, &Service> = by(&before.services, |service| service.endpoint);
        let wanted: BTreeMap<Endpoint, &Service> = by(&after.services, |service| service.endpoint);
        for service in &before.services {
            if !wanted.contains_key(&service.endpoint) {
                let Service { name, endpoint, .. } = service;
                self.lines.push(format!("- service {name}: {endpoint}"));
            }
        }
        // The same change of many services is one line.
        let mut changed: Vec<(String, Vec<&str>)> = Vec::new();
        for service in &after.services {
            let Some(old) = known.get(&service.endpoint) else {
                let Service {
                    name,
                    endpoint,
                    probe,
                    ..
                } = service;
                let probe = question::words(probe);
                self.lines
                    .push(format!("+ service {name}: {endpoint}, probe {probe}"));
                continue;
            };
            let Some(text) = service_changes(old, service).text() else {
                continue;
            };
            match changed.iter_mut().find(|(same, _)| *same == text) {
                Some((_, names)) => names.push(&old.name),
                None => changed.push((text, vec![&old.name])),
            }
        }
        for (text, names) in changed {
            let mut who = names[..names.len().min(NAMED)].join(", ");
            if let Some(more @ 1..) = names.len().checked_sub(NAMED) {
                // Writing to a String cannot fail.
                let _ = write!(who, " and {more} more");
            }
            let services = if names.len() == 1 {
                "service"
            } else {
                "services"
            };
            self.lines.push(format!("~ {services} {who}: {text}"));
        }
    }
}

/// The changes of one thing.
#[derive(Debug, Default)]
struct Changes(Vec<String>);

impl Changes {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "most of what is compared is a text that was made for it"
    )]
    fn of<T: PartialEq + ToString>(mut self, key: &str, before: T, after: T) -> Self {
        if before != after {
            self.0.push(format!(
                "{key} {} -> {}",
                before.to_string(),
                after.to_string()
            ));
        }
        self
    }

    fn text(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(", "))
    }
}

fn service_changes(before: &Service, after: &Service) -> Changes {
    let Service {
        name,
        endpoint: _,
        application,
        detect,
        probe,
    } = before;
    let Detect {
        broken,
        patience,
        grey_patience,
        deadline: _,
        learns_deadline: _,
        arm_after,
        settle,
    } = *detect;
    let new = &after.detect;
    Changes::default()
        .of("name", name, &after.name)
        .of("application", application.name(), after.application.name())
        .of("broken", broken, new.broken)
        .of("patience", time(patience), time(new.patience))
        .of(
            "grey_patience",
            time(grey_patience),
            time(new.grey_patience),
        )
        .of("deadline", deadline(detect), deadline(new))
        .of("arm_after", arm_after, new.arm_after)
        .of("settle", time(settle), time(new.settle))
        .of(
            "probe",
            question::words(probe),
            question::words(&after.probe),
        )
}

fn classify(before: &Classify, after: &Classify) -> Changes {
    let Classify {
        service,
        host,
        path,
        grey,
        quiet,
        overload,
        overload_factor,
    } = *before;
    Changes::default()
        .of("service", action(service), action(after.service))
        .of("host", action(host), action(after.host))
        .of("path", action(path), action(after.path))
        .of("grey", action(grey), action(after.grey))
        .of("quiet", action(quiet), action(after.quiet))
        .of("overload", absorb(overload), absorb(after.overload))
        .of("overload_factor", overload_factor, after.overload_factor)
}

fn by<T, K: Ord>(things: &[T], key: impl Fn(&T) -> K) -> BTreeMap<K, &T> {
    things.iter().map(|thing| (key(thing), thing)).collect()
}

fn endpoints(prefix: &Prefix, config: &Config) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = services(prefix, config)
        .map(|service| service.endpoint)
        .collect();
    endpoints.sort_unstable();
    endpoints
}

fn names(prefix: &Prefix, config: &Config) -> String {
    let names: Vec<&str> = services(prefix, config)
        .map(|service| &*service.name)
        .collect();
    names.join(" ")
}

fn services<'a>(prefix: &'a Prefix, config: &'a Config) -> impl Iterator<Item = &'a Service> {
    let ids = prefix.services.iter();
    ids.filter_map(|id| config.services.get(id.0 as usize))
}

/// A learned deadline is no change of the file.
fn deadline(detect: &Detect) -> String {
    if detect.learns_deadline {
        "auto".to_owned()
    } else {
        time(detect.deadline)
    }
}

fn time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// Sizes are configured in KiB, MiB or GiB.
fn size(bytes: u64) -> String {
    match (bytes % (1 << 20), bytes >> 20, bytes >> 10) {
        (0, mebibytes, _) => format!("{mebibytes}MiB"),
        (_, _, kibibytes) => format!("{kibibytes}KiB"),
    }
}

fn once_in(period: Duration) -> String {
    format!("1 in {}", time(period))
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    }
}

fn on_exit(on_exit: OnExit) -> &'static str {
    match on_exit {
        OnExit::Keep => "keep",
        OnExit::Withdraw => "withdraw",
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Hold => "hold",
        Action::Degrade => "degrade",
        Action::Withdraw => "withdraw",
    }
}

fn absorb(absorb: Absorb) -> &'static str {
    match absorb {
        Absorb::Hold => "hold",
        Absorb::Ignore => "ignore",
    }
}

fn last_site(prefix: &Prefix) -> &'static str {
    match prefix.last_site {
        LastSite::Allow => "allowed",
        LastSite::Unwitnessed => "not guarded",
        LastSite::Hold(_) => "held",
    }
}

/// "ams1/edge1 in table 4243 by `ams1_4` and `ams1_6`".
fn witnesses(witnesses: &[Witness]) -> String {
    if witnesses.is_empty() {
        return "none".to_owned();
    }
    let one = |witness: &Witness| {
        let sessions = [&witness.session_v4, &witness.session_v6];
        let sessions: Vec<&str> = sessions.into_iter().flatten().map(Name::as_str).collect();
        format!(
            "{}/{} in table {} by {}",
            witness.site,
            witness.host,
            witness.table,
            sessions.join(" and ")
        )
    };
    witnesses.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn withdraw_when(when: WithdrawWhen) -> String {
    match when {
        WithdrawWhen::Any => "any".to_owned(),
        WithdrawWhen::All => "all".to_owned(),
        WithdrawWhen::AtLeast(least) => format!("at least {least}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FILE: &str = r#"
[daemon]
mode = "observe"
host = "edge3"
[detect]
patience = "1s"
[[prefix]]
prefix = "192.0.2.0/24"
[[prefix.service]]
name = "web"
address = "192.0.2.10"
port = 443
[[prefix.service]]
name = "mail"
address = "192.0.2.25"
port = 25
[[prefix]]
prefix = "2001:db8:4::/48"
[[prefix.service]]
name = "web-v6"
address = "2001:db8:4::10"
port = 443
"#;

    fn settings(text: &str) -> Settings {
        Settings::parse(Path::new("x"), text, &|_| true).unwrap_or_else(|report| panic!("{report}"))
    }

    fn difference(edit: impl Fn(&str) -> String) -> Difference {
        Difference::between(&settings(FILE), &settings(&edit(FILE)))
    }

    #[test]
    fn each_change_is_one_line() {
        for (from, to, lines) in [
            ("", "", vec![]),
            (
                "observe",
                "enforce",
                vec!["~ [daemon] mode observe -> enforce"],
            ),
            (
                "patience = \"1s\"",
                "patience = \"2s\"\ndeadline = \"500ms\"",
                vec!["~ services web, mail, web-v6: patience 1s -> 2s, deadline auto -> 500ms"],
            ),
            (
                "[detect]",
                "[journal]\nrotate_at = \"64KiB\"\nkeep = 9\n[guards]\nlowerings_per_hour = 3\n[recover]\ncanary = true\n[classify]\ngrey = \"hold\"\n[detect]\ndeadlines = { request = \"2s\" }",
                vec![
                    "~ [journal] rotate_at 16MiB -> 64KiB, keep 8 -> 9",
                    "~ [detect] deadline of request of the service -> 2s",
                    "~ [classify] grey degrade -> hold",
                    "~ [guards] lowerings_per_hour 10 -> 3",
                    "~ [recover] canary false -> true",
                ],
            ),
            (
                "name = \"mail\"\naddress = \"192.0.2.25\"\nport = 25",
                "name = \"smtp\"\naddress = \"192.0.2.25\"\nport = 25\nbroken = 0.8",
                vec!["~ service mail: name mail -> smtp, broken 0.5 -> 0.8"],
            ),
            (
                "port = 25",
                "port = 587",
                vec![
                    "- service mail: 192.0.2.25:25/tcp",
                    "+ service mail: 192.0.2.25:587/tcp, probe tcp 192.0.2.25:587 every 1s, timeout 1s, rise 2, fall 3",
                ],
            ),
            (
                "prefix = \"2001:db8:4::/48\"",
                "prefix = \"2001:db8:4::/64\"",
                vec![
                    "- prefix 2001:db8:4::/48: no longer looked after; its route stays as it stands",
                    "+ prefix 2001:db8:4::/64: services web-v6",
                ],
            ),
        ] {
            let found = difference(|file| file.replacen(from, to, 1));
            assert_eq!(found.lines, lines, "{to}");
            assert_eq!(found.refusal(), None, "{to}");
        }
    }

    #[test]
    fn other_witnesses_are_told_and_need_no_restart() {
        let difference = difference(|text| {
            format!(
                "{text}\n[[witness]]\nsite = \"ams1\"\nhost = \"edge1\"\nsessions = {{ ipv4 = \"ams1_4\" }}\n"
            )
            .replace("host = \"edge3\"", "host = \"edge3\"\ngoes_first = true\n[route]\nwitness_round = \"2s\"")
        });
        assert_eq!(difference.restart, [""; 0]);
        assert_eq!(
            difference.lines,
            [
                "~ [daemon] goes_first false -> true",
                "~ [route] witness_round 1s -> 2s",
                "~ [witness] others none -> ams1/edge1 in table 4243 by ams1_4",
                "~ prefix 192.0.2.0/24: last_site not guarded -> held",
            ]
        );
    }

    #[test]
    fn the_order_of_services_is_no_change() {
        let (head, rest) = FILE.split_at(FILE.find("[[prefix]]").unwrap());
        let (first, second) = rest.split_at(rest.rfind("[[prefix]]").unwrap());
        let other = format!("{head}{second}{first}");
        assert_eq!(difference(|_| other.clone()), Difference::default());
    }

    #[test]
    fn a_deadline_that_was_learned_is_no_change() {
        let mut running = settings(FILE);
        running.core.services[0].detect.deadline = Duration::from_secs(2);
        let difference = Difference::between(&running, &settings(FILE));
        assert_eq!(difference, Difference::default());
    }

    #[test]
    fn what_needs_a_restart_is_refused_by_name() {
        let changed = difference(|file| {
            file.replacen("host = \"edge3\"", "host = \"edge4\"\nsite = \"edge3\"\nhttp = \"[::1]:9477\"\ncontrol = \"/x\"\nstate_dir = \"/y\"\npin_dir = \"/z\"\nattach = \"tc\"\ninterfaces = [\"eth0\"]\n[[interface]]\nname = \"eth0\"\ntunnels = [\"gre\"]\n[route]\ntable = 5\nprotocols = { full = 203, degraded = 204 }\n[measure]\ncells = 64", 1)
        });
        assert_eq!(changed.restart.len(), 11, "{:?}", changed.restart);
        let why = changed.refusal().unwrap();
        assert!(why.contains("`http` of [daemon], "), "{why}");
        assert!(why.contains("restart to apply"), "{why}");
    }
}
