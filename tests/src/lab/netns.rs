//! Anonymous namespaces: one thread per node of the lab lives in its own network,
//! mount and pid namespace, and every process of the node is started from there.
//!
//! Nothing can be left behind, whatever happens to the test:
//! ```text
//! test process ── thread "fra1": unshare(net + mount + pid)
//!                   │   /run, /var/lib = tmpfs, /sys/fs/bpf = a bpffs of its own
//!                   ├─ holder   pid 1 of the namespace   PDEATHSIG = SIGKILL
//!                   ├─ bird                              PDEATHSIG = SIGKILL
//!                   └─ nginx ── workers (children of children)
//! ```
//! No namespace has a name, so it ends with its last process. If the test process
//! dies, even by SIGKILL, the kernel kills the holder, and with pid 1 everything in
//! its pid namespace, workers that were forked later included. Files and sockets
//! live in the tmpfs, pins in the bpffs; both end with the mount namespace.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::{
        prctl,
        signal::{SigHandler, Signal, kill, killpg, signal},
    },
    unistd::{Pid, getpid, getppid},
};
use probe_core::Timestamp;

use super::clock;

type Job = Box<dyn FnOnce() + Send>;

/// A node of the lab: a network, mount and pid namespace of its own.
pub struct Namespace {
    name: String,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    holder: Mutex<Child>,
    holder_pid: u32,
    children: Mutex<Vec<Arc<Mutex<Child>>>>,
}

impl Namespace {
    /// Makes the namespaces, with `lo` up.
    pub fn new(name: &str) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, made) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let holder = enter_new_namespaces().and_then(|()| start_holder());
                let usable = holder.is_ok();
                if ready.send(holder).is_ok() && usable {
                    for job in inbox {
                        job();
                    }
                }
            })?;
        let holder = made
            .recv()
            .context("the namespace's thread ended")?
            .with_context(|| format!("making the namespaces of {name} (root is needed)"))?;
        let namespace = Self {
            name: name.to_owned(),
            jobs: Some(jobs),
            thread: Some(thread),
            holder_pid: holder.id(),
            holder: Mutex::new(holder),
            children: Mutex::default(),
        };
        namespace.run("ip", ["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The node's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process that keeps the namespaces: its `/proc` entry names them.
    pub fn holder_pid(&self) -> u32 {
        self.holder_pid
    }

    /// The network namespace as a path that other namespaces can open.
    pub fn netns_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.holder_pid))
    }

    /// A path inside the node as it can be opened from outside.
    pub fn path(&self, inner: impl AsRef<Path>) -> PathBuf {
        let inner = inner.as_ref();
        Path::new(&format!("/proc/{}/root", self.holder_pid))
            .join(inner.strip_prefix("/").unwrap_or(inner))
    }

    /// Writes a file inside the node; makes its directory.
    pub fn write(&self, inner: &str, text: &str) -> Result<()> {
        let path = self.path(inner);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&path, text).with_context(|| format!("writing {inner} in {}", self.name))
    }

    /// Runs `work` in the namespace's own thread: sockets made there belong to the node.
    pub fn inside<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R> {
        let (done, result) = mpsc::channel();
        let job: Job = Box::new(move || {
            let _ = done.send(work());
        });
        self.jobs
            .as_ref()
            .and_then(|jobs| jobs.send(job).ok())
            .with_context(|| format!("the namespace {} has ended", self.name))?;
        result
            .recv()
            .with_context(|| format!("the namespace {} ended", self.name))
    }

    /// A new thread in this node's network (not in its mount or pid namespace).
    pub fn network_thread<R: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<JoinHandle<Result<R>>> {
        let netns = fs::File::open(self.netns_path())?;
        let thread = thread::Builder::new().name(name.to_owned());
        Ok(thread.spawn(move || {
            setns(&netns, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        })?)
    }

    /// Starts a process of the node. Its output goes to `/run/NAME.log` there.
    pub fn spawn(&self, name: &str, mut command: Command) -> Result<Process> {
        let log = self.path(format!("/run/{name}.log"));
        let output = fs::File::options().create(true).append(true).open(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child = Arc::new(Mutex::new(self.start(command)?));
        lock(&self.children).push(Arc::clone(&child));
        let pid = lock(&child).id();
        Ok(Process {
            name: format!("{name}@{}", self.name),
            child,
            pid,
            log,
        })
    }

    /// Runs a command of the node to its end.
    pub fn output(&self, mut command: Command, input: &str) -> Result<Output> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.start(command)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its input says why on its stderr.
            let _ = stdin.write_all(input.as_bytes());
        }
        Ok(child.wait_with_output()?)
    }

    /// Runs a command and returns what it printed; an error if it failed.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let mut command = Command::new(program);
        command.args(arguments);
        self.run_with_input(command, "")
    }

    /// As [`run`](Self::run), with standard input.
    pub fn run_with_input(&self, command: Command, input: &str) -> Result<String> {
        let shown = format!("{command:?}");
        let output = self.output(command, input)?;
        if !output.status.success() {
            bail!(
                "{shown} in {}: {}: {}",
                self.name,
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Several `ip` commands at once, one a line.
    pub fn ip(&self, commands: &str) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["-batch", "-"]);
        self.run_with_input(command, commands).map(drop)
    }

    /// Writes a sysctl of the node's network.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        let settings: Vec<(String, String)> = settings
            .iter()
            .map(|(key, value)| {
                (
                    format!("/proc/sys/{}", key.replace('.', "/")),
                    (*value).to_owned(),
                )
            })
            .collect();
        self.inside(move || {
            settings.iter().try_for_each(|(path, value)| {
                fs::write(path, value).with_context(|| format!("writing {value} to {path}"))
            })
        })?
    }

    /// Starts a command that reads its orders from standard input, so that they are
    /// carried out at once when [`Prepared::fire`] gives them.
    pub fn prepare(&self, mut command: Command) -> Result<Prepared> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = self.start(command)?;
        // Long enough to be loaded and to wait for input.
        thread::sleep(Duration::from_millis(60));
        Ok(Prepared { child })
    }

    fn start(&self, mut command: Command) -> Result<Child> {
        let shown = command.get_program().to_string_lossy().into_owned();
        die_with_parent(&mut command);
        self.inside(move || command.spawn())?
            .with_context(|| format!("starting {shown} in {}", self.name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let mut holder = lock(&self.holder);
        // Pid 1 ends only after all of its namespace has been reaped: ours first.
        let _ = holder.kill();
        for child in lock(&self.children).drain(..) {
            let mut child = lock(&child);
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = holder.wait();
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A loaded program that waits for its orders.
pub struct Prepared {
    child: Child,
}

impl Prepared {
    /// Gives the orders and waits for the end. Returns the moment just before.
    pub fn fire(mut self, orders: &str) -> Result<Timestamp> {
        let mut stdin = self.child.stdin.take().context("its input is a pipe")?;
        let at = clock::now();
        stdin.write_all(orders.as_bytes())?;
        drop(stdin);
        let output = self.child.wait_with_output()?;
        if !output.status.success() {
            bail!(
                "{orders}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(at)
    }
}

/// A process of a node, the leader of its own process group. Killed when dropped.
pub struct Process {
    name: String,
    child: Arc<Mutex<Child>>,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Its pid as the test process sees it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Signals the process alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if self.exited()?.is_some() {
            bail!("{} has ended: {}", self.name, self.log_tail());
        }
        Ok(kill(as_pid(self.pid), signal)?)
    }

    /// Signals the process and what it forked.
    pub fn signal_group(&self, signal: Signal) -> Result<()> {
        Ok(killpg(as_pid(self.pid), signal)?)
    }

    /// How it ended, if it has.
    pub fn exited(&self) -> Result<Option<ExitStatus>> {
        Ok(lock(&self.child).try_wait()?)
    }

    /// Waits for its end.
    pub fn wait(&self, timeout: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if start.elapsed() > timeout {
                bail!("{} did not end within {timeout:?}", self.name);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The last lines that it printed, for error messages.
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        if matches!(child.try_wait(), Ok(None)) {
            let _ = killpg(as_pid(self.pid), Signal::SIGKILL);
            let _ = child.wait();
        }
    }
}

/// Whether a status says that `signal` ended the process.
pub fn killed_by(status: ExitStatus, signal: Signal) -> bool {
    status.signal() == Some(signal as i32)
}

/// Locks; a panic in another thread does not make the data wrong here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed())
}

fn enter_new_namespaces() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID)?;
    let nothing = None::<&str>;
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        nothing,
    )?;
    for directory in ["/run", "/var/lib"] {
        mount(
            Some("tmpfs"),
            directory,
            Some("tmpfs"),
            MsFlags::empty(),
            nothing,
        )
        .with_context(|| format!("mounting {directory}"))?;
    }
    mount(
        Some("bpf"),
        "/sys/fs/bpf",
        Some("bpf"),
        MsFlags::empty(),
        nothing,
    )
    .context("mounting /sys/fs/bpf")
}

/// Pid 1 of the namespace. It ignores SIGCHLD, so orphans are reaped for it.
fn start_holder() -> Result<Child> {
    let mut command = Command::new("sleep");
    command
        .arg("infinity")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    die_with_parent(&mut command);
    // SAFETY: signal() is async-signal-safe, and SIG_IGN installs no handler.
    unsafe {
        command.pre_exec(|| Ok(signal(Signal::SIGCHLD, SigHandler::SigIgn).map(drop)?));
    }
    command.spawn().context("starting the holder")
}

/// A process group of its own (Ctrl-C reaches the test process only), and SIGKILL
/// when the thread that starts it ends.
fn die_with_parent(command: &mut Command) {
    command.process_group(0);
    let parent = getpid();
    // SAFETY: prctl and getppid are async-signal-safe; nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // Seen from a new pid namespace a living parent is 0, from the same one
            // it is itself; a parent that died in between has been replaced by a reaper.
            let now = getppid();
            if now != parent && now != Pid::from_raw(0) {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        });
    }
}
