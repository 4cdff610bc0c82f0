//! The `[[prefix]]` sections with their services and probes, and what must hold
//! between them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    ops::Range,
    time::Duration,
};

use ipnet::IpNet;
use probe_core::config::{
    Application, Detect, Endpoint, Prefix, Probe, ProbeKind, Protocol, Service, ServiceId,
    WithdrawWhen,
};
use toml::Spanned;

use super::{
    network,
    report::Finding,
    schema::read_detect_overrides,
    section::{Findings, Section},
    value,
};

/// The keys of `[[prefix]]`.
pub const PREFIX: [&str; 3] = ["prefix", "withdraw_when", "service"];
const SERVICE: [&str; 9] = [
    "name",
    "address",
    "port",
    "protocol",
    "probe",
    "broken",
    "patience",
    "deadline",
    "arm_after",
];
const PROBE: [&str; 7] = [
    "tcp", "http", "status", "interval", "timeout", "rise", "fall",
];

/// Time between two regular probes; also the longest default timeout.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const RISE: u32 = 2;
const FALL: u32 = 3;

/// The probe of a service that has no `probe` key, and of a found one: a TCP
/// handshake with the service itself.
pub fn default_probe(endpoint: Endpoint) -> Probe {
    Probe {
        kind: ProbeKind::Tcp {
            target: SocketAddr::new(endpoint.address, endpoint.port),
        },
        interval: PROBE_INTERVAL,
        timeout: PROBE_INTERVAL,
        rise: RISE,
        fall: FALL,
    }
}

/// What has been read of prefixes and services so far, with the places that a
/// duplicate refers to.
pub struct Host<'a> {
    detect: Detect,
    /// The services; the position is the id.
    pub services: Vec<Service>,
    /// The prefixes; the position is the id.
    pub prefixes: Vec<Prefix>,
    names: BTreeMap<String, Range<usize>>,
    endpoints: BTreeMap<Endpoint, Range<usize>>,
    networks: BTreeMap<IpNet, Range<usize>>,
    findings: &'a Findings,
}

impl<'a> Host<'a> {
    /// Nothing yet; `detect` holds for services that say nothing else.
    pub fn new(detect: Detect, findings: &'a Findings) -> Self {
        Self {
            detect,
            services: Vec::new(),
            prefixes: Vec::new(),
            names: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            networks: BTreeMap::new(),
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
        let before = self.services.len();
        let sections = section.tables("service", "[[prefix.service]]", &SERVICE);
        for service in &sections {
            self.read_service(service, network.as_ref());
        }
        if sections.is_empty() {
            self.findings.push(Finding::new(
                section.own_place(),
                "a prefix without services",
                "nothing would ever announce it",
                "add a [[prefix.service]] with name, address and port",
            ));
        }
        if let Some(rule) = &withdraw_when
            && let WithdrawWhen::AtLeast(count) = *rule.get_ref()
            && count as usize > sections.len()
            && !sections.is_empty()
        {
            self.findings.push(Finding::new(
                rule.span(),
                format!(
                    "`withdraw_when` waits for {count} dead services of {}",
                    sections.len()
                ),
                "can never happen",
                format!("choose from 1 to {}", sections.len()),
            ));
        }
        if let Some(network) = network {
            self.prefixes.push(Prefix {
                prefix: network.into_inner(),
                withdraw_when: withdraw_when.map(Spanned::into_inner).unwrap_or_default(),
                services: (before..self.services.len()).map(service_id).collect(),
            });
        }
    }

    fn read_service(&mut self, section: &Section<'_>, network: Option<&Spanned<IpNet>>) {
        let name = section.require("name", "\"web\"", value::name);
        let address = section.require("address", "\"192.0.2.10\"", network::address);
        let port = section.require("port", "443", network::port);
        let protocol = section
            .read("protocol", value::word(&[("tcp", Protocol::Tcp)]))
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
        let (Some(address), Some(port)) = (address, port) else {
            // The probe's own mistakes are still worth telling.
            self.read_probe(section, None);
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
        let probe = self.read_probe(section, Some(endpoint));
        if let (Some(name), Some(probe)) = (name, probe) {
            self.services.push(Service {
                name: name.into_inner(),
                endpoint,
                application: Application::default(),
                detect,
                probe,
            });
        }
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

    /// None if there is no endpoint to fall back to.
    fn read_probe(&self, service: &Section<'_>, endpoint: Option<Endpoint>) -> Option<Probe> {
        let section = service.table("probe", "probe = { ... }", &PROBE);
        let bounds = value::duration(Duration::from_millis(50), Duration::from_hours(1));
        let interval = section.read("interval", bounds).unwrap_or(PROBE_INTERVAL);
        let timeout = section.read_spanned(
            "timeout",
            value::duration(Duration::from_millis(10), Duration::from_mins(1)),
        );
        if let Some(timeout) = &timeout
            && *timeout.get_ref() > interval
        {
            self.findings.push(Finding::new(
                timeout.span(),
                "`timeout` is longer than the probe's interval",
                format!("the interval is {}", humantime::format_duration(interval)),
                "probes of one service must not overlap: shorten the timeout or lengthen the interval",
            ));
        }
        let rise = section
            .read("rise", value::integer(1, 1000))
            .unwrap_or(RISE);
        let fall = section
            .read("fall", value::integer(1, 1000))
            .unwrap_or(FALL);
        let status = section
            .read("status", value::integer(100, 599))
            .and_then(|status| u16::try_from(status).ok());
        let tcp = section.read("tcp", network::socket_address);
        let url = section.read("http", network::http_url);
        if section.has("tcp") && section.has("http") {
            self.findings.push(Finding::new(
                section.place("http"),
                "a probe is either `tcp` or `http`",
                "the second of two",
                "remove one; `http` also proves that the handshake works",
            ));
        }
        if section.has("status") && !section.has("http") {
            self.findings.push(Finding::new(
                section.place("status"),
                "`status` belongs to an `http` probe",
                "a TCP handshake has no status",
                "remove it, or probe with http = \"http://HOST/path\"",
            ));
        }
        let default = default_probe(endpoint?);
        Some(Probe {
            kind: match (tcp, url, endpoint) {
                (Some(target), _, _) => ProbeKind::Tcp { target },
                (None, Some(url), Some(endpoint)) => http_probe(url, endpoint, status),
                (None, _, _) => default.kind,
            },
            interval,
            timeout: timeout.map_or(PROBE_INTERVAL.min(interval), Spanned::into_inner),
            rise,
            fall,
        })
    }
}

/// The service itself is asked, whatever the name in the URL resolves to; only an
/// address in the URL is another target. Without a port in the URL it is the
/// service's.
fn http_probe(url: network::HttpUrl, endpoint: Endpoint, status: Option<u16>) -> ProbeKind {
    ProbeKind::Http {
        target: SocketAddr::new(
            url.address.unwrap_or(endpoint.address),
            url.port.unwrap_or(endpoint.port),
        ),
        host: url.authority,
        path: url.path,
        status,
    }
}

fn service_id(index: usize) -> ServiceId {
    ServiceId(u32::try_from(index).unwrap_or(u32::MAX))
}
