//! How a journal ends that was written before.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use super::{
    chain::{Hash, Link, Tail},
    files,
};

/// How much of a file's end is searched for its last record.
const SEARCHED: u64 = 1 << 20;

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Its last record.
    pub tail: Tail,
    /// So many bytes behind it are no record.
    pub torn_bytes: u64,
    /// The last line has no end: the host died while it was written.
    pub open: bool,
}

impl End {
    /// The end of a file.
    pub fn of(file: &mut File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(SEARCHED)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let open = bytes.last().is_some_and(|byte| *byte != b'\n');
        let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let lines = body
            .rsplit(|byte| *byte == b'\n')
            .filter(|_| !bytes.is_empty());
        // What is behind the last record, with all line feeds.
        let mut torn_bytes = 0;
        for line in lines {
            if let Some(link) = Link::of(line) {
                let (seq, hash) = (link.seq, Hash::of(line));
                return Ok(Self {
                    tail: Tail { seq, hash },
                    torn_bytes,
                    open,
                });
            }
            torn_bytes += line.len() as u64 + 1;
        }
        Ok(Self {
            tail: Tail::NONE,
            torn_bytes,
            open,
        })
    }

    /// The end of the journal of which `file` at `path` is the newest part: that of
    /// the last old one if nothing stands in it yet.
    pub fn of_journal(file: &mut File, path: &Path) -> io::Result<Self> {
        let mut end = Self::of(file)?;
        for old in files::old(path)?.into_iter().rev() {
            if end.tail != Tail::NONE {
                break;
            }
            let before = Self::of(&mut File::open(old)?)?;
            end.tail = before.tail;
            // A line without an end has no line feed, and gets none there.
            end.torn_bytes += before.torn_bytes;
            if before.torn_bytes > 0 && before.open {
                end.torn_bytes -= 1;
            }
        }
        Ok(end)
    }
}
