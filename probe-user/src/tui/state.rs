//! All that the screen shows: answers, silences and keys flow in; what is shown flows out.
//! Neither clock nor terminal is asked here.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use ratatui::crossterm::event::KeyModifiers;

use super::{
    Error, Event,
    ask::Told,
    filter::Filter,
    keys::{self, Wish},
    list::{List, Move},
};
use crate::{
    control,
    status::troubles::{Severity, Subject, Trouble, troubles},
};

/// The daemon's loop tells each second what it sees; one that has not for so long hangs.
const STALE_AFTER: Duration = Duration::from_secs(5);

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

    fn step(self, by: usize) -> Self {
        Self::ALL[(self as usize + by) % Self::ALL.len()]
    }
}

/// What is shown instead of the panes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sheet {
    /// The keys.
    Help,
    /// All about a prefix.
    Prefix(String),
    /// All about a service.
    Service(String),
    /// All about a decision, by its number.
    Decision(u64),
    /// All about the daemon itself.
    Daemon,
}

/// A sheet, and how far it was scrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Which.
    pub sheet: Sheet,
    /// The first line that is shown.
    pub offset: usize,
    lines: usize,
    height: usize,
}

/// That the daemon is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// When it was heard last; never, if none.
    pub since: Option<SystemTime>,
    /// Why, and what to do.
    pub why: String,
}

/// What is known of the daemon.
#[derive(Debug)]
pub struct Known {
    /// What it told.
    pub told: Told,
    /// What is wrong, worst first.
    pub troubles: Vec<Trouble>,
    worst: BTreeMap<(Subject, String), Severity>,
    /// When its loop told it.
    at: (Instant, SystemTime),
}

impl Known {
    fn new(told: Told, at: (Instant, SystemTime)) -> Self {
        let troubles = troubles(&told.document);
        let mut worst = BTreeMap::new();
        for trouble in &troubles {
            // Worst first, so the first one counts.
            worst
                .entry((trouble.subject, trouble.name.clone()))
                .or_insert(trouble.severity);
        }
        Self {
            told,
            troubles,
            worst,
            at,
        }
    }

    /// The worst that is wrong with a prefix or a service, if anything is.
    pub fn worst(&self, subject: Subject, name: &str) -> Option<Severity> {
        self.worst.get(&(subject, name.to_owned())).copied()
    }

    fn needs_attention(&self, subject: Subject, name: &str) -> bool {
        match self.worst(subject, name) {
            Some(Severity::Fault | Severity::Warning) => true,
            Some(Severity::Advice) | None => false,
        }
    }
}

/// What is to be done after an event.
#[derive(Debug)]
pub enum Next {
    /// Show what there is now.
    Show,
    /// Show all of it, whatever stands on the screen.
    Redraw,
    /// Nothing more.
    End,
    /// Nothing more: it makes no sense to go on.
    Fail(Error),
}

/// All of it.
#[derive(Debug)]
pub struct State {
    /// What is known; nothing before the first answer.
    pub known: Option<Known>,
    /// That there is no answer now, if so.
    pub silence: Option<Silence>,
    /// The chosen pane.
    pub pane: Pane,
    /// What is left out.
    pub filter: Filter,
    /// What is shown instead of the panes, if anything.
    pub opened: Option<Opened>,
    /// The time of day of the last answer or attempt.
    pub now: SystemTime,
    prefixes: Rows,
    services: Rows,
    decisions: Rows,
}

/// The rows of a pane that are shown, and the cursor among them.
#[derive(Debug, Default)]
pub struct Rows {
    /// Their places in what was told, in the order in which they are shown.
    pub places: Vec<usize>,
    /// The cursor.
    pub list: List,
    keys: Vec<String>,
}

impl Rows {
    fn set(&mut self, rows: impl Iterator<Item = (usize, String)>) {
        (self.places, self.keys) = rows.unzip();
        self.list.settle(&self.keys);
    }

    fn selected(&self) -> Option<&String> {
        self.keys.get(self.list.selected())
    }
}

impl State {
    /// Nothing is known yet.
    pub fn new(now: SystemTime) -> Self {
        Self {
            known: None,
            silence: None,
            pane: Pane::Services,
            filter: Filter::default(),
            opened: None,
            now,
            prefixes: Rows::default(),
            services: Rows::default(),
            decisions: Rows::default(),
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, event: Event, at: (Instant, SystemTime)) -> Next {
        match event {
            Event::Answer(Ok(told)) => {
                self.hear(*told, at);
                Next::Show
            }
            // Waiting would not help, and somebody has to be told how to.
            Event::Answer(Err(error @ control::Error::Denied(_))) if self.known.is_none() => {
                Next::Fail(error.into())
            }
            Event::Answer(Err(error)) => {
                self.now = at.1;
                self.silence = Some(self.silence(error.to_string()));
                Next::Show
            }
            Event::Key(key) => {
                // So Escape and a key look that came over the line together.
                let with_escape = key.modifiers.contains(KeyModifiers::ALT);
                if with_escape && !self.go_back() {
                    return Next::Show;
                }
                match keys::wish(key, self.filter.typing) {
                    Some(wish) => self.grant(wish),
                    None => Next::Show,
                }
            }
            // A terminal that was made small and large again has lost what stood there.
            Event::Resized => Next::Redraw,
            Event::Ended => Next::End,
            Event::Lost(error) => Next::Fail(error.into()),
        }
    }

    fn hear(&mut self, told: Told, at: (Instant, SystemTime)) {
        self.now = at.1;
        let is_same = |known: &&Known| {
            let before = &known.told.document;
            // Told by the loop each second, so the same number is the same telling.
            (before.pid, before.uptime_seconds.to_bits())
                == (told.document.pid, told.document.uptime_seconds.to_bits())
        };
        let told_at = self
            .known
            .as_ref()
            .filter(is_same)
            .map_or(at, |same| same.at);
        self.known = Some(Known::new(told, told_at));
        let age = at.0.saturating_duration_since(told_at.0);
        self.silence = (age > STALE_AFTER).then(|| {
            self.silence(
                "It answers, but its deciding loop tells nothing: it hangs, or the machine is overloaded."
                    .to_owned(),
            )
        });
        self.choose();
    }

    fn silence(&self, why: String) -> Silence {
        Silence {
            since: self.known.as_ref().map(|known| known.at.1),
            why,
        }
    }

    fn grant(&mut self, wish: Wish) -> Next {
        match wish {
            Wish::Quit => return Next::End,
            Wish::Back if self.go_back() => {}
            Wish::Back => return Next::End,
            Wish::Go(way) => self.go(way),
            Wish::NextPane => self.pane = self.pane.step(1),
            Wish::PreviousPane => self.pane = self.pane.step(Pane::ALL.len() - 1),
            Wish::Open if self.filter.typing => self.filter.typing = false,
            Wish::Open if self.opened.is_some() => self.opened = None,
            Wish::Open => self.opened = self.sheet().map(Opened::new),
            Wish::Help => self.opened = Some(Opened::new(Sheet::Help)),
            Wish::Redraw => return Next::Redraw,
            Wish::Filter => {
                self.opened = None;
                self.filter.typing = true;
            }
            Wish::Attention => {
                self.filter.attention = !self.filter.attention;
                self.choose();
            }
            Wish::Letter(letter) => {
                self.filter.text.push(letter);
                self.choose();
            }
            Wish::Erase => {
                self.filter.text.pop();
                self.choose();
            }
            Wish::EraseAll => {
                self.filter.text.clear();
                self.choose();
            }
        }
        Next::Show
    }

    /// Closes what is open, or else shows all again; whether there was anything.
    fn go_back(&mut self) -> bool {
        if self.opened.take().is_some() {
            return true;
        }
        let cleared = self.filter.clear();
        if cleared {
            self.choose();
        }
        cleared
    }

    fn go(&mut self, way: Move) {
        if let Some(opened) = &mut self.opened {
            opened.go(way);
            return;
        }
        let rows = match self.pane {
            Pane::Prefixes => &mut self.prefixes,
            Pane::Services => &mut self.services,
            Pane::Decisions => &mut self.decisions,
            Pane::Daemon => return,
        };
        rows.list.go(way, &rows.keys);
    }

    /// All about what is selected.
    fn sheet(&self) -> Option<Sheet> {
        self.known.as_ref()?;
        match self.pane {
            Pane::Prefixes => self.prefixes.selected().cloned().map(Sheet::Prefix),
            Pane::Services => self.services.selected().cloned().map(Sheet::Service),
            Pane::Decisions => {
                let number = self.decisions.selected()?.parse();
                number.ok().map(Sheet::Decision)
            }
            Pane::Daemon => Some(Sheet::Daemon),
        }
    }

    /// Chooses the rows that are shown.
    fn choose(&mut self) {
        let Some(known) = &self.known else {
            return;
        };
        let (filter, told) = (&self.filter, &known.told);
        self.prefixes
            .set(
                told.document
                    .prefixes
                    .iter()
                    .enumerate()
                    .filter_map(|(place, prefix)| {
                        let needed = known.needs_attention(Subject::Prefix, &prefix.prefix);
                        filter
                            .shows_prefix(prefix, needed)
                            .then(|| (place, prefix.prefix.clone()))
                    }),
            );
        self.services
            .set(
                told.document
                    .services
                    .iter()
                    .enumerate()
                    .filter_map(|(place, service)| {
                        let needed = known.needs_attention(Subject::Service, &service.name);
                        filter
                            .shows_service(service, needed)
                            .then(|| (place, service.name.clone()))
                    }),
            );
        let decisions = told.decisions.iter().enumerate().rev();
        self.decisions.set(
            decisions
                .filter(|(_, decision)| filter.shows_decision(decision))
                .map(|(place, decision)| (place, decision.seq.to_string())),
        );
    }

    /// The rows of a pane; the daemon has none.
    pub fn rows(&self, pane: Pane) -> Option<&Rows> {
        match pane {
            Pane::Prefixes => Some(&self.prefixes),
            Pane::Services => Some(&self.services),
            Pane::Decisions => Some(&self.decisions),
            Pane::Daemon => None,
        }
    }

    /// There is room for so many rows of a pane.
    pub fn fit(&mut self, pane: Pane, height: usize) {
        let rows = match pane {
            Pane::Prefixes => &mut self.prefixes,
            Pane::Services => &mut self.services,
            Pane::Decisions => &mut self.decisions,
            Pane::Daemon => return,
        };
        rows.list.fit(height, rows.places.len());
    }
}

impl Opened {
    fn new(sheet: Sheet) -> Self {
        Self {
            sheet,
            offset: 0,
            lines: 0,
            height: 0,
        }
    }

    fn go(&mut self, way: Move) {
        let last = self.lines.saturating_sub(self.height);
        self.offset = way.from(self.offset, last + 1, self.height);
    }

    /// There is room for so many of its lines.
    pub fn fit(&mut self, height: usize, lines: usize) {
        (self.height, self.lines) = (height, lines);
        self.offset = self.offset.min(lines.saturating_sub(height));
    }
}

#[cfg(test)]
pub(crate) mod tests;
