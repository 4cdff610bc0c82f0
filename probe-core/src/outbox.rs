//! Where the parts of the engine leave their commands, in the order in which they
//! were decided, until the caller takes them.

use std::collections::VecDeque;

use crate::command::{Command, Event};

/// Commands that wait for the caller.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    commands: VecDeque<Command>,
    bursts: u64,
}

impl Outbox {
    /// Adds a command.
    pub fn push(&mut self, command: Command) {
        self.commands.push_back(command);
    }

    /// Asks whether the hooks are in place, once until the caller takes it.
    pub fn ask_for_sensor(&mut self) {
        if !self.commands.contains(&Command::CheckSensor) {
            self.push(Command::CheckSensor);
        }
    }

    /// Adds a line for the journal.
    pub fn record(&mut self, event: Event) {
        self.push(Command::Record(event));
    }

    /// Takes the oldest command.
    pub fn pop(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// A number that no burst of this engine had before.
    pub fn next_burst(&mut self) -> u64 {
        let burst = self.bursts;
        self.bursts += 1;
        burst
    }
}
