//! The journal: what happened and why, one JSON object per line, each with the hash of
//! the one before.
//!
//! ```text
//! record ─▶ number ─▶ backlog ─▶ line with hash ─▶ write(2) into the page cache
//!                        │                             ├─▶ sync thread ─▶ fdatasync
//!                        └ fails: log (whole record),  └─▶ too long: rotation thread
//!                          stays, tried again
//! ```
//!
//! A record survives the death of this process as soon as [`Journal::append`]
//! returns, and the death of the host a little later: the disk is waited for by
//! threads, never by a decision. A journal that cannot be written costs no record:
//! each goes to the log as a whole, waits in memory, and is written once that works
//! again. Those that find no room in memory leave a gap that the next record names.

pub mod chain;
mod end;
pub mod entry;
pub mod files;
pub mod read;
pub mod recent;
pub mod record;
pub mod summary;
mod syncer;
pub mod verify;

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::SystemTime,
};

use probe_core::Timestamp;
use serde::Serialize;

use chain::{Hash, Tail};
use end::End;
use recent::{Decisions, Recent};
use record::Record;
use syncer::Syncer;
use tokio::sync::watch;

/// The name of the newest file in the state directory.
pub const FILE: &str = "journal.jsonl";
/// Records that wait in memory while the file cannot be written.
const BACKLOG: usize = 4096;
/// A failed rotation is tried again after so many looks, one a second.
const ROTATION_PAUSE: u32 = 60;

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A file longer than this becomes an old one, in bytes.
    pub rotate_at: u64,
    /// So many old files are kept.
    pub keep: u32,
}

impl Default for Options {
    /// A decision is about 2 KiB: some 8,000 of them in a file, and eight files.
    fn default() -> Self {
        Self {
            rotate_at: 16 << 20,
            keep: 8,
        }
    }
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    site: String,
    host: String,
    options: Options,
    next_seq: u64,
    file: Option<Open>,
    /// The last record that was written, and what was found behind it.
    tail: Tail,
    torn_bytes: u64,
    backlog: VecDeque<Waiting>,
    recent: Recent,
    /// Records that found no room in the backlog; they are in the log only.
    lost: u64,
    trouble: Option<String>,
    sync_trouble: Arc<Mutex<Option<String>>>,
    rotation: Option<JoinHandle<io::Result<File>>>,
    /// So many looks until a rotation may be tried again.
    rotation_pause: u32,
}

/// The file that records are added to.
#[derive(Debug)]
struct Open {
    file: File,
    /// Its length up to the last whole line.
    length: u64,
    syncer: Syncer,
}

impl Open {
    fn new(file: File, trouble: &Arc<Mutex<Option<String>>>) -> io::Result<Self> {
        Ok(Self {
            length: file.metadata()?.len(),
            syncer: Syncer::start(file.try_clone()?, Arc::clone(trouble))?,
            file,
        })
    }

    /// Whether it is still what is found under its name.
    fn stands_at(&self, path: &Path) -> bool {
        let identity = |file: std::fs::Metadata| (file.dev(), file.ino());
        match (self.file.metadata(), std::fs::metadata(path)) {
            (Ok(ours), Ok(there)) => identity(ours) == identity(there),
            (Err(_), _) | (_, Err(_)) => false,
        }
    }
}

/// A record that has its number and is not written yet.
#[derive(Debug)]
struct Waiting {
    seq: u64,
    /// The rest of the line, behind the fields of its link.
    rest: String,
}

#[derive(Serialize)]
struct Rest<'a> {
    time: &'a str,
    mono_ns: u64,
    site: &'a str,
    host: &'a str,
    #[serde(flatten)]
    record: &'a Record,
}

impl Journal {
    /// Opens or creates the journal. Never fails: what cannot be written goes to the
    /// log, see [`Journal::trouble`].
    pub fn open(path: &Path, site: &str, host: &str, options: Options) -> Self {
        let mut journal = Self {
            path: path.to_owned(),
            site: site.to_owned(),
            host: host.to_owned(),
            options,
            next_seq: 1,
            file: None,
            tail: Tail::NONE,
            torn_bytes: 0,
            backlog: VecDeque::new(),
            recent: Recent::of_journal(path),
            lost: 0,
            trouble: None,
            sync_trouble: Arc::default(),
            rotation: None,
            rotation_pause: 0,
        };
        if let Err(error) = journal.reopen() {
            journal.fail(&error);
        }
        journal
    }

    /// Rotates by these options from now on.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Adds a record of something that happened at `at`.
    pub fn append(&mut self, at: Timestamp, record: &Record) {
        let time = humantime::format_rfc3339_nanos(SystemTime::now()).to_string();
        let rest = Rest {
            time: &time,
            mono_ns: at.as_nanos(),
            site: &self.site,
            host: &self.host,
            record,
        };
        let rest = match serde_json::to_string(&rest) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!("a journal record cannot be written as JSON ({error}): {record:?}");
                return;
            }
        };
        self.recent.take(self.next_seq, &time, record);
        self.backlog.push_back(Waiting {
            seq: self.next_seq,
            rest,
        });
        self.next_seq += 1;
        if self.trouble.is_some() {
            self.keep_in_log();
        } else if let Err(error) = self.write_backlog() {
            self.fail(&error);
            self.keep_in_log();
        }
    }

    /// Looks after the file, and tries again to write what waits. To be called once a
    /// second.
    pub fn retry(&mut self) {
        self.recent.publish();
        if let Ok(mut trouble) = self.sync_trouble.lock()
            && let Some(trouble) = trouble.take()
        {
            tracing::error!(
                "the journal {} may not survive a crash: {trouble}",
                self.path.display()
            );
        }
        self.look_after_rotation();
        if self.rotation.is_none()
            && let Some(open) = &self.file
            && !open.stands_at(&self.path)
        {
            tracing::error!(
                "somebody removed or replaced the journal {}: it is opened again",
                self.path.display()
            );
            self.file = None;
        }
        if self.trouble.is_none() && self.file.is_some() {
            return;
        }
        let result = if self.file.is_none() {
            self.reopen().and_then(|()| self.write_backlog())
        } else {
            self.write_backlog()
        };
        match result {
            Err(error) if self.trouble.is_none() => self.fail(&error),
            Err(_) => {}
            Ok(()) => {
                self.trouble = None;
                tracing::info!(
                    "the journal {} is written again; {} records are in the log only",
                    self.path.display(),
                    self.lost
                );
                self.lost = 0;
            }
        }
    }

    /// Why records go to the log, if they do.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The newest decisions; told once a second.
    pub fn decisions(&self) -> watch::Receiver<Decisions> {
        self.recent.subscribe()
    }

    /// Where the journal is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until everything written is on the disk, for the end of the program.
    pub fn close(mut self) {
        self.retry();
        if let Some(open) = self.file.take() {
            open.syncer.finish();
        }
    }

    fn fail(&mut self, error: &io::Error) {
        tracing::error!(
            "cannot write the journal {}: {error}; records go to the log until it can be written\nhelp: make room or check the permissions of its directory",
            self.path.display()
        );
        self.trouble = Some(error.to_string());
    }

    /// The newest record goes to the log; the oldest of too many gives way.
    fn keep_in_log(&mut self) {
        if let Some(Waiting { seq, rest }) = self.backlog.back() {
            tracing::error!("journal record: {{\"seq\":{seq},{}", &rest[1..]);
        }
        while self.backlog.len() > BACKLOG {
            self.backlog.pop_front();
            self.lost += 1;
        }
    }

    fn write_backlog(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.file else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it is not open"));
        };
        while let Some(Waiting { seq, rest }) = self.backlog.front() {
            let begin = serde_json::to_string(&self.tail.link(*seq, self.torn_bytes))?;
            // Two JSON objects make one.
            let mut line = begin[..begin.len() - 1].to_owned() + "," + &rest[1..];
            let hash = Hash::of(line.as_bytes());
            line.push('\n');
            if let Err(error) = open.file.write_all(line.as_bytes()) {
                // Half a line would spoil the next one. If it cannot be cut off,
                // opening again will close it.
                if open.file.set_len(open.length).is_err() {
                    self.file = None;
                }
                return Err(error);
            }
            self.tail = Tail { seq: *seq, hash };
            self.torn_bytes = 0;
            open.length += line.len() as u64;
            self.backlog.pop_front();
        }
        open.syncer.request();
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut file = files::open(&self.path)?;
        let end = End::of_journal(&mut file, &self.path)?;
        if end.open {
            file.write_all(b"\n")?;
        }
        if end.torn_bytes > 0 {
            tracing::warn!(
                "{} bytes at the end of the journal {} are no record: the host died while they were written; the next record says so",
                end.torn_bytes,
                self.path.display()
            );
        }
        self.renumber(end.tail.seq);
        self.tail = end.tail;
        self.torn_bytes = end.torn_bytes;
        self.file = Some(Open::new(file, &self.sync_trouble)?);
        // Somewhere else than in the journal itself, for whoever doubts its end.
        tracing::info!(
            "the journal {} goes on behind record {}, hash {}",
            self.path.display(),
            end.tail.seq,
            end.tail.hash
        );
        Ok(())
    }

    /// Records that wait keep their numbers, unless the journal has others with them:
    /// it could not be read when they were numbered.
    fn renumber(&mut self, last_seq: u64) {
        let Some(shift) = last_seq
            .checked_sub(self.tail.seq)
            .filter(|shift| *shift > 0)
        else {
            return;
        };
        if let Some(first) = self.backlog.front() {
            tracing::warn!(
                "records that the log numbers from {} on are numbered from {} on in the journal",
                first.seq,
                first.seq + shift
            );
            self.recent.renumber(first.seq, shift);
        }
        for waiting in &mut self.backlog {
            waiting.seq += shift;
        }
        self.next_seq += shift;
    }

    /// Begins a rotation if the file is long enough, and takes the new file when it is
    /// there. Until then records go to the old one.
    fn look_after_rotation(&mut self) {
        if let Some(rotation) = self.rotation.take_if(|rotation| rotation.is_finished()) {
            let file = rotation
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("its thread panicked")));
            match file.and_then(|file| Open::new(file, &self.sync_trouble)) {
                Ok(new) => {
                    if let Some(old) = self.file.replace(new) {
                        old.syncer.request();
                    }
                    tracing::info!(
                        "the journal {} is a new file behind record {}, hash {}",
                        self.path.display(),
                        self.tail.seq,
                        self.tail.hash
                    );
                }
                Err(error) => {
                    tracing::error!(
                        "cannot rotate the journal {}: {error}; it grows until that works\nhelp: check the permissions of its directory",
                        self.path.display()
                    );
                    self.rotation_pause = ROTATION_PAUSE;
                }
            }
        }
        self.rotation_pause = self.rotation_pause.saturating_sub(1);
        let long = self
            .file
            .as_ref()
            .is_some_and(|open| open.length > self.options.rotate_at);
        if long && self.trouble.is_none() && self.rotation.is_none() && self.rotation_pause == 0 {
            let (path, keep) = (self.path.clone(), self.options.keep);
            let thread = thread::Builder::new()
                .name("lapwing-rotate".to_owned())
                .spawn(move || files::rotate(&path, keep));
            match thread {
                Ok(thread) => self.rotation = Some(thread),
                Err(error) => tracing::error!("cannot start a thread: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
