//! How far a simulation is, on a terminal only.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    sync::Mutex,
    time::{Duration, Instant},
};

/// Between two updates of the line; nothing is shown before the first.
const PERIOD: Duration = Duration::from_millis(500);

/// A line that says how much is done, and how long the rest may take.
pub struct Progress {
    terminal: bool,
    tasks: f64,
    begun: Instant,
    state: Mutex<State>,
}

struct State {
    done: f64,
    due: Instant,
    shown: bool,
}

impl Progress {
    /// Nothing is done of so many tasks.
    pub fn new(tasks: usize) -> Self {
        let begun = Instant::now();
        Self {
            terminal: stderr().is_terminal(),
            tasks: tasks as f64,
            begun,
            state: Mutex::new(State {
                done: 0.0,
                due: begun + PERIOD,
                shown: false,
            }),
        }
    }

    /// This part of a task was done.
    pub fn add(&self, part: f64) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        state.done += part;
        if !self.terminal || Instant::now() < state.due {
            return;
        }
        state.due = Instant::now() + PERIOD;
        state.shown = true;
        let done = (state.done / self.tasks).clamp(0.001, 1.0);
        let left = self.begun.elapsed().as_secs_f64() * (1.0 - done) / done;
        // A terminal that has gone needs no progress.
        let _ = write!(
            stderr(),
            "\rsimulating: {:.0} %, {left:.0} s left\x1b[K",
            done * 100.0
        );
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.state.lock().is_ok_and(|state| state.shown) {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
