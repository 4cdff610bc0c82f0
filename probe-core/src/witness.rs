//! Who else announces a prefix, as this host hears it over BGP. In flow the levels of
//! other hosts, or that they cannot be believed now; out flow whether there is a
//! refuge for clients if this host withdraws, and since when nobody else announces.
//!
//! Only a host at level full is a refuge: one that is degraded may be held back by its
//! own guard, or be about to withdraw.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{level::Level, time::Timestamp};

/// Another host that may announce a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Other {
    /// The name of its site.
    pub site: String,
    /// Its own name.
    pub host: String,
    /// Whether its site is ours: a neighbour in the rack.
    pub is_neighbour: bool,
    /// What is heard from it.
    pub heard: Heard,
}

/// What is heard from another host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// It announces at this level; withdrawn, if it does not.
    Level(Level),
    /// Nothing that could be believed, and why.
    Stale(String),
}

impl Other {
    /// Its level, if that can be believed.
    pub fn level(&self) -> Option<Level> {
        match self.heard {
            Heard::Level(level) => Some(level),
            Heard::Stale(_) => None,
        }
    }

    /// "ams1/edge1 degraded", "ams1/edge1 stale (BIRD does not answer)".
    pub fn sentence(&self) -> String {
        let Self { site, host, .. } = self;
        match &self.heard {
            Heard::Level(level) => format!("{site}/{host} {level}"),
            Heard::Stale(why) => format!("{site}/{host} stale ({why})"),
        }
    }
}

/// Where clients would find the prefix without this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuge {
    /// At another site.
    Site,
    /// At this site, on another host.
    Neighbour,
    /// Nowhere: nobody else announces it at level full.
    Nowhere,
    /// Nowhere, as far as is known; but not all others can be believed.
    Unknown,
}

impl Refuge {
    /// The best one that these offer.
    pub fn among(others: &[Other]) -> Self {
        let full = |neighbour: bool| {
            others
                .iter()
                .any(|other| other.is_neighbour == neighbour && other.level() == Some(Level::Full))
        };
        if full(false) {
            Self::Site
        } else if full(true) {
            Self::Neighbour
        } else if others.iter().any(|other| other.level().is_none()) {
            Self::Unknown
        } else {
            Self::Nowhere
        }
    }

    /// Whether there is one.
    pub fn exists(self) -> bool {
        match self {
            Self::Site | Self::Neighbour => true,
            Self::Nowhere | Self::Unknown => false,
        }
    }
}

/// All that is known of the others that may announce one prefix.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    others: Vec<Other>,
    /// The last level of each that could be believed.
    known: BTreeMap<(String, String), Level>,
    nobody_since: Option<Timestamp>,
}

impl Witness {
    /// Takes what is heard now. Says whether the level of any of them is another one
    /// than before, so that traffic comes or leaves.
    pub fn hear(&mut self, others: Vec<Other>, now: Timestamp) -> bool {
        let mut changed = false;
        for other in &others {
            if let Some(level) = other.level() {
                let name = (other.site.clone(), other.host.clone());
                let before = self.known.insert(name, level);
                changed |= before.is_some_and(|before| before != level);
            }
        }
        let nobody = !others.is_empty()
            && others
                .iter()
                .all(|other| other.level() == Some(Level::Withdrawn));
        self.nobody_since = nobody.then(|| self.nobody_since.unwrap_or(now));
        self.others = others;
        changed
    }

    /// Who else there is.
    pub fn others(&self) -> &[Other] {
        &self.others
    }

    /// Where clients would find the prefix.
    pub fn refuge(&self) -> Refuge {
        Refuge::among(&self.others)
    }

    /// Since when all others are surely withdrawn; none if one announces, or may.
    pub fn nobody_since(&self) -> Option<Timestamp> {
        self.nobody_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(site: &str, heard: Heard) -> Other {
        Other {
            site: site.into(),
            host: "edge1".into(),
            is_neighbour: site == "fra1",
            heard,
        }
    }

    fn stale() -> Heard {
        Heard::Stale("BIRD does not answer".into())
    }

    #[test]
    fn only_who_is_full_is_a_refuge() {
        let level = Heard::Level;
        for (fra1, ams1, refuge, is_nobody) in [
            (
                level(Level::Withdrawn),
                level(Level::Full),
                Refuge::Site,
                false,
            ),
            (level(Level::Full), level(Level::Full), Refuge::Site, false),
            (
                level(Level::Full),
                level(Level::Degraded),
                Refuge::Neighbour,
                false,
            ),
            (level(Level::Full), stale(), Refuge::Neighbour, false),
            (stale(), level(Level::Full), Refuge::Site, false),
            (
                level(Level::Degraded),
                level(Level::Degraded),
                Refuge::Nowhere,
                false,
            ),
            (level(Level::Withdrawn), stale(), Refuge::Unknown, false),
            (
                level(Level::Withdrawn),
                level(Level::Withdrawn),
                Refuge::Nowhere,
                true,
            ),
        ] {
            let mut witness = Witness::default();
            let now = Timestamp::from_nanos(7);
            witness.hear(vec![other("fra1", fra1), other("ams1", ams1)], now);
            assert_eq!(witness.refuge(), refuge, "{:?}", witness.others());
            assert_eq!(witness.nobody_since(), is_nobody.then_some(now));
        }
        let unheard = Witness::default();
        assert_eq!(unheard.refuge(), Refuge::Nowhere);
        assert_eq!(unheard.nobody_since(), None, "nobody was asked");
    }

    #[test]
    fn a_pause_in_hearing_is_no_change_of_level() {
        let mut witness = Witness::default();
        let mut hear =
            |heard, at| witness.hear(vec![other("ams1", heard)], Timestamp::from_nanos(at));
        assert!(!hear(Heard::Level(Level::Full), 1), "the first");
        assert!(!hear(stale(), 2));
        assert!(!hear(Heard::Level(Level::Full), 3));
        assert!(hear(Heard::Level(Level::Withdrawn), 4));
        assert!(!hear(Heard::Level(Level::Withdrawn), 5));
        assert_eq!(witness.nobody_since(), Some(Timestamp::from_nanos(4)));
        assert_eq!(witness.others()[0].sentence(), "ams1/edge1 withdrawn");
    }
}
