//! `[measure]`, `[[interface]]` and the deadlines of kinds of trials.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use probe_common::{
    flow::{MAX_SETS, WAYS},
    parse::tunnel::Tunnels,
    sample::MAX_CELLS,
    trial::Kind,
};
use toml::{Spanned, de::DeValue};

use crate::datapath::{Deadlines, InterfaceTunnels, Sizes};

use super::{
    Interfaces,
    report::Finding,
    section::{Findings, Section, list, nearest},
    value::{self, Fault, Value},
};

/// A smaller table than this would evict what is still waited for.
const MIN_FLOWS: u32 = 1024;
const MAX_FLOWS: u32 = MAX_SETS * 4;
const _: () = assert!(WAYS == 4);
/// Fewer cells than this tell nothing.
const MIN_CELLS: u32 = 16;
/// A shorter deadline of `deliver` would end before its span of 800 ms.
const MIN_DELIVER: Duration = Duration::from_secs(1);

/// What the tables have room for.
pub fn sizes(section: &Section<'_>) -> Sizes {
    let default = Sizes::default();
    let flows = || value::integer(MIN_FLOWS, MAX_FLOWS);
    Sizes {
        connections: section
            .read("connections", flows())
            .unwrap_or(default.connections),
        exchanges: section
            .read("exchanges", flows())
            .unwrap_or(default.exchanges),
        cells: section
            .read("cells", value::integer(MIN_CELLS, MAX_CELLS))
            .unwrap_or(default.cells),
    }
}

/// The deadlines that kinds of trials have of their own.
pub fn deadlines(detect: &Section<'_>) -> Deadlines {
    let section = detect.inner(
        "deadlines",
        "deadlines = { ... }",
        &Kind::ALL.map(Kind::name),
    );
    let mut deadlines = Deadlines::default();
    for kind in Kind::ALL {
        let least = if kind == Kind::Deliver {
            MIN_DELIVER
        } else {
            Duration::from_millis(10)
        };
        let bounds = value::duration(least, Duration::from_mins(1));
        if let Some(deadline) = section.read(kind.name(), bounds) {
            deadlines.set(kind, deadline);
        }
    }
    deadlines
}

/// A kind of tunnel, and where its port stands if it is in UDP.
struct Known {
    name: &'static str,
    bit: u32,
    port: Option<usize>,
}

const KNOWN: [Known; 6] = [
    Known::over_ip("ipip", Tunnels::IP),
    Known::over_ip("gre", Tunnels::GRE),
    Known::over_udp("fou", Tunnels::FOU, 0),
    Known::over_udp("gue", Tunnels::GUE, 1),
    Known::over_udp("vxlan", Tunnels::VXLAN, 2),
    Known::over_udp("geneve", Tunnels::GENEVE, 3),
];

impl Known {
    const fn over_ip(name: &'static str, bit: u32) -> Self {
        Self {
            name,
            bit,
            port: None,
        }
    }

    const fn over_udp(name: &'static str, bit: u32, port: usize) -> Self {
        Self {
            name,
            bit,
            port: Some(port),
        }
    }
}

/// The tunnels of the interfaces, and the UDP ports that they have on all of them.
pub fn tunnels(
    sections: &[Section<'_>],
    measured: &Interfaces,
    interface_exists: &dyn Fn(&str) -> bool,
    findings: &Findings,
) -> InterfaceTunnels {
    let mut reader = Reader {
        findings,
        ports: [const { None }; 4],
    };
    let mut names: BTreeMap<String, Range<usize>> = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    for section in sections {
        let name = section.require("name", "\"eth0\"", value::name);
        let carried = reader.read(section);
        let Some(name) = name else {
            continue;
        };
        if let Some(first) = names.insert(name.get_ref().clone(), name.span()) {
            findings.push(
                Finding::new(
                    name.span(),
                    format!("interface `{}` is configured twice", name.get_ref()),
                    "again",
                    "put all its tunnels into one list",
                )
                .with_context(first, "first here"),
            );
        } else if !interface_exists(name.get_ref()) {
            findings.push(Finding::new(
                name.span(),
                format!("interface `{}` does not exist on this host", name.get_ref()),
                "no such interface",
                "write a name that `ip -brief link` shows",
            ));
        } else if let Interfaces::Named(measured) = measured
            && !measured.contains(name.get_ref())
        {
            findings.push(Finding::new(
                name.span(),
                format!("interface `{}` is not measured", name.get_ref()),
                "not among `interfaces` of [daemon]",
                "add it there, or remove this section",
            ));
        }
        kinds.insert(name.into_inner(), carried);
    }
    InterfaceTunnels {
        kinds,
        ports: reader.ports(),
    }
}

/// Reads lists of tunnels, and remembers the ports.
struct Reader<'a> {
    findings: &'a Findings,
    ports: [Option<(u16, Range<usize>)>; 4],
}

impl Reader<'_> {
    fn read(&mut self, section: &Section<'_>) -> u32 {
        const HELP: &str = "write a list such as [\"ipip\", \"vxlan:8472\"]";
        let Some(value) = section.raw("tunnels") else {
            return 0;
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.findings.push(Finding::new(
                value.span(),
                "`tunnels` must be a list",
                "not a list",
                HELP,
            ));
            return 0;
        };
        let mut kinds = 0;
        for item in items {
            match tunnel(Value::new(item.get_ref())) {
                Ok((known, port)) => {
                    kinds |= known.bit;
                    self.note(known, port, item);
                }
                Err(fault) => self.findings.push(Finding::new(
                    item.span(),
                    format!("a tunnel {}", fault.problem),
                    fault.label,
                    fault.help,
                )),
            }
        }
        kinds
    }

    /// A kind has one port on the whole host, and a port one kind.
    fn note(&mut self, known: &Known, port: Option<u16>, item: &Spanned<DeValue<'_>>) {
        let Some(place) = known.port else {
            return;
        };
        let port = port.unwrap_or(Tunnels::PORTS[place]);
        let conflict = self.ports.iter().enumerate().find_map(|(other, noted)| {
            let (noted, first) = noted.as_ref()?;
            ((other == place) != (*noted == port)).then(|| (*noted, first.clone()))
        });
        if let Some((noted, first)) = conflict {
            let (title, help) = if noted == port {
                (
                    format!("UDP port {port} is that of two kinds of tunnels"),
                    "give each kind its own port",
                )
            } else {
                (
                    format!("two UDP ports for {}: {noted} and {port}", known.name),
                    "a kind of tunnel has one port on the whole host: use the same everywhere",
                )
            };
            self.findings.push(
                Finding::new(item.span(), title, "differs", help).with_context(first, "first here"),
            );
        } else {
            self.ports[place] = Some((port, item.span()));
        }
    }

    fn ports(self) -> [u16; 4] {
        let mut ports = Tunnels::PORTS;
        for (port, noted) in ports.iter_mut().zip(self.ports) {
            if let Some((noted, _)) = noted {
                *port = noted;
            }
        }
        ports
    }
}

/// `vxlan` or `vxlan:8472`.
fn tunnel(value: Value<'_>) -> Result<(&'static Known, Option<u16>), Fault> {
    let written = value.text("\"vxlan\"")?;
    let (kind, port) = match written.split_once(':') {
        Some((kind, port)) => (kind, Some(port)),
        None => (written, None),
    };
    let names = KNOWN.map(|known| known.name);
    let known = KNOWN
        .iter()
        .find(|known| known.name == kind)
        .ok_or_else(|| {
            let help = match nearest(kind, &names) {
                Some(near) => format!("did you mean `{near}`? Known are {}", list(&names)),
                None => format!("known are {}", list(&names)),
            };
            Fault::new(format!("cannot be `{kind}`"), "not a known kind", help)
        })?;
    let Some(port) = port else {
        return Ok((known, None));
    };
    if known.port.is_none() {
        return Err(Fault::new(
            format!("of kind `{kind}` has no port"),
            "it is carried by IP itself",
            format!("write `{kind}`"),
        ));
    }
    let port = port.parse().ok().filter(|port| *port != 0);
    port.map(|port| (known, Some(port))).ok_or_else(|| {
        Fault::new(
            "has a port that is none",
            "not from 1 to 65535",
            format!(
                "write it like `{kind}:{}`",
                Tunnels::PORTS[known.port.unwrap_or(0)]
            ),
        )
    })
}
