//! By what a replay decides. In flow the operator's configuration, or the services that
//! were named or found; out flows the configuration of the core, and what is measured.
//!
//! It always observes: in a capture nothing was withdrawn, so what would have been done
//! is told, and what came then is judged as it came. Without a configuration each address
//! stands in a prefix of its own.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use ipnet::IpNet;
use probe_core::config::{
    Config, LastSite, Mode, Prefix, ProbeKind, Service as Watched, ServiceId, WithdrawWhen,
};

use super::services::Service;
use crate::{
    config::{Settings, default_probe},
    datapath::{Deadlines, ServiceSpec},
};

/// What is known of the answers to probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probes {
    /// Nothing: nobody can be asked in the past.
    #[default]
    Unasked,
    /// They are taken to meet what the clients of the same moment met.
    LikeClients,
}

/// What is measured, and by what it is judged.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The core's configuration.
    pub core: Config,
    /// The services as the measurement wants them, in the core's order.
    pub specs: Vec<ServiceSpec>,
    /// Kinds of trials with deadlines of their own.
    pub deadlines: Deadlines,
}

impl Plan {
    /// The configured services, or else these.
    pub fn new(
        settings: Settings,
        services: &[Service],
        deadline: Option<Duration>,
        probes: Probes,
    ) -> Self {
        let mut core = settings.core;
        if core.services.is_empty() {
            let mut detect = settings.detect;
            detect.deadline = deadline.unwrap_or(detect.deadline);
            core.services = services
                .iter()
                .map(|service| Watched {
                    name: service.endpoint.to_string(),
                    endpoint: service.endpoint,
                    application: service.application,
                    detect,
                    probe: default_probe(service.endpoint),
                })
                .collect();
            core.prefixes = prefixes(&core.services);
        }
        core.mode = Mode::Observe;
        if probes == Probes::Unasked {
            for service in &mut core.services {
                service.probe.kind = ProbeKind::None;
            }
        }
        let specs = core
            .services
            .iter()
            .map(|service| ServiceSpec {
                endpoint: service.endpoint,
                application: service.application,
                deadline: service.detect.deadline,
            })
            .collect();
        Self {
            core,
            specs,
            deadlines: settings.measure.deadlines,
        }
    }
}

/// One for each address.
fn prefixes(services: &[Watched]) -> Vec<Prefix> {
    let mut addresses: BTreeMap<IpAddr, Vec<ServiceId>> = BTreeMap::new();
    for (id, service) in (0..).map(ServiceId).zip(services) {
        addresses
            .entry(service.endpoint.address)
            .or_default()
            .push(id);
    }
    addresses
        .into_iter()
        .map(|(address, services)| Prefix {
            prefix: IpNet::from(address),
            withdraw_when: WithdrawWhen::Any,
            services,
            drain: Duration::ZERO,
            last_site: LastSite::Unwitnessed,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::services::parse;

    #[test]
    fn without_a_configuration_each_address_is_a_prefix_and_nobody_is_probed() {
        let services = [
            "192.0.2.1:80/tcp",
            "192.0.2.1:443/tcp",
            "[2001:db8::1]:53/udp",
        ]
        .map(|text| parse(text).expect(text));
        let deadline = Duration::from_millis(70);
        let plan = |probes| {
            let settings = Settings::without_file();
            Plan::new(settings, &services, Some(deadline), probes)
        };
        let unasked = plan(Probes::Unasked);
        let prefixes: Vec<_> = unasked
            .core
            .prefixes
            .iter()
            .map(|prefix| (prefix.prefix.to_string(), prefix.services.len()))
            .collect();
        assert_eq!(
            prefixes,
            [
                ("192.0.2.1/32".to_owned(), 2),
                ("2001:db8::1/128".to_owned(), 1)
            ]
        );
        assert_eq!(unasked.core.mode, Mode::Observe);
        assert!(unasked.specs.iter().all(|spec| spec.deadline == deadline));
        let asked = |plan: &Plan| {
            let services = plan.core.services.iter();
            services
                .filter(|service| service.probe.kind != ProbeKind::None)
                .count()
        };
        assert_eq!(asked(&unasked), 0);
        assert_eq!(
            asked(&plan(Probes::LikeClients)),
            2,
            "TCP has a usual probe"
        );
    }

    #[test]
    fn configured_services_are_judged_as_configured_but_never_acted_on() {
        let text = r#"
            [daemon]
            mode = "enforce"
            [[prefix]]
            prefix = "192.0.2.0/24"
            withdraw_when = "all"
            [[prefix.service]]
            name = "web"
            address = "192.0.2.10"
            port = 443
            protocol = "tcp"
            deadline = "150ms"
        "#;
        let settings = Settings::parse("x.toml".as_ref(), text, &|_| true).expect("no mistakes");
        let plan = Plan::new(settings, &[], None, Probes::LikeClients);
        assert_eq!(plan.core.mode, Mode::Observe);
        assert_eq!(plan.core.services[0].name, "web");
        assert_eq!(plan.core.prefixes[0].withdraw_when, WithdrawWhen::All);
        assert_eq!(plan.specs[0].deadline, Duration::from_millis(150));
    }
}
