//! What is true of this host, read without changing anything.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::{
    sys::{resource, statfs, statvfs::statvfs},
    unistd::{AccessFlags, access},
};
use probe_core::config::Mode;

use super::network::{self, Link, Reply, Rule, StrayRoute};
use crate::{
    config::{Attach, Interfaces, Settings},
    control, discover,
};

/// The clock is not synchronised, of include/uapi/linux/timex.h.
const STA_UNSYNC: libc::c_int = 0x40;
const NETWORKD_DIRECTORIES: [&str; 3] = [
    "/etc/systemd/networkd.conf.d",
    "/run/systemd/networkd.conf.d",
    "/usr/lib/systemd/networkd.conf.d",
];
const NETWORKD_UNIT: &str = "/run/systemd/units/invocation:systemd-networkd.service";
const MANAGER_UNIT: &str = "/run/systemd/units/invocation:NetworkManager.service";
const MANAGER_DIRECTORIES: [&str; 2] = [
    "/etc/NetworkManager/system-connections",
    "/run/NetworkManager/system-connections",
];

/// Everything that is judged.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What is to be said about the configuration, good or bad.
    pub config: Result<String, String>,
    /// Whether routes are to be changed.
    pub enforces: bool,
    /// The kernel's release.
    pub kernel: String,
    /// Whether it describes its types.
    pub btf: bool,
    /// This process's effective capabilities.
    pub capabilities: Option<u64>,
    /// The memory that it may lock; none without a limit.
    pub memlock: Option<u64>,
    /// Where the pins are to be, and whether that is a bpf file system.
    pub pins: (PathBuf, bool),
    /// How the hooks are to be attached.
    pub attach: Attach,
    /// The interfaces to be measured, or why that is not known.
    pub links: Result<Vec<Link>, String>,
    /// By which interface replies of each address leave.
    pub replies: Vec<Reply>,
    /// Interfaces of default routes that are not to be measured.
    pub unwatched_defaults: Vec<String>,
    /// Our routing table.
    pub table: u32,
    /// The rules that lead to it, or why that is not known.
    pub rules: Result<Vec<Rule>, String>,
    /// Routes of others in it that are in the way, or why that is not known.
    pub strays: Result<Vec<StrayRoute>, String>,
    /// Whether systemd-networkd runs, and whether it leaves routes of others alone.
    pub networkd: Option<bool>,
    /// Profiles of `NetworkManager` that name our table, if it runs.
    pub manager: Option<Vec<String>>,
    /// Whether the clock is synchronised; none if it does not say.
    pub clock: Option<bool>,
    /// Where the state is to be.
    pub state: Place,
    /// A daemon that runs.
    pub daemon: Holder,
}

/// A directory that is to be written to.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where.
    pub path: PathBuf,
    /// Why it cannot be written to, if so.
    pub trouble: Option<String>,
    /// What a journal full to its bound may still need, and what is free, in bytes.
    pub room: Option<(u64, u64)>,
}

/// Who has the state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// A daemon that answers, and what it said is wrong.
    Daemon {
        /// Its process.
        pid: u32,
        /// What it says is wrong with its sensor or its journal.
        troubles: Vec<String>,
    },
    /// A process that does not answer on the configured socket.
    Mute {
        /// The process.
        pid: String,
    },
}

impl Facts {
    /// Reads them for these settings.
    pub async fn read(settings: &Settings, config: Result<String, String>) -> Self {
        let daemon = &settings.daemon;
        let watched = match &daemon.interfaces {
            Interfaces::Named(names) => Ok(names.clone()),
            Interfaces::Auto => discover::default_interfaces()
                .await
                .map_err(|error| error.to_string()),
        };
        let defaults = discover::default_interfaces().await.unwrap_or_default();
        let (links, unwatched_defaults) = match watched {
            Ok(watched) => {
                let unwatched = defaults
                    .into_iter()
                    .filter(|name| !watched.contains(name))
                    .collect();
                (network::links(&watched).await, unwatched)
            }
            Err(why) => (Err(why), Vec::new()),
        };
        let addresses = settings.core.services.iter();
        let addresses = addresses.map(|service| service.endpoint.address).collect();
        Self {
            config,
            enforces: settings.core.mode == Mode::Enforce,
            kernel: kernel(),
            btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
            capabilities: capabilities(),
            memlock: memlock(),
            pins: (daemon.pin_dir.clone(), is_bpf(&daemon.pin_dir)),
            attach: daemon.attach,
            links,
            replies: network::replies(addresses).await,
            unwatched_defaults,
            table: settings.route.table,
            rules: network::rules(settings.route.table).await,
            strays: network::strays(settings).await,
            networkd: running(NETWORKD_UNIT).then(networkd_leaves_routes),
            manager: running(MANAGER_UNIT).then(|| profiles(settings.route.table)),
            clock: clock(),
            state: Place::of(
                &daemon.state_dir,
                settings
                    .journal
                    .rotate_at
                    .saturating_mul(u64::from(settings.journal.keep) + 1),
            ),
            daemon: holder(settings),
        }
    }
}

fn kernel() -> String {
    nix::sys::utsname::uname().map_or_else(
        |_| "unknown".to_owned(),
        |name| name.release().to_string_lossy().into_owned(),
    )
}

fn capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn memlock() -> Option<u64> {
    let (soft, _) = resource::getrlimit(resource::Resource::RLIMIT_MEMLOCK).ok()?;
    (soft != resource::RLIM_INFINITY).then_some(soft)
}

/// The nearest directory on the way to `path` that is there.
fn present(path: &Path) -> &Path {
    path.ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"))
}

fn is_bpf(path: &Path) -> bool {
    statfs::statfs(present(path))
        .is_ok_and(|system| system.filesystem_type() == statfs::BPF_FS_MAGIC)
}

impl Place {
    fn of(path: &Path, needed: u64) -> Self {
        let there = present(path);
        let writable = access(there, AccessFlags::W_OK | AccessFlags::X_OK);
        let trouble = match (there.is_dir(), writable) {
            (false, _) => Some(format!("{} is no directory", there.display())),
            (true, Err(errno)) => Some(io::Error::from(errno).to_string()),
            (true, Ok(())) => None,
        };
        let free = statvfs(there).ok();
        Self {
            path: path.to_owned(),
            trouble,
            room: free.map(|free| (needed, free.blocks_available() * free.fragment_size())),
        }
    }
}

fn running(unit: &str) -> bool {
    // A link whose target is no path.
    fs::symlink_metadata(unit).is_ok()
}

/// The last assignment counts; files of a later name come later.
fn networkd_leaves_routes() -> bool {
    let mut files = vec![PathBuf::from("/etc/systemd/networkd.conf")];
    let mut dropins: Vec<PathBuf> = NETWORKD_DIRECTORIES
        .iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        })
        .collect();
    dropins.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    files.extend(dropins);
    let texts: Vec<String> = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .collect();
    leaves_routes(&texts)
}

/// Whether these files, one after the other, say `ManageForeignRoutes=no`.
pub fn leaves_routes(texts: &[String]) -> bool {
    texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.trim().strip_prefix("ManageForeignRoutes"))
        .filter_map(|rest| rest.trim_start().strip_prefix('='))
        .next_back()
        .is_some_and(|value| {
            matches!(
                value.trim().to_ascii_lowercase().as_str(),
                "no" | "false" | "off" | "0" | "n" | "f"
            )
        })
}

/// The profiles that name our table.
fn profiles(table: u32) -> Vec<String> {
    MANAGER_DIRECTORIES
        .iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flatten()
        .flatten()
        .filter(|entry| {
            fs::read_to_string(entry.path()).is_ok_and(|text| names_table(&text, table))
        })
        .map(|entry| entry.path().display().to_string())
        .collect()
}

/// Whether a connection profile puts routes into the table.
pub fn names_table(text: &str, table: u32) -> bool {
    text.lines().any(|line| {
        let table = table.to_string();
        let (key, value) = line.split_once('=').unwrap_or_default();
        let named = |part: &str| part.trim().strip_prefix("table=") == Some(table.as_str());
        (key.trim() == "route-table" && value.trim() == table) || value.split(',').any(named)
    })
}

fn clock() -> Option<bool> {
    // SAFETY: all zero is a valid timex; with no modes set the call only reads.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: it writes into the live timex that it is given.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    (state >= 0).then_some(timex.status & STA_UNSYNC == 0)
}

fn holder(settings: &Settings) -> Holder {
    if let Ok((_, status)) = control::status(&settings.daemon.control) {
        let blind = status.sensor.trouble.map(|why| format!("blind: {why}"));
        let journal = status
            .journal_trouble
            .map(|why| format!("its journal cannot be written: {why}"));
        return Holder::Daemon {
            pid: status.pid,
            troubles: blind
                .into_iter()
                .chain(journal)
                .chain(status.conflicts)
                .collect(),
        };
    }
    let lock = fs::metadata(settings.daemon.state_dir.join("lock"));
    let locks = fs::read_to_string("/proc/locks");
    match (lock, locks) {
        (Ok(lock), Ok(locks)) => match owner(&locks, lock.ino()) {
            Some(pid) => Holder::Mute { pid },
            None => Holder::Nobody,
        },
        (Err(_), _) | (_, Err(_)) => Holder::Nobody,
    }
}

/// Who has a `flock` on the file, of `/proc/locks`.
pub fn owner(locks: &str, inode: u64) -> Option<String> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let at = fields.iter().position(|field| *field == "FLOCK")?;
        let (pid, file) = (fields.get(at + 3)?, fields.get(at + 4)?);
        (file.rsplit(':').next()? == inode.to_string()).then(|| (*pid).to_owned())
    })
}
