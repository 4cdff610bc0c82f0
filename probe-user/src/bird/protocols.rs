//! Reads the answer to `show protocols all`.

use ipnet::IpNet;

use super::{name::Name, reply::Line};

const ROW: u16 = 1002;
const DETAIL: u16 = 1006;

/// One of BIRD's protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// Whether it runs; of BGP: whether the session is established.
    pub up: bool,
    /// The neighbour of a BGP session.
    pub neighbor: Option<String>,
    /// What BIRD says last went wrong.
    pub last_error: Option<String>,
    /// What it exchanges with BIRD's tables. Empty of a pipe, which has two tables.
    pub channels: Vec<Channel>,
}

/// The kinds of protocols that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Exchanges routes with a kernel table.
    Kernel,
    /// A BGP session.
    Bgp,
    /// Any other.
    Other,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of a prefix.
    pub fn of(prefix: IpNet) -> Self {
        match prefix {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }
}

/// What a protocol exchanges with one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Of which family.
    pub family: Family,
    /// With which table.
    pub table: Name,
    /// Whether any route may come in.
    pub imports: bool,
    /// Whether any route may go out.
    pub exports: bool,
}

impl Protocol {
    /// Its channel of a family.
    pub fn channel(&self, family: Family) -> Option<&Channel> {
        self.channels
            .iter()
            .find(|channel| channel.family == family)
    }
}

/// The protocols of an answer. What is not understood is left out.
pub fn read_protocols(lines: &[Line]) -> Vec<Protocol> {
    let mut protocols = Vec::new();
    let mut present: Option<Draft> = None;
    for line in lines {
        match line.code {
            ROW => {
                protocols.extend(present.take().map(Draft::finish));
                present = Draft::of_row(&line.text);
            }
            DETAIL => {
                if let Some(draft) = &mut present {
                    draft.detail(&line.text);
                }
            }
            _ => {}
        }
    }
    protocols.extend(present.map(Draft::finish));
    protocols
}

/// A protocol of which not all lines have been read.
struct Draft {
    protocol: Protocol,
    channels: Vec<DraftChannel>,
}

struct DraftChannel {
    family: Option<Family>,
    table: Option<Name>,
    imports: bool,
    exports: bool,
}

impl Draft {
    /// Name, kind, table, state, since, info. Only BGP has a line of its own for how
    /// it really is.
    fn of_row(row: &str) -> Option<Self> {
        let mut words = row.split_whitespace();
        let name = Name::new(words.next()?)?;
        let kind = match words.next()? {
            "Kernel" => Kind::Kernel,
            "BGP" => Kind::Bgp,
            _ => Kind::Other,
        };
        let state = words.nth(1)?;
        Some(Self {
            protocol: Protocol {
                name,
                kind,
                up: state == "up" && kind != Kind::Bgp,
                neighbor: None,
                last_error: None,
                channels: Vec::new(),
            },
            channels: Vec::new(),
        })
    }

    fn detail(&mut self, text: &str) {
        let text = text.trim();
        if let Some(channel) = text.strip_prefix("Channel ") {
            self.channels.push(DraftChannel {
                family: match channel {
                    "ipv4" => Some(Family::V4),
                    "ipv6" => Some(Family::V6),
                    _ => None,
                },
                table: None,
                imports: true,
                exports: true,
            });
            return;
        }
        let Some((key, value)) = text.split_once(':') else {
            return;
        };
        let value = value.trim();
        match (key, self.channels.last_mut()) {
            ("BGP state", _) => self.protocol.up = value == "Established",
            ("Neighbor address", _) => self.protocol.neighbor = Some(value.to_owned()),
            ("Last error", _) => self.protocol.last_error = Some(value.to_owned()),
            ("Table", Some(channel)) => channel.table = Name::new(value),
            ("Input filter", Some(channel)) => channel.imports = value != "REJECT",
            ("Output filter", Some(channel)) => channel.exports = value != "REJECT",
            (_, _) => {}
        }
    }

    fn finish(self) -> Protocol {
        let channels = self.channels.into_iter().filter_map(|channel| {
            Some(Channel {
                family: channel.family?,
                table: channel.table?,
                imports: channel.imports,
                exports: channel.exports,
            })
        });
        Protocol {
            channels: channels.collect(),
            ..self.protocol
        }
    }
}

#[cfg(test)]
mod tests;
