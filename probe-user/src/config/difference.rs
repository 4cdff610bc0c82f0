//! What another configuration changes, in lines for people, and which of it only a
//! restart can apply.
//!
//! Every field of the settings is named here, so that a new one cannot be forgotten: it
//! either changes at run time, or is listed as one that does not.

mod words;

use std::{collections::BTreeMap, fmt::Write as _};

use ipnet::IpNet;
use probe_common::trial::Kind;
use probe_core::config::{Classify, Config, Detect, Endpoint, Guards, Prefix, Recover, Service};

use self::words::{
    absorb, action, deadline, last_site, mode, on_exit, once_in, size, time, withdraw_when,
    witnesses,
};
use super::{Daemon, Journal, Route, Settings};
use crate::{check::question, datapath::Measure};

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
            on_watchdog: _,
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
        let route = Changes::default()
            .of("bird_socket", bird_socket(before), bird_socket(after))
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
        let daemon = Changes::default()
            .of(
                "goes_first",
                before.daemon.goes_first,
                after.daemon.goes_first,
            )
            .of(
                "on_watchdog",
                before.daemon.on_watchdog.name(),
                after.daemon.on_watchdog.name(),
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
            let Prefix {
                prefix: _,
                withdraw_when: when,
                services: _,
                drain,
                last_site: last,
            } = **old;
            let mut changes = Changes::default()
                .of(
                    "withdraw_when",
                    withdraw_when(when),
                    withdraw_when(prefix.withdraw_when),
                )
                .of("drain", time(drain), time(prefix.drain))
                .of("last_site", last_site(last), last_site(prefix.last_site));
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

fn bird_socket(settings: &Settings) -> String {
    match &settings.route.bird_socket {
        Some(path) => path.display().to_string(),
        None => "the usual one".to_owned(),
    }
}

#[cfg(test)]
mod tests;
