//! The `lapwing` binary at an edge: its configuration, its process, its journal.
//!
//! The binary is named by the environment variable `LAPWING_BIN`; `cargo xtask test`
//! and `cargo xtask demo` build it with its eBPF object and set that.

use std::{
    collections::VecDeque,
    env,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use probe_core::Timestamp;
use serde_json::Value;

use super::{
    bird::{SOCKET, WITNESS_TABLE, witness_session},
    clock,
    netns::{Namespace, Process},
    topology::{Family, OUTER, Site, TABLE},
    wait_until,
};

/// Where the daemon keeps its things inside the node.
pub const CONFIG: &str = "/run/lapwing/lapwing.toml";
/// Where the daemon listens for commands.
pub const CONTROL: &str = "/run/lapwing/control.sock";
/// Where the daemon keeps what it must not forget.
pub const STATE: &str = "/run/lapwing/state";
/// The newest file of its journal.
pub const JOURNAL: &str = "/run/lapwing/state/journal.jsonl";
/// The rate leg needs two whole seconds of handshakes; it looks once a second.
const RATE_LEARNS: Duration = Duration::from_secs(4);
const DEFAULT_JOURNAL: &str = "/var/lib/lapwing/journal.jsonl";

/// The binary under test.
pub fn binary() -> Result<PathBuf> {
    let path = env::var_os("LAPWING_BIN").map(PathBuf::from).context(
        "LAPWING_BIN does not name a lapwing binary; `cargo xtask test` and `cargo xtask demo` build one and set it",
    )?;
    if !path.is_file() {
        bail!("LAPWING_BIN names {}, which is no file", path.display());
    }
    Ok(path.canonicalize()?)
}

/// A service's name in the configuration, journal and metrics.
pub fn service_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "web4",
        Family::V6 => "web6",
    }
}

/// What the tests vary in the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `observe` or `enforce`.
    pub mode: &'static str,
    /// `default` or `fast`.
    pub profile: &'static str,
    /// When an unanswered connect is late.
    pub deadline: Duration,
    /// How long the rate leg is void after a level change.
    pub settle: Duration,
    /// The first hold.
    pub hold: Duration,
    /// The longest hold, and the wait before the one retry.
    pub hold_max: Duration,
    /// `keep` or `withdraw`.
    pub on_exit: &'static str,
    /// `keep` or `probe`.
    pub on_watchdog: &'static str,
    /// Good trials that arm a detector.
    pub arm_after: u32,
    /// How long a suspicion that only degrades must stand.
    pub grey_patience: Duration,
    /// The budget of lowerings.
    pub lowerings_per_hour: u32,
    /// Whether the other site is a witness; needs `Lab::start_witnessed`.
    pub witnessed: bool,
    /// The site that goes first, if any.
    pub goes_first: Option<Site>,
    /// Which interfaces are watched.
    pub interfaces: &'static [&'static str],
    /// The services of each family's prefix, as tables of the configuration.
    pub services: fn(Family) -> String,
    /// So many more services of each family, at the ports from [`MORE_PORTS`] on.
    pub more_services: u16,
    /// The socket at which BIRD is asked; none for the usual one, where nobody is.
    pub bird_socket: Option<&'static str>,
}

impl Settings {
    /// The default profile, with holds short enough for a test.
    pub fn new() -> Self {
        Self {
            mode: "enforce",
            profile: "default",
            deadline: Duration::from_millis(200),
            settle: Duration::from_secs(1),
            hold: Duration::from_secs(1),
            hold_max: Duration::from_secs(4),
            on_exit: "keep",
            on_watchdog: "keep",
            arm_after: 200,
            grey_patience: Duration::from_secs(5),
            lowerings_per_hour: 10,
            witnessed: false,
            goes_first: None,
            interfaces: &[OUTER],
            services: web,
            more_services: 0,
            bird_socket: None,
        }
    }

    /// The fast profile with the deadline that the figures are given for.
    pub fn fast() -> Self {
        Self {
            profile: "fast",
            deadline: Duration::from_millis(100),
            ..Self::new()
        }
    }

    /// The configuration file of a site.
    pub fn config(&self, site: Site) -> String {
        let mut config = vec![format!(
            r#"[daemon]
site = "{site}"
host = "{site}-edge1"
mode = "{}"
interfaces = {:?}
http = "127.0.0.1:9477"
control = "{CONTROL}"
state_dir = "{STATE}"
on_exit = "{}"
on_watchdog = "{}"
goes_first = {}

[route]
table = {TABLE}
{}
[detect]
profile = "{}"
deadline = "{}ms"
arm_after = {}
grey_patience = "{}ms"
settle = "{}ms"

[guards]
lowerings_per_hour = {}

[recover]
hold = "{}ms"
hold_max = "{}ms"
"#,
            self.mode,
            self.interfaces,
            self.on_exit,
            self.on_watchdog,
            self.goes_first == Some(site),
            self.bird_socket
                .or(self.witnessed.then_some(SOCKET))
                .map_or_else(String::new, |path| format!("bird_socket = \"{path}\"\n")),
            self.profile,
            self.deadline.as_millis(),
            self.arm_after,
            self.grey_patience.as_millis(),
            self.settle.as_millis(),
            self.lowerings_per_hour,
            self.hold.as_millis(),
            self.hold_max.as_millis(),
        )];
        if self.witnessed {
            let other = site.other();
            config.push(format!(
                "\n[[witness]]\nsite = \"{other}\"\nhost = \"{other}-edge1\"\ntable = {WITNESS_TABLE}\nsessions = {{ ipv4 = \"{}\", ipv6 = \"{}\" }}\n",
                witness_session(Family::V4),
                witness_session(Family::V6),
            ));
        }
        for family in Family::ALL {
            config.push(format!(
                "\n[[prefix]]\nprefix = \"{}\"\ndrain = \"2s\"\n{}",
                family.prefix(),
                (self.services)(family),
            ));
            config.extend((MORE_PORTS..).take(self.more_services.into()).map(|port| {
                format!(
                    "\n[[prefix.service]]\nname = \"{}-{port}\"\naddress = \"{}\"\nport = {port}\n",
                    service_name(family),
                    family.service(),
                )
            }));
        }
        config.concat()
    }
}

/// The first port of further services.
pub const MORE_PORTS: u16 = 20_000;

fn is_further(service: &Value) -> bool {
    let name = service["name"].as_str().unwrap_or_default();
    Family::ALL.iter().any(|family| {
        let port = name.strip_prefix(service_name(*family));
        port.is_some_and(|port| port.starts_with('-'))
    })
}

/// The web server as a service that is probed by HTTP.
pub fn web(family: Family) -> String {
    let endpoint = SocketAddr::new(family.service(), 80);
    web_with(
        family,
        &format!(
            r#"{{ http = "http://{endpoint}/", status = 200, interval = "500ms", timeout = "500ms", rise = 2, fall = 3 }}"#
        ),
    )
}

/// The web server as a service with this probe.
pub fn web_with(family: Family, probe: &str) -> String {
    format!(
        r#"
[[prefix.service]]
name = "{}"
address = "{}"
port = 80
protocol = "tcp"
probe = {probe}
"#,
        service_name(family),
        family.service(),
    )
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

/// A start waits for RCU grace periods and for the kernel's RTNL lock. Beside another
/// lab on two cores that was seen to take more than fifteen seconds.
const STARTS_WITHIN: Duration = Duration::from_mins(1);

/// A daemon at an edge. Killed when dropped.
pub struct Lapwing {
    process: Process,
    journal: Journal,
    settle: Duration,
}

impl Lapwing {
    /// Writes the configuration and starts the daemon; returns when it has attached.
    pub fn start(node: &Namespace, site: Site, settings: &Settings) -> Result<Self> {
        node.write(CONFIG, &settings.config(site))?;
        Self::start_again(node, settings)
    }

    /// Starts without a configuration: it observes what it finds.
    pub fn start_unconfigured(node: &Namespace) -> Result<Self> {
        Self::spawn(node, &["run"], DEFAULT_JOURNAL, Duration::ZERO)
    }

    /// As [`start_unconfigured`](Self::start_unconfigured), telling of each handshake.
    pub fn start_traced(node: &Namespace) -> Result<Self> {
        Self::spawn(node, &["run", "--trace"], DEFAULT_JOURNAL, Duration::ZERO)
    }

    /// Starts with the configuration that stands there, made of `settings`.
    pub fn start_again(node: &Namespace, settings: &Settings) -> Result<Self> {
        Self::spawn(node, &["run", "--config", CONFIG], JOURNAL, settings.settle)
    }

    /// As [`start_again`](Self::start_again), started by a program that becomes it, such
    /// as one that gives up privileges.
    pub fn start_by(node: &Namespace, wrapper: &[&str], settings: &Settings) -> Result<Self> {
        let (program, arguments) = wrapper.split_first().context("a wrapper has a name")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(binary()?)
            .args(["run", "--config", CONFIG]);
        Self::spawn_command(node, command, JOURNAL, settings.settle)
    }

    fn spawn(
        node: &Namespace,
        arguments: &[&str],
        journal: &str,
        settle: Duration,
    ) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(arguments);
        Self::spawn_command(node, command, journal, settle)
    }

    fn spawn_command(
        node: &Namespace,
        command: Command,
        journal: &str,
        settle: Duration,
    ) -> Result<Self> {
        let mut journal = Journal::at_end(node.path(journal))?;
        let process = node.spawn("lapwing", command)?;
        let started = journal.wait(STARTS_WITHIN, |record| {
            if let Some(status) = process.exited()? {
                bail!("lapwing ended ({status}):\n{}", process.log_tail());
            }
            Ok(record.is_some_and(|record| record.event() == "attached"))
        });
        started.with_context(|| format!("starting lapwing:\n{}", process.log_tail()))?;
        Ok(Self {
            process,
            journal,
            settle,
        })
    }

    /// The journal from this start on.
    pub fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// A further reader of the journal that begins with the next record.
    pub fn follow(&self) -> Result<Journal> {
        Journal::at_end(self.journal.path.clone())
    }

    /// `lapwing status --json`.
    pub fn status(&self, node: &Namespace) -> Result<Value> {
        let mut command = Command::new(binary()?);
        command.args(["status", "--json", "--control", CONTROL]);
        let text = node.run_with_input(command, "")?;
        Ok(serde_json::from_str(&text)?)
    }

    /// A field of the status of a family's prefix.
    pub fn prefix_field(&self, node: &Namespace, family: Family, field: &str) -> Result<Value> {
        let status = self.status(node)?;
        let prefixes = status["prefixes"].as_array().context("no prefixes")?;
        let prefix = prefixes
            .iter()
            .find(|prefix| prefix["prefix"] == family.prefix())
            .context("no such prefix")?;
        Ok(prefix[field].clone())
    }

    /// What `/metrics` shows for exactly this name and these labels, if anything.
    pub fn metric(&self, node: &Namespace, series: &str) -> Result<Option<f64>> {
        let text = node.run("curl", ["-sS", "-m", "5", "http://127.0.0.1:9477/metrics"])?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(value.map(str::parse).transpose()?)
    }

    /// Waits until live trials guard all services but those that no client asks, see
    /// [`Settings::more_services`].
    pub fn wait_armed(&self, node: &Namespace, timeout: Duration) -> Result<()> {
        wait_until("all services are armed", timeout, || {
            let status = self.status(node)?;
            Ok(status["services"].as_array().is_some_and(|services| {
                let mut asked = services.iter().filter(|service| !is_further(service));
                asked.all(|service| service["state"] == "armed")
            }))
        })
        .with_context(|| format!("lapwing says:\n{}", self.log_tail()))
    }

    /// Waits until all services are armed and the rate leg knows what to expect. To
    /// be called once clients are served: the leg is void for `settle` after a change
    /// of level and then learns for some seconds.
    pub fn wait_ready(&self, node: &Namespace, timeout: Duration) -> Result<()> {
        let known = Instant::now() + self.settle + RATE_LEARNS;
        self.wait_armed(node, timeout)?;
        thread::sleep(known.saturating_duration_since(Instant::now()));
        self.wait_armed(node, timeout)
    }

    /// Kills it as the kernel would for lack of memory.
    pub fn kill(self) -> Result<ExitStatus> {
        self.process.signal(Signal::SIGKILL)?;
        self.process.wait(Duration::from_secs(5))
    }

    /// Waits for the end of one that was killed by other hands.
    pub fn wait_ended(&self) -> Result<ExitStatus> {
        self.process.wait(Duration::from_secs(5))
    }

    /// Its journal's file, as it can be opened from outside.
    pub fn journal_path(&self) -> &Path {
        &self.journal.path
    }

    /// Asks it to end, as systemd does.
    pub fn stop(self) -> Result<ExitStatus> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(Duration::from_secs(10))
    }

    /// Has it read its configuration again.
    pub fn hangup(&self) -> Result<()> {
        self.process.signal(Signal::SIGHUP)
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    /// Its pid as the test process sees it.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// A record of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Record(pub Value);

impl Record {
    /// When the thing itself happened.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_nanos(self.0["mono_ns"].as_u64().unwrap_or_default())
    }

    /// What kind of record.
    pub fn event(&self) -> &str {
        self.text("event")
    }

    /// A text field, empty if there is none.
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// When the first failed trial behind it started, if it says so.
    pub fn first_failure(&self) -> Option<Timestamp> {
        self.0["first_failure_mono_ns"]
            .as_u64()
            .map(Timestamp::from_nanos)
    }

    /// Whether it is the decision to bring `family`'s prefix to `level`.
    pub fn decides(&self, family: Family, level: &str) -> bool {
        self.event() == "decision"
            && self.text("prefix") == family.prefix()
            && self.text("level") == level
    }
}

/// Follows a journal file.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    offset: u64,
    partial: Vec<u8>,
    pending: VecDeque<Record>,
}

impl Journal {
    /// From the present end of the file, which need not exist yet.
    fn at_end(path: PathBuf) -> Result<Self> {
        let offset = match std::fs::metadata(&path) {
            Ok(file) => file.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            path,
            offset,
            partial: Vec::new(),
            pending: VecDeque::new(),
        })
    }

    /// The records that were added since the last call.
    pub fn read(&mut self) -> Result<Vec<Record>> {
        self.fill()?;
        Ok(self.pending.drain(..).collect())
    }

    fn fill(&mut self) -> Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let length = file.read_to_end(&mut self.partial)?;
        self.offset += u64::try_from(length)?;
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            let value = serde_json::from_slice(&line)
                .with_context(|| format!("journal line {:?}", String::from_utf8_lossy(&line)))?;
            self.pending.push_back(Record(value));
        }
        Ok(())
    }

    /// Reads on until `wanted` says yes to a record; the next call goes on behind it.
    /// It is asked with none while nothing comes.
    pub fn wait(
        &mut self,
        timeout: Duration,
        mut wanted: impl FnMut(Option<&Record>) -> Result<bool>,
    ) -> Result<Record> {
        let start = Instant::now();
        loop {
            self.fill()?;
            while let Some(record) = self.pending.pop_front() {
                if wanted(Some(&record))? {
                    return Ok(record);
                }
            }
            wanted(None)?;
            if start.elapsed() > timeout {
                bail!("no such journal record within {timeout:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the decisions that bring both prefixes to `level`.
    pub fn wait_decisions(&mut self, level: &str, timeout: Duration) -> Result<Vec<Record>> {
        let mut decisions: Vec<Record> = Vec::new();
        let found = self.wait(timeout, |record| {
            if let Some(record) = record
                && Family::ALL
                    .iter()
                    .any(|family| record.decides(*family, level))
            {
                decisions.push(record.clone());
            }
            Ok(Family::ALL.iter().all(|family| {
                decisions
                    .iter()
                    .any(|record| record.decides(*family, level))
            }))
        });
        found.with_context(|| {
            format!("decisions to {level} of both prefixes; so far {decisions:?}")
        })?;
        Ok(decisions)
    }

    /// All records that come until the journal has been quiet for `quiet`.
    pub fn read_until_quiet(&mut self, quiet: Duration) -> Result<Vec<Record>> {
        let mut all = Vec::new();
        let mut last = clock::now();
        while clock::now().since(last) < quiet {
            let fresh = self.read()?;
            if !fresh.is_empty() {
                last = clock::now();
                all.extend(fresh);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(all)
    }
}
