//! The panes, and which rows they show: what is known and what is left out flow in.

use super::{filter::Filter, known::Known, list::List};
use crate::status::troubles::Subject;

/// A part of the screen that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// The prefixes.
    Prefixes,
    /// The services.
    Services,
    /// The newest decisions and holds.
    Decisions,
    /// Hooks, BIRD, configuration, journal, orders.
    Daemon,
}

impl Pane {
    /// All of them, from top to bottom.
    pub const ALL: [Self; 4] = [
        Self::Prefixes,
        Self::Services,
        Self::Decisions,
        Self::Daemon,
    ];

    /// The next one; after the last, the first.
    pub fn next(self) -> Self {
        match self {
            Self::Prefixes => Self::Services,
            Self::Services => Self::Decisions,
            Self::Decisions => Self::Daemon,
            Self::Daemon => Self::Prefixes,
        }
    }

    /// The one before; before the first, the last.
    pub fn previous(self) -> Self {
        match self {
            Self::Prefixes => Self::Daemon,
            Self::Services => Self::Prefixes,
            Self::Decisions => Self::Services,
            Self::Daemon => Self::Decisions,
        }
    }
}

/// The rows of a pane that are shown, and the cursor among them.
#[derive(Debug, Default)]
pub struct Rows {
    /// Their places in what was told, in the order in which they are shown.
    pub places: Vec<usize>,
    /// What they are called.
    pub keys: Vec<String>,
    /// The cursor.
    pub list: List,
}

impl Rows {
    fn set(&mut self, rows: impl Iterator<Item = (usize, String)>) {
        (self.places, self.keys) = rows.unzip();
        self.list.settle(&self.keys);
    }

    /// What the selected one is called.
    pub fn selected(&self) -> Option<&String> {
        self.keys.get(self.list.selected())
    }
}

/// The rows of all panes.
#[derive(Debug, Default)]
pub struct Panes {
    prefixes: Rows,
    services: Rows,
    decisions: Rows,
}

impl Panes {
    /// The rows of a pane; the daemon has none.
    pub fn rows(&self, pane: Pane) -> Option<&Rows> {
        match pane {
            Pane::Prefixes => Some(&self.prefixes),
            Pane::Services => Some(&self.services),
            Pane::Decisions => Some(&self.decisions),
            Pane::Daemon => None,
        }
    }

    /// As [`rows`](Self::rows), to move the cursor.
    pub fn rows_mut(&mut self, pane: Pane) -> Option<&mut Rows> {
        match pane {
            Pane::Prefixes => Some(&mut self.prefixes),
            Pane::Services => Some(&mut self.services),
            Pane::Decisions => Some(&mut self.decisions),
            Pane::Daemon => None,
        }
    }

    /// Chooses the rows that are shown.
    pub fn choose(&mut self, known: &Known, filter: &Filter) {
        let document = &known.told.document;
        let prefixes = document.prefixes.iter().enumerate();
        self.prefixes.set(
            prefixes
                .filter(|(_, prefix)| {
                    let needed = known.needs_attention(Subject::Prefix, &prefix.prefix);
                    filter.shows_prefix(prefix, needed)
                })
                .map(|(place, prefix)| (place, prefix.prefix.clone())),
        );
        let services = document.services.iter().enumerate();
        self.services.set(
            services
                .filter(|(_, service)| {
                    let needed = known.needs_attention(Subject::Service, &service.name);
                    filter.shows_service(service, needed)
                })
                .map(|(place, service)| (place, service.name.clone())),
        );
        let decisions = known.told.decisions.iter().enumerate().rev();
        self.decisions.set(
            decisions
                .filter(|(_, decision)| filter.shows_decision(decision))
                .map(|(place, decision)| (place, decision.seq.to_string())),
        );
    }
}
