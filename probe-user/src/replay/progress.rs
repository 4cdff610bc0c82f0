//! How far a long reading is, on a terminal only.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    time::{Duration, Instant},
};

/// Nothing is shown before: most captures are done by then.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two updates of the line.
const PERIOD: Duration = Duration::from_millis(200);
/// Packets between two looks at the clock.
const STRIDE: u32 = 4096;

/// A line that says how far the reading is.
pub struct Progress {
    what: &'static str,
    terminal: bool,
    due: Instant,
    calls: u32,
    shown: bool,
}

impl Progress {
    /// Nothing read yet.
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            terminal: stderr().is_terminal(),
            due: Instant::now() + PATIENCE,
            calls: 0,
            shown: false,
        }
    }

    /// Shows how many bytes of how many are read, if it is time to.
    pub fn show(&mut self, (read, of): (u64, u64)) {
        self.calls = self.calls.wrapping_add(1);
        if !self.terminal || !self.calls.is_multiple_of(STRIDE) || Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + PERIOD;
        self.shown = true;
        let percent = (read.saturating_mul(100)).checked_div(of).unwrap_or(100);
        // A terminal that has gone needs no progress.
        let _ = write!(stderr(), "\r{}: {} %\x1b[K", self.what, percent.min(100));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
