//! Writes `show route` questions and reads their answers.

use core::fmt;

use ipnet::IpNet;

use super::{name::Name, reply::Line};

const ROUTE: u16 = 1007;
const ATTRIBUTES: [u16; 2] = [1008, 1012];
/// The kernel's route protocol number, by BIRD 2 and by BIRD 3.
const SOURCE: [&str; 2] = ["Kernel.source", "krt_source"];

/// Which routes to show.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// Of which networks.
    pub lookup: Lookup,
    /// Of which table.
    pub table: &'a Name,
    /// Only of this protocol.
    pub protocol: Option<&'a Name>,
    /// Only what this protocol exports: its session is up, and its filter accepts
    /// them.
    pub export: Option<&'a Name>,
}

/// Which networks to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// This one.
    Exact(IpNet),
    /// The smallest that contains this one.
    Longest(IpNet),
}

impl fmt::Display for Selection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lookup {
            Lookup::Exact(prefix) => write!(f, "show route {prefix}")?,
            Lookup::Longest(prefix) => write!(f, "show route for {prefix}")?,
        }
        write!(f, " table {}", self.table.quoted())?;
        if let Some(protocol) = self.protocol {
            write!(f, " protocol {}", protocol.quoted())?;
        }
        if let Some(export) = self.export {
            write!(f, " export {}", export.quoted())?;
        }
        f.write_str(" all")
    }
}

/// A route as BIRD has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Of which network.
    pub prefix: IpNet,
    /// The protocol that brought it.
    pub origin: Name,
    /// The kernel's route protocol number, of a route that was learned from it.
    pub kernel_source: Option<u8>,
}

/// The routes of an answer. What is not understood is left out.
pub fn read_routes(lines: &[Line]) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    let mut prefix = None;
    // Whether attributes belong to the last route found.
    let mut known = false;
    for Line { code, text } in lines {
        if *code == ROUTE {
            if text.starts_with('\t') || text.starts_with("Table ") {
                continue;
            }
            if !text.starts_with(' ') {
                let network = text.split_whitespace().next();
                prefix = network.and_then(|network| network.parse().ok());
            }
            let route = prefix.zip(origin(text)).map(|(prefix, origin)| Route {
                prefix,
                origin,
                kernel_source: None,
            });
            known = route.is_some();
            routes.extend(route);
        } else if ATTRIBUTES.contains(code)
            && known
            && let Some(route) = routes.last_mut()
            && let Some((key, value)) = text.trim().split_once(':')
            && SOURCE.contains(&key)
        {
            route.kernel_source = value.trim().parse().ok();
        }
    }
    routes
}

/// `... [protocol since from address] ...`
fn origin(row: &str) -> Option<Name> {
    let (_, bracket) = row.split_once('[')?;
    Name::new(bracket.split([' ', ']']).next()?)
}

#[cfg(test)]
mod tests;
