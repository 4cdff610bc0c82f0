//! The journal: what happened and why, one JSON object per line, for ever.
//!
//! ```text
//! record ─▶ line ─▶ write(2) into the page cache ─▶ sync thread ─▶ fdatasync
//!              └ fails ─▶ log (whole record) + backlog ─▶ tried again
//! ```
//!
//! A record survives the death of this process as soon as [`Journal::append`]
//! returns, and the death of the host a little later: the disk is waited for by a
//! thread, never by a decision. A journal that cannot be written costs no record:
//! each goes to the log as a whole, waits in memory, and is written once that works
//! again.

pub mod record;

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use probe_core::Timestamp;
use serde::Serialize;

use record::Record;

/// Records that wait in memory while the file cannot be written.
const BACKLOG: usize = 4096;
/// How much of an old journal's end is searched for its last record.
const TAIL: u64 = 1 << 20;
/// How long the end of the program waits for the disk.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    site: String,
    host: String,
    next_seq: u64,
    file: Option<File>,
    /// Length of the file up to the last whole line.
    length: u64,
    backlog: VecDeque<String>,
    /// Records that found no room in the backlog; they are in the log only.
    lost: u64,
    trouble: Option<String>,
    syncer: Option<Syncer>,
    sync_trouble: Arc<Mutex<Option<String>>>,
}

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    time: String,
    mono_ns: u64,
    site: &'a str,
    host: &'a str,
    #[serde(flatten)]
    record: &'a Record,
}

impl Journal {
    /// Opens or creates the journal. Never fails: what cannot be written goes to the
    /// log, see [`Journal::trouble`].
    pub fn open(path: &Path, site: &str, host: &str) -> Self {
        let mut journal = Self {
            path: path.to_owned(),
            site: site.to_owned(),
            host: host.to_owned(),
            next_seq: 1,
            file: None,
            length: 0,
            backlog: VecDeque::new(),
            lost: 0,
            trouble: None,
            syncer: None,
            sync_trouble: Arc::default(),
        };
        if let Err(error) = journal.reopen() {
            journal.fail(&error);
        }
        journal
    }

    /// Adds a record of something that happened at `at`.
    pub fn append(&mut self, at: Timestamp, record: &Record) {
        let line = Line {
            seq: self.next_seq,
            time: humantime::format_rfc3339_nanos(SystemTime::now()).to_string(),
            mono_ns: at.as_nanos(),
            site: &self.site,
            host: &self.host,
            record,
        };
        let text = match serde_json::to_string(&line) {
            Ok(text) => text + "\n",
            Err(error) => {
                tracing::error!("a journal record cannot be written as JSON ({error}): {record:?}");
                return;
            }
        };
        self.next_seq += 1;
        self.backlog.push_back(text);
        if self.trouble.is_some() {
            self.keep_in_log();
        } else if let Err(error) = self.write_backlog() {
            self.fail(&error);
            self.keep_in_log();
        }
    }

    /// Tries again to write what waits. To be called once a second.
    pub fn retry(&mut self) {
        if let Ok(mut trouble) = self.sync_trouble.lock()
            && let Some(trouble) = trouble.take()
        {
            tracing::error!(
                "the journal {} may not survive a crash: {trouble}",
                self.path.display()
            );
        }
        if self.trouble.is_none() {
            return;
        }
        let result = if self.file.is_none() {
            self.reopen().and_then(|()| self.write_backlog())
        } else {
            self.write_backlog()
        };
        if result.is_ok() {
            self.trouble = None;
            tracing::info!(
                "the journal {} is written again; {} records are in the log only",
                self.path.display(),
                self.lost
            );
            self.lost = 0;
        }
    }

    /// Why records go to the log, if they do.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Where the journal is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until everything written is on the disk, for the end of the program.
    pub fn close(mut self) {
        self.retry();
        if let Some(syncer) = self.syncer.take() {
            syncer.finish();
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
        if let Some(line) = self.backlog.back() {
            tracing::error!("journal record: {}", line.trim_end());
        }
        while self.backlog.len() > BACKLOG {
            self.backlog.pop_front();
            self.lost += 1;
        }
    }

    fn write_backlog(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it is not open"));
        };
        while let Some(line) = self.backlog.front() {
            if let Err(error) = file.write_all(line.as_bytes()) {
                // Half a line would spoil the next one. If it cannot be cut off,
                // opening again will close it.
                if file.set_len(self.length).is_err() {
                    self.file = None;
                }
                return Err(error);
            }
            self.length += line.len() as u64;
            self.backlog.pop_front();
        }
        if let Some(syncer) = &self.syncer {
            syncer.request();
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&self.path)?;
        let end = End::of(&mut file)?;
        if end.torn {
            file.write_all(b"\n")?;
        }
        self.length = file.metadata()?.len();
        // Records that already wait keep their numbers.
        self.next_seq = self.next_seq.max(end.last_seq + 1);
        self.syncer = Some(Syncer::start(
            file.try_clone()?,
            Arc::clone(&self.sync_trouble),
        )?);
        self.file = Some(file);
        Ok(())
    }
}

/// How an old journal ends.
#[derive(Debug, PartialEq, Eq)]
struct End {
    last_seq: u64,
    /// The last line has no end: the host died while it was written.
    torn: bool,
}

#[derive(serde::Deserialize)]
struct Numbered {
    seq: u64,
}

impl End {
    fn of(file: &mut File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        Ok(Self {
            last_seq: tail
                .rsplit(|byte| *byte == b'\n')
                .find_map(|line| serde_json::from_slice::<Numbered>(line).ok())
                .map_or(0, |line| line.seq),
            torn: tail.last().is_some_and(|byte| *byte != b'\n'),
        })
    }
}

/// Waits for the disk, so that nobody else has to.
#[derive(Debug)]
struct Syncer {
    requests: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Syncer {
    fn start(file: File, trouble: Arc<Mutex<Option<String>>>) -> io::Result<Self> {
        let (requests, receiver): (_, Receiver<()>) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("lapwing-journal".to_owned())
            .spawn(move || {
                for () in receiver {
                    if let Err(error) = file.sync_data()
                        && let Ok(mut trouble) = trouble.lock()
                    {
                        *trouble = Some(error.to_string());
                    }
                }
            })?;
        Ok(Self { requests, thread })
    }

    /// One waiting request stands for all that was written before it is served.
    fn request(&self) {
        match self.requests.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }

    /// Waits for what was requested, but not for ever: a dead disk must not keep
    /// the daemon from ending.
    fn finish(self) {
        self.request();
        drop(self.requests);
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        while !self.thread.is_finished() {
            if Instant::now() > deadline {
                tracing::error!("the disk takes too long to keep the journal's last records");
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        fs::read_to_string(path)
            .unwrap()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    fn at(nanoseconds: u64) -> Timestamp {
        Timestamp::from_nanos(nanoseconds)
    }

    #[test]
    fn a_record_is_one_line_with_number_times_and_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/journal.jsonl");
        let mut journal = Journal::open(&path, "fra1", "edge3");
        journal.append(at(42), &Record::Stopped { on_exit: "keep" });
        let line = &lines(&path)[0];
        assert_eq!(line["seq"], 1);
        assert_eq!(line["mono_ns"], 42);
        assert_eq!(line["site"], "fra1");
        assert_eq!(line["host"], "edge3");
        assert_eq!(line["event"], "stopped");
        let time = line["time"].as_str().unwrap();
        assert_eq!(time.len(), "2026-11-23T10:00:00.123456789Z".len());
        assert!(humantime::parse_rfc3339(time).is_ok());
        journal.close();
    }

    #[test]
    fn numbers_go_on_after_a_restart_even_behind_a_torn_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let stopped = Record::Stopped { on_exit: "keep" };
        let mut journal = Journal::open(&path, "a", "b");
        journal.append(at(1), &stopped);
        journal.append(at(2), &stopped);
        journal.close();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"seq\":3,\"ti").unwrap();
        let mut journal = Journal::open(&path, "a", "b");
        journal.append(at(4), &stopped);
        journal.close();
        let seqs: Vec<_> = lines(&path)
            .iter()
            .map(|line| line["seq"].as_u64().unwrap())
            .collect();
        assert_eq!(seqs, [1, 2, 3]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4);
    }

    #[test]
    fn a_full_disk_loses_no_record() {
        // /dev/full takes nothing; the journal then finds a place again.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let mut journal = Journal::open(&path, "a", "b");
        let good = journal.file.take();
        journal.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
        journal.append(at(1), &Record::Stopped { on_exit: "keep" });
        journal.append(at(2), &Record::Stopped { on_exit: "keep" });
        assert!(journal.trouble().is_some());
        assert!(lines(&path).is_empty());
        journal.file = good;
        journal.retry();
        assert_eq!(journal.trouble(), None);
        assert_eq!(lines(&path).len(), 2);
        journal.close();
    }

    #[test]
    fn a_place_that_cannot_be_made_degrades_to_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("file");
        fs::write(&blocked, "").unwrap();
        let path = blocked.join("journal.jsonl");
        let mut journal = Journal::open(&path, "a", "b");
        assert!(journal.trouble().is_some());
        journal.append(at(1), &Record::Stopped { on_exit: "keep" });
        fs::remove_file(&blocked).unwrap();
        journal.retry();
        assert_eq!(journal.trouble(), None);
        assert_eq!(lines(&path).len(), 1);
        journal.close();
    }
}
