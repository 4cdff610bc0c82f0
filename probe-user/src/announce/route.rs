//! A route as route control sees it: its place, its maker, what it does, and
//! whether it is ours.

use core::fmt;

use probe_core::Level;

/// Route protocol numbers that BIRD does not learn: unspec, redirect, kernel, BIRD.
const NOT_LEARNED: [u8; 4] = [0, 1, 2, 12];

/// What makes a route ours: in our table, one of these protocol numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// The route protocol number of the level `full`.
    pub full: u8,
    /// The route protocol number of the level `degraded`.
    pub degraded: u8,
    /// The metric, part of the route's key.
    pub metric: u32,
}

impl Own {
    /// Whether lapwing made this route.
    pub fn made(self, route: &Route) -> bool {
        self.level_of(route.protocol).is_some()
    }

    /// The level that a route protocol number says; none for a foreign one.
    pub fn level_of(self, protocol: u8) -> Option<Level> {
        if protocol == self.full {
            Some(Level::Full)
        } else if protocol == self.degraded {
            Some(Level::Degraded)
        } else {
            None
        }
    }

    /// The route that says a level; none stands for withdrawn.
    pub fn route_at(self, level: Level) -> Option<Route> {
        let protocol = match level {
            Level::Full => self.full,
            Level::Degraded => self.degraded,
            Level::Withdrawn => return None,
        };
        Some(Route {
            metric: self.metric,
            protocol,
            kind: Kind::Blackhole,
        })
    }
}

/// A route of a prefix in our table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its metric.
    pub metric: u32,
    /// Its route protocol number: who made it.
    pub protocol: u8,
    /// What it does with packets.
    pub kind: Kind,
}

impl Route {
    /// Whether BIRD takes it from the table at all, before it asks a filter.
    pub fn is_learned(&self) -> bool {
        self.kind.is_learned() && !NOT_LEARNED.contains(&self.protocol)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            metric,
            protocol,
            kind,
        } = self;
        write!(f, "{kind} route of protocol {protocol}, metric {metric}")
    }
}

/// What a route does with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Drops them; the kind of our routes.
    Blackhole,
    /// Answers with ICMP host unreachable.
    Unreachable,
    /// Answers with ICMP administratively prohibited.
    Prohibit,
    /// Forwards them.
    Unicast,
    /// A kind that BIRD does not learn (local, throw, ...), by its number.
    Other(u8),
}

impl Kind {
    fn is_learned(self) -> bool {
        match self {
            Self::Blackhole | Self::Unreachable | Self::Prohibit | Self::Unicast => true,
            Self::Other(_) => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blackhole => f.write_str("blackhole"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Prohibit => f.write_str("prohibit"),
            Self::Unicast => f.write_str("unicast"),
            Self::Other(number) => write!(f, "type-{number}"),
        }
    }
}
