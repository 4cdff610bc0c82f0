//! The configuration: a TOML text flows in, [`Settings`] that need no further
//! checking flow out, or a [`Report`] with every mistake that could be found, each
//! with its place in the text and a remedy.
//!
//! ```text
//! text ─▶ toml (places of all keys and values) ─▶ schema: sections, types, defaults, cross checks ─▶ Settings
//!                                                    └─▶ findings ─▶ Report (annotated snippets)
//! ```
//!
//! The whole text is read before anything is judged, so that an operator sees all
//! mistakes at once and nothing runs on half a configuration.

mod difference;
mod journal;
pub mod keys;
mod measure;
mod network;
mod prefixes;
mod probes;
mod questions;
mod report;
mod schema;
mod section;
mod texts;
mod value;
mod witness;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use probe_core::config::{Classify, Config, Guards, Mode, Recover};

use crate::{
    announce::witness::Witness, datapath::Measure, journal::Options as Journal, probe::NoRoots,
};

pub use difference::Difference;
pub use prefixes::usual_application;
pub use probes::default_probe;
pub use report::{Finding, Mistake, Report};

/// Everything the operator wants, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How the daemon itself runs.
    pub daemon: Daemon,
    /// How much of the past the journal keeps.
    pub journal: Journal,
    /// Where routes are set.
    pub route: Route,
    /// How it is measured.
    pub measure: Measure,
    /// Which defaults the probes and detectors of found services use.
    pub detect: probe_core::config::Detect,
    /// So many probes of all services run at once.
    pub max_probes: usize,
    /// Who else announces the prefixes.
    pub witnesses: Vec<Witness>,
    /// What the core decides by. Without prefixes it has no services either; they
    /// are then found on the host.
    pub core: Config,
}

/// How the daemon itself runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// The site's name in journal and status.
    pub site: String,
    /// The host's name in journal and status.
    pub host: String,
    /// How the hooks are attached.
    pub attach: Attach,
    /// Where they are attached.
    pub interfaces: Interfaces,
    /// Where metrics and health are served; always a loopback address.
    pub http: SocketAddr,
    /// The control socket.
    pub control: PathBuf,
    /// Where journal and lock live.
    pub state_dir: PathBuf,
    /// Where links and maps are pinned.
    pub pin_dir: PathBuf,
    /// What happens to the routes when the daemon is asked to stop.
    pub on_exit: OnExit,
    /// What happens to the routes when the daemon does not start any more.
    pub on_watchdog: OnWatchdog,
    /// Whether this host, and no other of all, may withdraw without waiting for others.
    pub goes_first: bool,
}

/// How the hooks are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// Native XDP where that is known to be quiet, else the next best.
    Auto,
    /// Native XDP or nothing.
    Native,
    /// Generic XDP.
    Generic,
    /// No XDP: tc ingress.
    Tc,
}

/// Where the hooks are attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// The interfaces of the default routes.
    Auto,
    /// These.
    Named(Vec<String>),
}

/// What happens to the routes when the daemon is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExit {
    /// They stay: a restart must cause no update.
    Keep,
    /// They are withdrawn.
    Withdraw,
}

/// What happens to the routes when the daemon does not start any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnWatchdog {
    /// They stay.
    Keep,
    /// Every service is asked once by its probe, and what that proves to be dead is
    /// withdrawn.
    Probe,
}

impl OnWatchdog {
    /// The name used in the configuration and in the journal.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Probe => "probe",
        }
    }
}

/// Where routes are set, and who is asked what became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The kernel table that BIRD learns from.
    pub table: u32,
    /// The route protocol number that means "full".
    pub protocol_full: u8,
    /// The route protocol number that means "degraded".
    pub protocol_degraded: u8,
    /// BIRD's control socket, if the file names it.
    pub bird_socket: Option<PathBuf>,
    /// How long a host waits between degrading and withdrawing, so that others hear it.
    pub witness_round: Duration,
}

impl Route {
    /// Where BIRD's control socket is unless the file says otherwise.
    pub const USUAL_BIRD_SOCKET: &str = "/run/bird/bird.ctl";

    /// Where BIRD is asked.
    pub fn bird_socket(&self) -> &Path {
        self.bird_socket
            .as_deref()
            .unwrap_or(Path::new(Self::USUAL_BIRD_SOCKET))
    }
}

impl Settings {
    /// Reads and checks a file. `interface_exists` tells whether this host has an
    /// interface of that name.
    pub fn load(path: &Path, interface_exists: &dyn Fn(&str) -> bool) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::from_bytes(path, &bytes, interface_exists)?)
    }

    fn from_bytes(
        path: &Path,
        bytes: &[u8],
        interface_exists: &dyn Fn(&str) -> bool,
    ) -> Result<Self, Report> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(path, text, interface_exists),
            Err(error) => {
                let good = error.valid_up_to();
                Err(Report::new(
                    path,
                    &String::from_utf8_lossy(bytes),
                    vec![Finding::new(
                        good..good + '\u{fffd}'.len_utf8(),
                        "the file is not UTF-8",
                        "the first byte that is not",
                        "save the file as UTF-8",
                    )],
                ))
            }
        }
    }

    /// Checks a text; `path` is only named in the report.
    pub fn parse(
        path: &Path,
        text: &str,
        interface_exists: &dyn Fn(&str) -> bool,
    ) -> Result<Self, Report> {
        schema::read(text, interface_exists).map_err(|findings| Report::new(path, text, findings))
    }

    /// What holds without a file: watch what listens here, change no route.
    pub fn without_file() -> Self {
        Self {
            daemon: Daemon::default(),
            journal: Journal::default(),
            route: Route::default(),
            measure: Measure::default(),
            detect: schema::DETECT,
            max_probes: schema::MAX_PROBES,
            witnesses: Vec::new(),
            core: Config {
                mode: Mode::Observe,
                false_alarm_period: schema::FALSE_ALARM_PERIOD,
                classify: Classify::default(),
                guards: Guards::for_prefixes(0),
                recover: Recover {
                    hold: schema::HOLD,
                    hold_max: schema::HOLD_MAX,
                    canary: false,
                },
                services: Vec::new(),
                prefixes: Vec::new(),
            },
        }
    }
}

impl Default for Daemon {
    fn default() -> Self {
        let host = host_name();
        Self {
            site: host.clone(),
            host,
            attach: Attach::Auto,
            interfaces: Interfaces::Auto,
            http: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9477),
            control: PathBuf::from("/run/lapwing/control.sock"),
            state_dir: PathBuf::from("/var/lib/lapwing"),
            pin_dir: PathBuf::from("/sys/fs/bpf/lapwing"),
            on_exit: OnExit::Keep,
            on_watchdog: OnWatchdog::Keep,
            goes_first: false,
        }
    }
}

impl Default for Route {
    fn default() -> Self {
        Self {
            table: 4242,
            protocol_full: 201,
            protocol_degraded: 202,
            bird_socket: None,
            witness_round: witness::ROUND,
        }
    }
}

/// The kernel's host name; "localhost" if it cannot be read.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error(
        "cannot read the configuration {}: {source}\nhelp: name an existing file that this user may read, or leave it out to observe only",
        path.display()
    )]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate is to be verified, and there is nothing to verify it by.
    #[error(transparent)]
    NoRoots(#[from] NoRoots),
    /// The file has mistakes.
    #[error("{0}")]
    Mistakes(#[from] Report),
}

impl Error {
    /// What is wrong, for programs.
    pub fn mistakes(&self) -> Vec<Mistake> {
        match self {
            Self::Mistakes(report) => report.mistakes(),
            error @ (Self::Unreadable { .. } | Self::NoRoots(_)) => {
                let words = error.to_string();
                let (what, remedy) = match words.split_once("\nhelp: ") {
                    Some((what, remedy)) => (what.to_owned(), Some(remedy.to_owned())),
                    None => (words, None),
                };
                vec![Mistake {
                    line: None,
                    column: None,
                    what,
                    here: None,
                    remedy,
                }]
            }
        }
    }
}

#[cfg(test)]
mod tests;
