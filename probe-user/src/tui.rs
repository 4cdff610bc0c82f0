//! `lapwing top`: the live page in a terminal. The daemon's answers and the operator's keys
//! flow in, pages of text flow out.
//!
//! ```text
//! control socket ── ask ──▶ ┐                        ┌─▶ draw ─▶ look ─▶ terminal
//! keys ───────── terminal ─▶├─ state: what is shown ─┤          only what changed
//! signals ────── terminal ─▶┘                        └─▶ end: the terminal as it was
//! ```
//! Everything that could wait for somebody else is on a thread of its own, and what came
//! meanwhile is drawn once: neither a daemon that hangs nor a slow line makes a key wait.

mod ask;
mod draw;
mod filter;
mod keys;
mod known;
mod list;
mod look;
mod opened;
mod panes;
mod state;
mod terminal;
mod verdict;
mod words;

use std::{
    io::{self, IsTerminal as _},
    iter,
    path::PathBuf,
    sync::mpsc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use ratatui::crossterm::event::KeyEvent;

use self::{
    ask::{Asking, Told},
    look::Look,
    state::{Next, State},
    terminal::{Session, Shown},
};
use crate::control;

/// How the screen ends otherwise than by a key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody would see it.
    #[error(
        "`lapwing top` needs a terminal, and its output is none\nhelp: `lapwing status` prints the same once, and with `--json` for programs"
    )]
    NoTerminal,
    /// The daemon will never answer.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The terminal cannot be used.
    #[error("cannot use the terminal: {0}\nhelp: `lapwing status` needs none")]
    Terminal(#[from] io::Error),
}

/// What happens.
#[derive(Debug)]
enum Event {
    /// The daemon answered, or did not.
    Answer(Result<Box<Told>, control::Error>),
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// A signal asks for the end.
    Ended,
    /// The terminal has no more keys.
    Lost(io::Error),
}

/// Shows the daemon at `control`, asked once in every `interval`, until a key or a signal
/// ends it.
pub fn run(control: PathBuf, interval: Duration) -> Result<(), Error> {
    if !io::stdout().is_terminal() {
        return Err(Error::NoTerminal);
    }
    let look = Look::of_environment();
    let ends = terminal::hold_signals().map_err(io::Error::from)?;
    let mut session = Session::begin()?;
    let (events, inbox) = mpsc::channel();
    let asking = Asking { control, interval };
    let (asker, keys, signals) = (events.clone(), events.clone(), events);
    start("ask", move || asking.for_ever(&asker))?;
    start("keys", move || terminal::read_keys(&keys))?;
    start("signals", move || terminal::wait_for_end(ends, &signals))?;

    let mut state = State::new(SystemTime::now());
    let mut shown = Shown::default();
    loop {
        shown.show(session.screen(), |page| draw::draw(page, &mut state, look))?;
        let Ok(event) = inbox.recv() else {
            return Ok(());
        };
        // All that came while the page was written is shown by the next one.
        for event in iter::once(event).chain(inbox.try_iter()) {
            match state.handle(event, (Instant::now(), SystemTime::now())) {
                Next::Show => {}
                Next::Redraw => shown.forget(session.screen())?,
                Next::End => return Ok(()),
                Next::Fail(error) => return Err(error),
            }
        }
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
}
