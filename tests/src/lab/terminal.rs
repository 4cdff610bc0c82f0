//! A real terminal at a node: tmux with a server of its own, and a shell in its one window.
//!
//! ```text
//! test ── tmux send-keys ────▶ tmux server ── pty ── sh ── what it starts
//!      ◀─ tmux capture-pane ──  at the node, ends with it
//! ```

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::{
    netns::{Namespace, Process},
    wait_until,
};

const SOCKET: &str = "/run/lab/tmux";
const STARTS_WITHIN: Duration = Duration::from_secs(10);
/// The shell's prompt: there, it waits for a command.
const PROMPT: &str = "ready$ ";

/// One terminal. Its server, and all that runs in it, ends when it is dropped.
pub struct Terminal<'a> {
    node: &'a Namespace,
    _server: Process,
}

impl<'a> Terminal<'a> {
    /// Opens one of this size, with a shell that waits for commands.
    pub fn open(node: &'a Namespace, columns: u16, lines: u16) -> Result<Self> {
        // Also makes the directory. No keys of tmux's own, no line of status.
        let config = "/run/lab/tmux.conf";
        node.write(config, "set -g status off\nset -g escape-time 0\n")?;
        let mut command = tmux();
        command.args(["-D", "-f", config]);
        let server = node.spawn("tmux", command)?;
        let terminal = Self {
            node,
            _server: server,
        };
        wait_until("tmux listens", STARTS_WITHIN, || {
            Ok(node.path(SOCKET).exists())
        })?;
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let prompt = format!("PS1={PROMPT}");
        terminal.ask(&[
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &lines,
            "env",
            "-i",
            &prompt,
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL=C.UTF-8",
            "TERM=screen-256color",
            "sh",
        ])?;
        terminal.wait_for(PROMPT.trim(), STARTS_WITHIN)?;
        Ok(terminal)
    }

    /// Has the shell run a command.
    pub fn run(&self, command: &str) -> Result<()> {
        self.ask(&["send-keys", "-l", command])?;
        self.press(&["Enter"])
    }

    /// Presses keys, by tmux's names of them.
    pub fn press(&self, keys: &[&str]) -> Result<()> {
        self.ask(&[&["send-keys"], keys].concat()).map(drop)
    }

    /// What is on the screen.
    pub fn screen(&self) -> Result<String> {
        self.ask(&["capture-pane", "-p"])
    }

    /// Waits until the screen shows `wanted`.
    pub fn wait_for(&self, wanted: &str, timeout: Duration) -> Result<()> {
        self.wait_until(&format!("{wanted:?} on the screen"), timeout, |screen| {
            screen.contains(wanted)
        })
    }

    /// Waits until the screen is as it should be.
    pub fn wait_until(
        &self,
        what: &str,
        timeout: Duration,
        is_so: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let mut screen = String::new();
        wait_until(what, timeout, || {
            screen = self.screen()?;
            Ok(is_so(&screen))
        })
        .with_context(|| format!("it shows\n{screen}"))
    }

    /// Gives it another size.
    pub fn resize(&self, columns: u16, lines: u16) -> Result<()> {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.ask(&["resize-window", "-x", &columns, "-y", &lines])
            .map(drop)
    }

    /// Waits until the shell is back, in a terminal as it was: its own screen, a cursor, and
    /// lines that are edited and echoed.
    pub fn wait_restored(&self, timeout: Duration) -> Result<()> {
        let last = PROMPT.trim();
        self.wait_until("the shell waits for a command", timeout, |screen| {
            screen.trim_end().ends_with(last)
        })?;
        let flags = self.ask(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"])?;
        if flags.trim() != "0 1" {
            bail!("the screen was not given back: {flags}");
        }
        self.run("clear; stty -a | tr ' ' '\\n' | grep -xE 'icanon|echo|isig' | sort | xargs")?;
        self.wait_for("echo icanon isig", timeout)
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tmux();
        command.args(arguments);
        self.node.run_with_input(command, "")
    }
}

/// The program, for this terminal's server.
fn tmux() -> Command {
    let mut command = Command::new("tmux");
    command
        .args(["-u", "-S", SOCKET])
        .env("LC_ALL", "C.UTF-8")
        .env_remove("TMUX");
    command
}
