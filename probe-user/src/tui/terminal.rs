//! The terminal: taken when the screen begins, given back however it ends.
//!
//! ```text
//! keys, sizes ── thread ──▶ ┐
//! SIGTERM, … ─── thread ──▶ ├ events
//! answers ────── thread ──▶ ┘
//! ```

use std::{
    io::{self, BufWriter, Stdout},
    panic, process,
    sync::mpsc::Sender,
    thread,
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};
use ratatui::{
    Terminal,
    backend::{Backend, CrosstermBackend},
    buffer::Buffer,
    crossterm::{
        cursor,
        event::{self, Event as Heard},
        execute, terminal,
    },
};

use super::Event;

/// A page on a large screen is a few kilobytes, and is to be one write.
const PAGE_BYTES: usize = 1 << 14;
/// A terminal that takes nothing more, behind a dead line, is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The terminal while it is ours.
#[derive(Debug)]
pub struct Session {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Session {
    /// Takes it. A panic on whatever thread gives it back, and ends the program: half of it
    /// is of no use.
    pub fn begin() -> io::Result<Self> {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |about| {
            give_back();
            tell(about);
            process::exit(101);
        }));
        terminal::enable_raw_mode()?;
        let out = BufWriter::with_capacity(PAGE_BYTES, io::stdout());
        let entered = execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)
            .and_then(|()| Terminal::new(CrosstermBackend::new(out)));
        match entered {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// What can be drawn on.
    pub fn screen(&mut self) -> &mut Terminal<CrosstermBackend<BufWriter<Stdout>>> {
        &mut self.terminal
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        give_back();
    }
}

/// Leaves the terminal as it was. What fails is tried in vain on one that is gone.
fn give_back() {
    let _ = execute!(io::stdout(), terminal::LeaveAlternateScreen, cursor::Show);
    let _ = terminal::disable_raw_mode();
}

/// What stands on the screen. Nothing is written when nothing changed, not even that the
/// cursor is hidden: that is what a line to a far host is spared.
#[derive(Debug, Default)]
pub struct Shown(Buffer);

impl Shown {
    /// Shows a page.
    pub fn show<B: Backend>(
        &mut self,
        terminal: &mut Terminal<B>,
        draw: impl FnOnce(&mut Buffer),
    ) -> Result<(), B::Error> {
        terminal.autoresize()?;
        let mut page = Buffer::empty(terminal.get_frame().area());
        draw(&mut page);
        if page == self.0 {
            return Ok(());
        }
        terminal.draw(|frame| {
            // One of another size comes with an event, after which this is drawn again.
            if frame.area() == page.area {
                frame.buffer_mut().clone_from(&page);
            }
        })?;
        self.0 = page;
        Ok(())
    }

    /// Clears the screen: the next page is written whole.
    pub fn forget<B: Backend>(&mut self, terminal: &mut Terminal<B>) -> Result<(), B::Error> {
        self.0 = Buffer::default();
        terminal.autoresize()?;
        let area = terminal.get_frame().area();
        // Not `clear`: it asks the terminal where its cursor is, and the thread that reads
        // keys would get the answer.
        terminal.resize(area)
    }
}

/// Blocks the signals that end the program, so that [`wait_for_end`] gets them. To be called
/// before any thread is started.
pub fn hold_signals() -> nix::Result<SigSet> {
    let mut ends = SigSet::empty();
    for signal in [
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
    ] {
        ends.add(signal);
    }
    ends.thread_block()?;
    Ok(ends)
}

/// Waits for one of these signals.
pub fn wait_for_end(ends: SigSet, events: &Sender<Event>) {
    if ends.wait().is_ok() && events.send(Event::Ended).is_ok() {
        // Whoever would end the program may be busy writing to a terminal that takes
        // nothing. What does not have to be written is given back, at least.
        thread::sleep(PATIENCE);
        let _ = terminal::disable_raw_mode();
        process::exit(1);
    }
}

/// Reads keys until there are none any more.
pub fn read_keys(events: &Sender<Event>) {
    loop {
        let event = match event::read() {
            Ok(Heard::Key(key)) => Event::Key(key),
            Ok(Heard::Resize(..)) => Event::Resized,
            Ok(Heard::FocusGained | Heard::FocusLost | Heard::Mouse(_) | Heard::Paste(_)) => {
                continue;
            }
            Err(error) => Event::Lost(error),
        };
        let is_last = matches!(event, Event::Lost(_));
        if events.send(event).is_err() || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io::Write, rc::Rc};

    use ratatui::{TerminalOptions, Viewport, layout::Rect, style::Style};

    use super::*;

    /// A line to a far host: counts what goes over it.
    struct Line(Rc<Cell<usize>>);

    impl Write for Line {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.set(self.0.get() + bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_what_changed_is_written() {
        let written = Rc::new(Cell::new(0));
        let backend = CrosstermBackend::new(Line(Rc::clone(&written)));
        let viewport = Viewport::Fixed(Rect::new(0, 0, 80, 24));
        let mut terminal = Terminal::with_options(backend, TerminalOptions { viewport }).unwrap();
        let mut shown = Shown::default();
        let mut bytes = |text: &str| {
            let before = written.get();
            shown
                .show(&mut terminal, |page| {
                    for y in 0..24 {
                        page.set_string(0, y, "x".repeat(80), Style::new());
                    }
                    page.set_string(0, 0, text, Style::new());
                })
                .unwrap();
            written.get() - before
        };
        assert!(bytes("one") > 24 * 80, "all of it");
        assert_eq!(bytes("one"), 0, "nothing changed");
        let changed = bytes("two");
        assert!(0 < changed && changed < 60, "{changed} bytes");
    }
}
