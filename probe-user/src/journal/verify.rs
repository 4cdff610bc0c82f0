//! Whether a journal is whole: every record must carry the hash of the one before.
//!
//! What the journal itself named when it was written is no break: a torn line, numbers
//! that only the log has, old records without hashes, old files that were removed by
//! rotation. What it cannot find: whoever may write the file can take records off its
//! end, or write a new chain from some record on. Against that helps the hash of the
//! last record, kept elsewhere: it is printed here, and the daemon logs it whenever it
//! opens a file.

use std::{
    fmt::{self, Write as _},
    path::PathBuf,
};

use serde::Serialize;

use super::{
    chain::{Gap, Hash, Link},
    read::{Error, Line, Reader},
};

/// What was found.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// The files, oldest first.
    pub files: Vec<PathBuf>,
    /// Records in all of them.
    pub records: u64,
    /// Records at the beginning that carry no hash: written before there was a chain.
    pub without_hash: u64,
    /// The number of the first record.
    pub first_seq: Option<u64>,
    /// Whether there were records before the first one, in files that are gone.
    pub older_gone: bool,
    /// The last record.
    pub last: Option<Last>,
    /// Numbers that the journal says are in the log only.
    pub gaps: Vec<Told<Gap>>,
    /// Bytes that the journal says were left of lines when the host died.
    pub torn: Vec<Told<u64>>,
    /// Bytes behind the last record: the host died, or a record is just being written.
    pub open_end_bytes: u64,
    /// The first broken link.
    pub broken: Option<Told<Break>>,
    /// Broken links in all.
    pub breaks: u64,
}

/// The last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Last {
    /// Its number.
    pub seq: u64,
    /// Its hash, 64 hexadecimal digits.
    #[cfg_attr(test, schemars(with = "String"))]
    pub hash: Hash,
}

/// Something, and the record at which it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Told<T> {
    /// The file.
    pub file: PathBuf,
    /// The line in it.
    pub line: u64,
    /// The record's number.
    pub seq: u64,
    /// What.
    pub what: T,
}

/// How a link is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Break {
    /// The record before was changed.
    Changed,
    /// Records before it were removed.
    Missing {
        /// The first missing number.
        first_seq: u64,
        /// The last one.
        last_seq: u64,
    },
    /// It stands behind a record that came later, or twice.
    OutOfOrder {
        /// The number of the record before.
        behind: u64,
    },
    /// It carries no hash, though records before it do.
    WithoutHash,
    /// Lines that are no records were put before it or removed from there.
    Foreign {
        /// So many bytes.
        found: u64,
        /// So many bytes were there when it was written.
        told: u64,
    },
    /// Numbers are skipped that it does not name.
    Unnamed,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("the record before it was changed"),
            Self::Missing {
                first_seq,
                last_seq,
            } if first_seq == last_seq => write!(f, "record {first_seq} before it is missing"),
            Self::Missing {
                first_seq,
                last_seq,
            } => write!(f, "records {first_seq} to {last_seq} before it are missing"),
            Self::OutOfOrder { behind } => {
                write!(f, "it stands behind record {behind}: moved, or written twice")
            }
            Self::WithoutHash => f.write_str(
                "it has no hash, though records before it have: added by hand, or by an older lapwing",
            ),
            Self::Foreign { found, told } => write!(
                f,
                "{found} bytes before it are no record, of which it knows {told}"
            ),
            Self::Unnamed => f.write_str("numbers before it are skipped that it does not name"),
        }
    }
}

/// Reads the whole journal.
pub fn verify(reader: &Reader) -> Result<Report, Error> {
    let mut walk = Walk::default();
    reader.each(|line| walk.take(line))?;
    walk.report.files = reader.files().map(ToOwned::to_owned).collect();
    walk.report.open_end_bytes = walk.torn_bytes;
    Ok(walk.report)
}

/// What is known after so many lines.
#[derive(Debug, Default)]
struct Walk {
    report: Report,
    /// Whether a record with a hash was seen.
    chained: bool,
    /// Bytes since the last record that are no record.
    torn_bytes: u64,
}

impl Walk {
    fn take(&mut self, line: Line<'_>) {
        let Some(record) = Link::of(line.bytes) else {
            self.torn_bytes += line.bytes.len() as u64 + u64::from(line.ended);
            return;
        };
        if let Some(broken) = self.judge(record, line) {
            self.report.breaks += 1;
            let told = told(line, record.seq, broken);
            self.report.broken.get_or_insert(told);
        }
        self.report.records += 1;
        self.report.first_seq.get_or_insert(record.seq);
        self.chained |= record.prev.is_some();
        self.torn_bytes = 0;
        self.report.last = Some(Last {
            seq: record.seq,
            hash: Hash::of(line.bytes),
        });
    }

    fn judge(&mut self, record: Link, line: Line<'_>) -> Option<Break> {
        let Some(prev) = record.prev else {
            if self.chained {
                return Some(Break::WithoutHash);
            }
            self.report.without_hash += 1;
            return None;
        };
        let Some(before) = self.report.last else {
            self.report.older_gone = prev != Hash::NONE;
            self.tell_gap(record, line);
            return None;
        };
        if prev != before.hash {
            return Some(if record.seq <= before.seq {
                Break::OutOfOrder { behind: before.seq }
            } else if record.seq > before.seq + 1 {
                Break::Missing {
                    first_seq: before.seq + 1,
                    last_seq: record.seq - 1,
                }
            } else {
                Break::Changed
            });
        }
        let torn = record.torn_bytes.unwrap_or(0);
        if torn != self.torn_bytes {
            return Some(Break::Foreign {
                found: self.torn_bytes,
                told: torn,
            });
        }
        if torn > 0 {
            self.report.torn.push(told(line, record.seq, torn));
        }
        let skipped = (record.seq != before.seq + 1).then_some(Gap {
            first_seq: before.seq + 1,
            last_seq: record.seq.saturating_sub(1),
        });
        if skipped != record.gap {
            return Some(Break::Unnamed);
        }
        self.tell_gap(record, line);
        None
    }

    fn tell_gap(&mut self, record: Link, line: Line<'_>) {
        if let Some(gap) = record.gap {
            self.report.gaps.push(told(line, record.seq, gap));
        }
    }
}

fn told<T>(line: Line<'_>, seq: u64, what: T) -> Told<T> {
    Told {
        file: line.file.to_owned(),
        line: line.number,
        seq,
        what,
    }
}

impl Report {
    /// In words.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text)
            .expect("a String takes everything that is written");
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let files = match self.files.len() {
            1 => "1 file".to_owned(),
            count => format!("{count} files"),
        };
        match (&self.broken, self.records) {
            (Some(told), _) => {
                writeln!(
                    out,
                    "BROKEN at {}:{}, record {}: {}",
                    told.file.display(),
                    told.line,
                    told.seq,
                    told.what
                )?;
                if self.breaks > 1 {
                    writeln!(out, "{} further links are broken", self.breaks - 1)?;
                }
            }
            (None, 0) => writeln!(out, "empty: no record in {files}")?,
            (None, records) => writeln!(out, "whole: {records} records in {files}")?,
        }
        if self.without_hash > 0 {
            writeln!(
                out,
                "the first {} records were written before there was a chain: only the last of them is secured by it",
                self.without_hash
            )?;
        }
        if self.older_gone
            && let Some(first) = self.first_seq
        {
            writeln!(
                out,
                "begins with record {first}; the files before it are gone"
            )?;
        }
        for Told {
            file, line, what, ..
        } in &self.gaps
        {
            let Gap {
                first_seq,
                last_seq,
            } = what;
            let which = if first_seq == last_seq {
                format!("record {first_seq} is")
            } else {
                format!("records {first_seq} to {last_seq} are")
            };
            writeln!(
                out,
                "gap before {}:{line}: {which} in the log only",
                file.display()
            )?;
        }
        for Told {
            file, line, what, ..
        } in &self.torn
        {
            writeln!(
                out,
                "torn line before {}:{line}: {what} bytes, left when the host died",
                file.display()
            )?;
        }
        if self.open_end_bytes > 0 {
            writeln!(
                out,
                "{} bytes behind the last record: the host died, or a record is just being written",
                self.open_end_bytes
            )?;
        }
        if let Some(Last { seq, hash }) = self.last {
            writeln!(out, "last record {seq}, hash {hash}")?;
        }
        Ok(())
    }
}
