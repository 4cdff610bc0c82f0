//! What is remembered over a restart: a file in the state directory, written by a
//! thread that may wait for the disk, and read once at the start.
//!
//! What was learned is worth keeping however old it is; that the detectors may speak
//! is not, unless the very hooks that they learned from are in place: after a boot or
//! with another interface, replies may leave where nobody looks.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use probe_core::{Engine, Memory, Timestamp};
use serde::{Deserialize, Serialize};

use crate::datapath::{Attachment, Datapath};

/// Of the file; another one is not read.
const VERSION: u32 = 1;
/// What was learned in so long may be lost when the machine dies.
const PERIOD: Duration = Duration::from_mins(1);
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The file's content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Remembered {
    version: u32,
    written: SystemTime,
    /// How long the machine had run then: within one boot this tells what a wall clock
    /// that was stepped cannot.
    #[serde(default)]
    uptime: Option<Duration>,
    boot: String,
    hooks: Vec<String>,
    memory: Memory,
}

/// The file.
#[derive(Clone, Debug)]
pub struct MemoryFile(PathBuf);

impl MemoryFile {
    /// The file of a state directory.
    pub fn of(state_dir: &Path) -> Self {
        Self(state_dir.join("memory.json"))
    }

    /// Reads it. One that is missing or not understood is no reason not to start.
    pub fn read(&self) -> Option<Remembered> {
        self.try_read().unwrap_or_else(|error| {
            tracing::warn!("{error}: starting without what was learned");
            None
        })
    }

    /// Reads it, for whoever must not go on without what it says; none if there is none.
    pub fn try_read(&self) -> Result<Option<Remembered>, Unknown> {
        let path = self.0.display().to_string();
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Unknown::Unreadable { path, source }),
        };
        match serde_json::from_str::<Remembered>(&text) {
            Ok(remembered) if remembered.version == VERSION => Ok(Some(remembered)),
            Ok(Remembered { version, .. }) => Err(Unknown::Version { path, version }),
            Err(source) => Err(Unknown::Damaged { path, source }),
        }
    }

    /// Writes it: whole, or not at all.
    pub fn write(&self, remembered: &Remembered) -> io::Result<()> {
        // Somebody may have removed the directory.
        if let Some(directory) = self.0.parent() {
            fs::create_dir_all(directory)?;
        }
        let new = self.0.with_extension("json.new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(remembered)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.0)
    }
}

/// Why nobody knows what is remembered.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Another lapwing wrote it.
    #[error("{path} is of version {version}, not {VERSION}")]
    Version {
        /// Which file.
        path: String,
        /// Of which version.
        version: u32,
    },
    /// It is no such file.
    #[error("{path} is damaged ({source})")]
    Damaged {
        /// Which file.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Remembered {
    /// What an engine that learned through these hooks knows now.
    pub fn of(engine: &Engine, attachments: &[Attachment]) -> Self {
        Self {
            version: VERSION,
            written: SystemTime::now(),
            uptime: uptime(),
            boot: boot(),
            hooks: hooks(attachments),
            memory: engine.memory(),
        }
    }

    /// Gives it to an engine that has not seen anything yet.
    pub fn recall(self, engine: &mut Engine, attachments: &[Attachment]) {
        let same_boot = self.boot == boot();
        let ago = self.age(same_boot);
        let same_hooks = same_boot && self.hooks == hooks(attachments);
        engine.recall(self.memory, ago);
        if !same_hooks {
            engine.forget_hooks();
        }
        tracing::info!(
            "what was learned until {} ago is known again{}",
            humantime::format_duration(Duration::from_secs(ago.as_secs())),
            if same_hooks {
                ""
            } else {
                ", but the hooks are others: live trials must prove themselves first"
            }
        );
    }
}

impl Remembered {
    /// The memory alone, and how long ago it was written.
    pub fn memory(self) -> (Memory, Duration) {
        let ago = self.age(self.boot == boot());
        (self.memory, ago)
    }

    /// How long ago it was written.
    fn age(&self, same_boot: bool) -> Duration {
        let by_uptime = self
            .uptime
            .filter(|_| same_boot)
            .and_then(|then| uptime()?.checked_sub(then));
        // A clock that was set back tells nothing about how long it was.
        by_uptime.unwrap_or_else(|| self.written.elapsed().unwrap_or(Duration::ZERO))
    }
}

/// How long this machine has run, sleep included.
fn uptime() -> Option<Duration> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
    Some(Duration::from(time))
}

/// Writes the file now and then.
#[derive(Debug)]
pub struct Keeper {
    file: MemoryFile,
    due: Timestamp,
    /// Number of the newest thing to write.
    begun: AtomicU64,
    /// Number of the newest thing written: an older one must not come after it.
    written: Arc<Mutex<u64>>,
}

impl Keeper {
    /// Writes for the first time when something was learned.
    pub fn new(file: MemoryFile, now: Timestamp) -> Self {
        Self {
            file,
            due: now.after(PERIOD),
            begun: AtomicU64::new(0),
            written: Arc::default(),
        }
    }

    /// Something happened that a daemon killed now must not forget, such as a withdraw:
    /// its successor would announce without the hold. Writes at the next look.
    pub fn hurry(&mut self, now: Timestamp) {
        self.due = now;
    }

    /// Writes if it is time.
    pub fn look(&mut self, engine: &Engine, datapath: &Datapath, now: Timestamp) {
        if now < self.due {
            return;
        }
        self.due = now.after(PERIOD);
        let saved = self.save(engine, datapath);
        tokio::spawn(async move {
            if let Err(error) = saved.await {
                tracing::error!("a restart would forget what was learned: {error}");
            }
        });
    }

    /// Begins to write what is known now; the end can be waited for.
    pub fn save(
        &self,
        engine: &Engine,
        datapath: &Datapath,
    ) -> impl Future<Output = anyhow::Result<()>> + Send + use<> {
        let remembered = Remembered::of(engine, &datapath.attachments());
        let file = self.file.clone();
        let path = file.0.display().to_string();
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        let written = Arc::clone(&self.written);
        let task = tokio::task::spawn_blocking(move || {
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            if *written > number {
                return io::Result::Ok(());
            }
            file.write(&remembered)?;
            *written = number;
            Ok(())
        });
        async move {
            task.await
                .context("the writer has panicked")?
                .with_context(|| format!("cannot write {path}"))
        }
    }
}

/// Which boot of the machine this is.
fn boot() -> String {
    fs::read_to_string(BOOT_ID).map_or_else(|_| String::new(), |id| id.trim().to_owned())
}

fn hooks(attachments: &[Attachment]) -> Vec<String> {
    let mut hooks: Vec<String> = attachments
        .iter()
        .map(|hook| {
            format!(
                "{} {} {}",
                hook.interface,
                hook.hook.name(),
                hook.mode.name()
            )
        })
        .collect();
    hooks.sort_unstable();
    hooks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn engine() -> Engine {
        Engine::new(Settings::without_file().core, Timestamp::from_nanos(7))
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = MemoryFile::of(directory.path());
        assert!(file.read().is_none());
        let remembered = Remembered::of(&engine(), &[]);
        file.write(&remembered).unwrap();
        let read = file.read().unwrap();
        assert_eq!(read.memory, remembered.memory);
        read.recall(&mut engine(), &[]);
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn a_stepped_wall_clock_does_not_age_what_is_remembered() {
        let mut remembered = Remembered::of(&engine(), &[]);
        for step in [
            SystemTime::UNIX_EPOCH,
            SystemTime::now() + Duration::from_hours(24 * 365),
        ] {
            remembered.written = step;
            assert!(remembered.age(true) < Duration::from_secs(10));
        }
        remembered.written = SystemTime::now() - Duration::from_hours(1);
        assert!(remembered.age(false) >= Duration::from_hours(1));
        remembered.written = SystemTime::now() + Duration::from_hours(1);
        assert_eq!(remembered.age(false), Duration::ZERO);
    }

    #[test]
    fn a_damaged_file_or_one_of_another_version_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let file = MemoryFile::of(directory.path());
        let mut remembered = Remembered::of(&engine(), &[]);
        remembered.version += 1;
        file.write(&remembered).unwrap();
        assert!(file.read().is_none());
        fs::write(&file.0, "{\"version\":1,").unwrap();
        assert!(file.read().is_none());
    }
}
