//! What BIRD consists of, as far as Lapwing's prefixes can pass through it.

use crate::bird::{Family, Kind, Name, Protocol};

/// BIRD's protocols.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landscape {
    protocols: Vec<Protocol>,
}

/// A kernel protocol that may learn our routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learner<'a> {
    /// Its name.
    pub name: &'a Name,
    /// Where what it learns stands.
    pub table: &'a Name,
    /// Whether it runs.
    pub up: bool,
}

/// A BGP session that may announce our prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session<'a> {
    /// Its name.
    pub name: &'a Name,
    /// From where it announces.
    pub table: &'a Name,
    /// Whether it is established.
    pub established: bool,
}

impl Landscape {
    /// What these protocols make.
    pub fn new(protocols: Vec<Protocol>) -> Self {
        Self { protocols }
    }

    /// All protocols.
    pub fn protocols(&self) -> &[Protocol] {
        &self.protocols
    }

    /// The kernel protocols that import routes of a family.
    pub fn learners(&self, family: Family) -> impl Iterator<Item = Learner<'_>> {
        self.protocols.iter().filter_map(move |protocol| {
            let channel = protocol.channel(family)?;
            (protocol.kind == Kind::Kernel && channel.imports).then_some(Learner {
                name: &protocol.name,
                table: &channel.table,
                up: protocol.up,
            })
        })
    }

    /// The BGP sessions that export routes of a family.
    pub fn sessions(&self, family: Family) -> impl Iterator<Item = Session<'_>> {
        self.protocols.iter().filter_map(move |protocol| {
            let channel = protocol.channel(family)?;
            (protocol.kind == Kind::Bgp && channel.exports).then_some(Session {
                name: &protocol.name,
                table: &channel.table,
                established: protocol.up,
            })
        })
    }

    /// Whether routes of this protocol come from another router. What does not, was
    /// originated here.
    pub fn is_bgp(&self, name: &Name) -> bool {
        self.protocols
            .iter()
            .any(|protocol| protocol.name == *name && protocol.kind == Kind::Bgp)
    }
}
