//! The `[[prefix]]` sections with their services and probes, and what must hold
//! between them.

use std::{collections::BTreeMap, net::IpAddr, ops::Range, time::Duration};

use ipnet::IpNet;
use probe_core::config::{
    Application, Detect, Endpoint, Prefix, Protocol, Service, ServiceId, WithdrawWhen,
};
use toml::Spanned;

use super::{
    keys, network, probes,
    report::Finding,
    schema::read_detect_overrides,
    section::{Findings, Section},
    value,
    witness::{Rules, Word},
};

/// How long a drain degrades a prefix before it withdraws it.
const DRAIN: Duration = Duration::from_secs(30);
/// What is spoken at a port unless configured. HTTP must be asked for: only the
/// operator knows that it is plaintext.
pub fn usual_application(protocol: Protocol, port: u16) -> Application {
    match (protocol, port) {
        (Protocol::Tcp | Protocol::Udp, 53) => Application::Dns,
        (Protocol::Udp, 443) => Application::Quic,
        (Protocol::Tcp | Protocol::Udp, _) => Application::Any,
    }
}

/// What has been read of prefixes and services so far, with the places that a
/// duplicate refers to.
pub struct Host<'a> {
    detect: Detect,
    rules: Rules,
    /// The services; the position is the id.
    pub services: Vec<Service>,
    /// The prefixes; the position is the id.
    pub prefixes: Vec<Prefix>,
    names: BTreeMap<String, Range<usize>>,
    endpoints: BTreeMap<Endpoint, Range<usize>>,
    networks: BTreeMap<IpNet, Range<usize>>,
    /// Which prefixes, by their position, name services of others.
    shares: Vec<(usize, Spanned<Vec<String>>)>,
    findings: &'a Findings,
}

impl<'a> Host<'a> {
    /// Nothing yet; `detect` holds for services that say nothing else, `rules` for
    /// all prefixes.
    pub fn new(detect: Detect, rules: Rules, findings: &'a Findings) -> Self {
        Self {
            detect,
            rules,
            services: Vec::new(),
            prefixes: Vec::new(),
            names: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            networks: BTreeMap::new(),
            shares: Vec::new(),
            findings,
        }
    }

    /// Reads one `[[prefix]]` with its services.
    pub fn read_prefix(&mut self, section: &Section<'_>) {
        let network = section.require("prefix", "\"192.0.2.0/24\"", network::prefix);
        if let Some(network) = &network
            && let Some(first) = self.networks.insert(*network.get_ref(), network.span())
        {
            self.findings.push(
                Finding::new(
                    network.span(),
                    format!("prefix {} is configured twice", network.get_ref()),
                    "again",
                    "put all its services below one [[prefix]]",
                )
                .with_context(first, "first here"),
            );
        }
        let withdraw_when = section.read_spanned("withdraw_when", value::withdraw_when);
        let last_site = section
            .read(
                "last_site",
                value::word(&[
                    ("auto", Word::Auto),
                    ("hold", Word::Hold),
                    ("allow", Word::Allow),
                ]),
            )
            .unwrap_or(Word::Auto);
        let before = self.services.len();
        let drain = section
            .read(
                "drain",
                value::duration(Duration::ZERO, Duration::from_hours(24)),
            )
            .unwrap_or(DRAIN);
        let sections = section.tables("service", &keys::SERVICE);
        for service in &sections {
            self.read_service(service, network.as_ref());
        }
        let shared = section.read_spanned("services", value::names);
        let count = sections.len() + shared.as_ref().map_or(0, |names| names.get_ref().len());
        if sections.is_empty() && !section.has("services") {
            self.findings.push(Finding::new(
                section.own_place(),
                "a prefix without services",
                "nothing would ever announce it",
                "add a [[prefix.service]] with name, address and port, or name those of other \
                 prefixes with `services`",
            ));
        }
        if let Some(rule) = &withdraw_when
            && let WithdrawWhen::AtLeast(dead) = *rule.get_ref()
            && dead as usize > count
            && count > 0
        {
            self.findings.push(Finding::new(
                rule.span(),
                format!("`withdraw_when` waits for {dead} dead services of {count}"),
                "can never happen",
                format!("choose from 1 to {count}"),
            ));
        }
        if let Some(network) = network {
            let network = network.into_inner();
            let position = self.prefixes.len();
            self.shares.extend(shared.map(|names| (position, names)));
            self.prefixes.push(Prefix {
                prefix: network,
                withdraw_when: withdraw_when.map(Spanned::into_inner).unwrap_or_default(),
                services: (before..self.services.len()).map(service_id).collect(),
                drain,
                last_site: self.rules.of(network, last_site),
            });
        }
    }

    /// Once all are read: gives the prefixes the services of others that they name.
    pub fn share_services(&mut self) {
        let names = self.services.iter().map(|service| service.name.as_str());
        let ids: BTreeMap<&str, ServiceId> = names.zip((0..).map(service_id)).collect();
        for (prefix, names) in &self.shares {
            let prefix = &mut self.prefixes[*prefix];
            for name in names.get_ref() {
                let mistake = match ids.get(name.as_str()) {
                    None => (
                        format!("no service is named `{name}`"),
                        "unknown",
                        "write the `name` of a [[prefix.service]] of another prefix",
                    ),
                    Some(id) if prefix.services.contains(id) => (
                        format!("service `{name}` stands behind this prefix already"),
                        "named twice, or its own",
                        "remove it here",
                    ),
                    Some(id) => {
                        prefix.services.push(*id);
                        continue;
                    }
                };
                let (title, label, help) = mistake;
                let finding = Finding::new(names.span(), title, label, help);
                self.findings.push(finding);
            }
        }
    }

    fn read_service(&mut self, section: &Section<'_>, network: Option<&Spanned<IpNet>>) {
        let name = section.require("name", "\"web\"", value::name);
        let address = section.require("address", "\"192.0.2.10\"", network::address);
        let port = section.require("port", "443", network::port);
        let protocol = section
            .read(
                "protocol",
                value::word(&[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)]),
            )
            .unwrap_or(Protocol::Tcp);
        let detect = read_detect_overrides(section, self.detect);

        if let (Some(address), Some(network)) = (&address, network) {
            self.check_inside(address, network);
        }
        if let Some(name) = &name
            && let Some(first) = self.names.insert(name.get_ref().clone(), name.span())
        {
            self.findings.push(
                Finding::new(
                    name.span(),
                    format!("service name `{}` is used twice", name.get_ref()),
                    "again",
                    "give each service of this host its own name",
                )
                .with_context(first, "first here"),
            );
        }
        let application = self.read_application(section, protocol);
        let (Some(address), Some(port)) = (address, port) else {
            // The probe's own mistakes are still worth telling.
            probes::read(section, None, self.findings);
            return;
        };
        let endpoint = Endpoint {
            address: *address.get_ref(),
            port: *port.get_ref(),
            protocol,
        };
        if let Some(first) = self.endpoints.insert(endpoint, address.span()) {
            self.findings.push(
                Finding::new(
                    address.span(),
                    format!("service {endpoint} is configured twice"),
                    "again",
                    "remove one, or correct its address, port or protocol",
                )
                .with_context(first, "first here"),
            );
        }
        let probe = probes::read(section, Some(endpoint), self.findings);
        if let (Some(name), Some(probe)) = (name, probe) {
            self.services.push(Service {
                name: name.into_inner(),
                endpoint,
                application: application
                    .unwrap_or_else(|| usual_application(protocol, endpoint.port)),
                detect,
                probe,
            });
        }
    }

    /// What the operator says is spoken.
    fn read_application(&self, section: &Section<'_>, protocol: Protocol) -> Option<Application> {
        let application = section.read_spanned(
            "application",
            value::word(&[
                ("any", Application::Any),
                ("dns", Application::Dns),
                ("quic", Application::Quic),
                ("http", Application::Http),
            ]),
        )?;
        let needed = match application.get_ref() {
            Application::Any | Application::Dns => protocol,
            Application::Quic => Protocol::Udp,
            Application::Http => Protocol::Tcp,
        };
        if needed != protocol {
            self.findings.push(Finding::new(
                application.span(),
                format!(
                    "`application` \"{}\" is not spoken over {protocol}",
                    application.get_ref().name()
                ),
                format!("the service's protocol is {protocol}"),
                format!("set protocol = \"{needed}\", or application = \"any\""),
            ));
        }
        Some(application.into_inner())
    }

    fn check_inside(&self, address: &Spanned<IpAddr>, network: &Spanned<IpNet>) {
        if network.get_ref().contains(address.get_ref()) {
            return;
        }
        let help = if address.get_ref().is_ipv4() == network.get_ref().addr().is_ipv4() {
            format!(
                "use an address of {}, or put the service below the prefix that holds it",
                network.get_ref()
            )
        } else {
            "IPv4 services belong below an IPv4 prefix and IPv6 services below an IPv6 one"
                .to_owned()
        };
        self.findings.push(
            Finding::new(
                address.span(),
                format!(
                    "address {} is outside its prefix {}",
                    address.get_ref(),
                    network.get_ref()
                ),
                "not in the prefix",
                help,
            )
            .with_context(network.span(), "the prefix"),
        );
    }
}

fn service_id(index: usize) -> ServiceId {
    ServiceId(u32::try_from(index).unwrap_or(u32::MAX))
}
