//! All that the screen shows: answers, silences and keys flow in; what is shown flows out.
//! Neither clock nor terminal is asked here.

use std::time::{Duration, Instant, SystemTime};

use ratatui::crossterm::event::{KeyEvent, KeyModifiers};

use super::{
    Error, Event,
    ask::Told,
    filter::Filter,
    keys::{self, Wish},
    known::Known,
    list::Move,
    opened::{Opened, Sheet},
    panes::{Pane, Panes},
};
use crate::control;

/// The daemon's loop tells each second what it sees; one that has not for so long hangs.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// That the daemon is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// When it was heard last; never, if none.
    pub since: Option<SystemTime>,
    /// Why, and what to do.
    pub why: String,
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
    /// The rows that are shown.
    pub panes: Panes,
    /// What is left out.
    pub filter: Filter,
    /// What is shown instead of the panes, if anything.
    pub opened: Option<Opened>,
    /// The time of day of the last answer or attempt.
    pub now: SystemTime,
}

impl State {
    /// Nothing is known yet.
    pub fn new(now: SystemTime) -> Self {
        Self {
            known: None,
            silence: None,
            pane: Pane::Services,
            panes: Panes::default(),
            filter: Filter::default(),
            opened: None,
            now,
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
                self.silence = Some(self.silent(error.to_string()));
                Next::Show
            }
            Event::Key(key) => self.press(key),
            // A terminal that was made small and large again has lost what stood there.
            Event::Resized => Next::Redraw,
            Event::Ended => Next::End,
            Event::Lost(error) => Next::Fail(error.into()),
        }
    }

    fn hear(&mut self, told: Told, now: (Instant, SystemTime)) {
        self.now = now.1;
        let known = Known::new(told, self.known.as_ref(), now);
        let age = now.0.saturating_duration_since(known.at.0);
        self.panes.choose(&known, &self.filter);
        self.known = Some(known);
        self.silence = (age > STALE_AFTER).then(|| {
            self.silent(
                "It answers, but its deciding loop tells nothing: it hangs, or the machine is overloaded."
                    .to_owned(),
            )
        });
    }

    fn silent(&self, why: String) -> Silence {
        Silence {
            since: self.known.as_ref().map(|known| known.at.1),
            why,
        }
    }

    fn press(&mut self, key: KeyEvent) -> Next {
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

    fn grant(&mut self, wish: Wish) -> Next {
        match wish {
            Wish::Back if self.go_back() => {}
            Wish::Quit | Wish::Back => return Next::End,
            Wish::Go(way) => self.go(way),
            Wish::NextPane => self.turn_to(self.pane.next()),
            Wish::PreviousPane => self.turn_to(self.pane.previous()),
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

    fn turn_to(&mut self, pane: Pane) {
        self.pane = pane;
        self.opened = None;
    }

    fn go(&mut self, way: Move) {
        if let Some(opened) = &mut self.opened {
            opened.go(way);
        } else if let Some(rows) = self.panes.rows_mut(self.pane) {
            rows.list.go(way, &rows.keys);
        }
    }

    fn choose(&mut self) {
        if let Some(known) = &self.known {
            self.panes.choose(known, &self.filter);
        }
    }

    /// All about what is selected.
    fn sheet(&self) -> Option<Sheet> {
        self.known.as_ref()?;
        let selected = || self.panes.rows(self.pane)?.selected().cloned();
        match self.pane {
            Pane::Prefixes => selected().map(Sheet::Prefix),
            Pane::Services => selected().map(Sheet::Service),
            Pane::Decisions => selected()?.parse().ok().map(Sheet::Decision),
            Pane::Daemon => Some(Sheet::Daemon),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
