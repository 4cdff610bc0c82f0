//! What to do about one prefix, as a pure state machine.
//!
//! In flow the wanted level, what the kernel's table holds for the prefix, and the
//! time; out flow [`Change`]s to the table. There is no IO here, so that every
//! quarrel with another program can be tested without a kernel.
//!
//! A route is **ours** if it carries one of our route protocol numbers in our table;
//! every other one is foreign and is never touched. BIRD learns by the same numbers,
//! so the [`Level`] of a prefix is what stands in the table under them, whoever put
//! it there.
//!
//! ```text
//!              nothing   ours, as wanted   ours, other level or kind   foreign at our metric
//! announced    Add       -                 Replace, in place           blocked
//! withdrawn    -         Remove            Remove                      -
//! ```
//!
//! A replacement is one UPDATE on the wire and no withdraw; the metric must stay, as
//! it is part of the route's key.

use probe_core::{Level, Timestamp};

use super::{
    contest::Contest,
    route::{Own, Route},
};

/// One change of the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Add this route of ours; fails rather than overwrite.
    Add(Route),
    /// Put this route of ours in the place of the one that has its key, which is
    /// ours, too.
    Replace(Route),
    /// Remove this route of ours.
    Remove(Route),
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: the table is as wanted, or nothing is wanted yet.
    Rest,
    /// These changes, in this order.
    Make(Vec<Change>),
    /// Nothing can be done: a foreign route holds our key.
    Blocked(Route),
}

impl Plan {
    /// Whether a route is to be put in another one's place.
    pub fn replaces(&self) -> bool {
        match self {
            Self::Rest | Self::Blocked(_) => false,
            Self::Make(changes) => changes
                .iter()
                .any(|change| matches!(change, Change::Replace(_))),
        }
    }
}

/// One prefix: what is wanted and what was seen.
#[derive(Clone, Debug)]
pub struct Reconciler {
    own: Own,
    wanted: Option<Level>,
    routes: Vec<Route>,
    contest: Contest,
}

impl Reconciler {
    /// A prefix of which nothing is wanted and nothing is known.
    pub fn new(own: Own) -> Self {
        Self {
            own,
            wanted: None,
            routes: Vec::new(),
            contest: Contest::default(),
        }
    }

    /// What is wanted; none before the first [`want`](Self::want).
    pub fn wanted(&self) -> Option<Level> {
        self.wanted
    }

    /// From now on this level is wanted.
    pub fn want(&mut self, level: Level) {
        self.wanted = Some(level);
    }

    /// From now on nothing is wanted, and what others do is no quarrel.
    pub fn let_go(&mut self) {
        self.wanted = None;
        self.contest = Contest::default();
    }

    /// The table was read: these are the routes of the prefix, ours and foreign.
    /// Whether they are others than known.
    pub fn observe(&mut self, routes: Vec<Route>) -> bool {
        let changed = self.routes != routes;
        self.routes = routes;
        changed
    }

    /// Whether this route is among those seen last.
    pub fn knows(&self, route: &Route) -> bool {
        self.routes.contains(route)
    }

    /// The kernel acknowledged `change`.
    pub fn made(&mut self, change: Change) {
        match change {
            Change::Add(route) => self.routes.push(route),
            Change::Replace(route) => {
                match self
                    .routes
                    .iter_mut()
                    .find(|old| old.metric == route.metric)
                {
                    Some(old) => *old = route,
                    None => self.routes.push(route),
                }
            }
            Change::Remove(route) => {
                // The kernel compares metric and protocol.
                let removed = self
                    .routes
                    .iter()
                    .position(|old| old.metric == route.metric && old.protocol == route.protocol);
                if let Some(removed) = removed {
                    self.routes.remove(removed);
                }
            }
        }
    }

    /// What the table says to BIRD, which takes the lowest metric.
    pub fn level(&self) -> Level {
        self.routes
            .iter()
            .filter(|route| route.is_learned())
            .filter_map(|route| Some((route.metric, self.own.level_of(route.protocol)?)))
            .min()
            .map_or(Level::Withdrawn, |(_, level)| level)
    }

    /// What is to be done. A fresh wish does it at once, a repair after
    /// [`pause`](Self::pause).
    pub fn plan(&self) -> Plan {
        let Some(wanted) = self.wanted else {
            return Plan::Rest;
        };
        match changes(self.own, wanted, &self.routes) {
            Ok(changes) if changes.is_empty() => Plan::Rest,
            Ok(changes) => Plan::Make(changes),
            Err(foreign) => Plan::Blocked(foreign),
        }
    }

    /// Until when a repair that is due `now` has to wait; none if it may be made.
    pub fn pause(&mut self, now: Timestamp) -> Option<Timestamp> {
        let next = self.contest.next_repair(self.wanted?, now);
        (next > now).then_some(next)
    }

    /// A repair was made, or somebody was faster.
    pub fn repaired(&mut self, now: Timestamp) {
        self.contest.repaired(now);
    }

    /// Whether another program changes the prefix again and again.
    pub fn is_contended(&self) -> bool {
        self.contest.stands()
    }

    /// When that will be over if nothing more happens; none if it is.
    pub fn peace_at(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.contest.over_at(self.wanted?, now)
    }

    /// Foreign routes because of which BIRD would not see ours: it takes the lowest
    /// metric of a prefix before it asks its import filter.
    pub fn hiding(&self) -> impl Iterator<Item = Route> + '_ {
        self.routes.iter().copied().filter(|route| {
            !self.own.made(route) && route.metric <= self.own.metric && route.is_learned()
        })
    }
}

/// The changes that lead from `routes` to `wanted`, or the foreign route that
/// forbids it.
fn changes(own: Own, wanted: Level, routes: &[Route]) -> Result<Vec<Change>, Route> {
    let Some(target) = own.route_at(wanted) else {
        return Ok(removals(routes.iter().filter(|route| own.made(route))));
    };
    let mut changes = Vec::new();
    let mut at_key = routes.iter().filter(|route| route.metric == own.metric);
    let mut rest: Vec<&Route> = routes.iter().collect();
    if !at_key.clone().any(|route| *route == target) {
        // Replacing takes the first route of the key, whoever made it.
        if let Some(foreign) = at_key.clone().find(|route| !own.made(route)) {
            return Err(*foreign);
        }
        changes.push(match at_key.next() {
            Some(replaced) => {
                rest.retain(|route| !core::ptr::eq(*route, replaced));
                Change::Replace(target)
            }
            None => Change::Add(target),
        });
    }
    // What else says another level goes after ours stands, so that the prefix is
    // announced throughout.
    changes
        .extend(removals(rest.into_iter().filter(|route| {
            own.made(route) && route.protocol != target.protocol
        })));
    Ok(changes)
}

fn removals<'a>(routes: impl Iterator<Item = &'a Route>) -> Vec<Change> {
    let mut routes: Vec<Route> = routes.copied().collect();
    // Lowest last: a removal of metric 0 names no metric to the kernel, so it must
    // be the only one left of its number.
    routes.sort_by_key(|route| core::cmp::Reverse(route.metric));
    routes.into_iter().map(Change::Remove).collect()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
