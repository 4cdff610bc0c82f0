//! The newest decisions and holds, kept in memory for whoever asks. A start reads them from
//! the end of the journal, so that a restart forgets none.
//!
//! ```text
//! journal's end ─▶ ┐
//!                  ├ ring of the newest 200 ── once a second, if changed ──▶ readers
//! new records ───▶ ┘
//! ```
//! What is kept is what anybody on the host may see: the sentence and who decided, but not
//! the clients' networks that the journal has as evidence.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
    sync::Arc,
};

use probe_core::Level;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{entry::Entry, files, record::Record};

/// So many are kept.
pub const KEPT: usize = 200;
/// So much of the journal's end is searched for them at the start, in bytes.
const SEARCHED: u64 = 1 << 20;

/// The newest ones, oldest first.
pub type Decisions = Arc<VecDeque<Arc<Decision>>>;

/// A level change that was decided, or was due and held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Decision {
    /// Its number in the journal, for `lapwing explain`.
    pub seq: u64,
    /// When it was written down, by the host's clock (RFC 3339).
    pub time: String,
    /// Whether it was carried out.
    pub event: What,
    /// The prefix.
    pub prefix: String,
    /// The level that was decided, or was due.
    pub level: Level,
    /// Who held it, if it was held.
    pub guard: Option<String>,
    /// What kind of finding led to it.
    pub cause: Option<String>,
    /// What kind of fault, if it is about one.
    pub class: Option<String>,
    /// In one sentence.
    pub sentence: String,
}

/// What was done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It was decided.
    Decision,
    /// A guard held it.
    Held,
}

impl Decision {
    /// What a record tells, if it tells of a decision. Its number is not known yet.
    fn of_record(record: &Record, time: &str) -> Option<Self> {
        let (event, prefix, level, guard, sentence, reason) = if let Record::Decision {
            prefix,
            level,
            sentence,
            reason,
            ..
        } = record
        {
            (What::Decision, prefix, level, None, sentence, reason)
        } else if let Record::Held {
            prefix,
            level,
            guard,
            sentence,
            reason,
        } = record
        {
            (What::Held, prefix, level, Some(guard), sentence, reason)
        } else {
            return None;
        };
        Some(Self {
            seq: 0,
            time: time.to_owned(),
            event,
            prefix: prefix.clone(),
            level: *level,
            guard: guard.map(|guard| guard.name().to_owned()),
            cause: Some(reason.cause().name().to_owned()),
            class: reason.class().map(|class| class.name().to_owned()),
            sentence: sentence.clone(),
        })
    }

    /// What a line of the journal tells, if it tells of a decision.
    fn of_line(line: &[u8]) -> Option<Self> {
        let entry = Entry::of(line)?;
        let event = match entry.event() {
            "decision" => What::Decision,
            "held" => What::Held,
            _ => return None,
        };
        let reason = |field| entry.reason(field).as_str().map(ToOwned::to_owned);
        Some(Self {
            seq: entry.seq(),
            time: entry.text("time")?.to_owned(),
            event,
            prefix: entry.text("prefix")?.to_owned(),
            level: entry.level()?,
            guard: entry.text("guard").map(ToOwned::to_owned),
            cause: reason("cause"),
            class: reason("class"),
            sentence: entry.text("sentence")?.to_owned(),
        })
    }
}

/// The ring.
#[derive(Debug)]
pub struct Recent {
    kept: VecDeque<Arc<Decision>>,
    changed: bool,
    sender: watch::Sender<Decisions>,
}

impl Recent {
    /// With those at the end of the journal at `path`. What cannot be read is left out.
    pub fn of_journal(path: &Path) -> Self {
        let kept = read(path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("cannot read earlier decisions from the journal: {error}");
            }
            VecDeque::new()
        });
        Self {
            sender: watch::Sender::new(Arc::new(kept.clone())),
            kept,
            changed: false,
        }
    }

    /// Whoever asks.
    pub fn subscribe(&self) -> watch::Receiver<Decisions> {
        self.sender.subscribe()
    }

    /// Takes a record that has the number `seq`, if it tells of a decision.
    pub fn take(&mut self, seq: u64, time: &str, record: &Record) {
        let Some(decision) = Decision::of_record(record, time) else {
            return;
        };
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::new(Decision { seq, ..decision }));
        self.changed = true;
    }

    /// Those from the number `first` on have numbers that are higher by `shift`.
    pub fn renumber(&mut self, first: u64, shift: u64) {
        for decision in self
            .kept
            .iter_mut()
            .filter(|decision| decision.seq >= first)
        {
            Arc::make_mut(decision).seq += shift;
            self.changed = true;
        }
    }

    /// Shows readers what is new. Not for each record: there may be hundreds at once.
    pub fn publish(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.sender.send_replace(Arc::new(self.kept.clone()));
        }
    }
}

fn read(path: &Path) -> io::Result<VecDeque<Arc<Decision>>> {
    let mut found = VecDeque::new();
    let mut left = SEARCHED;
    for name in files::all(path)?.into_iter().rev() {
        let mut file = File::open(name)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(left)))?;
        let mut bytes = Vec::new();
        file.take(left).read_to_end(&mut bytes)?;
        left = left.saturating_sub(length);
        // The first line may be a part of one, and then is none.
        for line in bytes.rsplit(|byte| *byte == b'\n') {
            if found.len() == KEPT {
                return Ok(found);
            }
            if let Some(decision) = Decision::of_line(line) {
                found.push_front(Arc::new(decision));
            }
        }
        if left == 0 {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;
    use crate::journal::record::{Names, ReasonRecord};

    /// One of each field, as [`held`] is told.
    pub(crate) fn decision(seq: u64) -> Decision {
        Decision {
            seq,
            time: "2026-11-23T10:00:00Z".into(),
            event: What::Held,
            prefix: "192.0.2.0/24".into(),
            level: Level::Withdrawn,
            guard: Some("last_site".into()),
            cause: Some("probe".into()),
            class: Some("quiet".into()),
            sentence: "web: the probe failed 3 times in a row (refused)".into(),
        }
    }

    fn shown(recent: &Recent) -> Vec<u64> {
        let decisions = recent.subscribe();
        let decisions = decisions.borrow();
        decisions.iter().map(|decision| decision.seq).collect()
    }

    fn line(seq: u64, event: &str, more: &str) -> String {
        format!(
            "{{\"seq\":{seq},\"prev\":\"x\",\"time\":\"2026-11-23T10:00:00Z\",\"event\":\"{event}\",\"prefix\":\"192.0.2.0/24\",\"level\":\"withdrawn\",\"sentence\":\"web: dead\",\"reason\":{{\"cause\":\"probe\",\"class\":null,\"evidence\":{{\"busiest\":[[\"198.51.100.0/24\",3]]}}}}{more}}}\n"
        )
    }

    #[test]
    fn a_start_knows_the_newest_of_all_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        assert_eq!(shown(&Recent::of_journal(&path)), [0; 0], "no journal");
        let old = line(1, "decision", "")
            + "torn\n"
            + &line(2, "armed", "")
            + &line(3, "held", ",\"guard\":\"last_site\"");
        fs::write(directory.path().join("journal.jsonl.1"), old).unwrap();
        fs::write(&path, line(4, "started", "") + &line(5, "decision", "")).unwrap();
        let recent = Recent::of_journal(&path);
        assert_eq!(shown(&recent), [1, 3, 5]);
        let held = Decision {
            seq: 3,
            time: "2026-11-23T10:00:00Z".into(),
            event: What::Held,
            prefix: "192.0.2.0/24".into(),
            level: Level::Withdrawn,
            guard: Some("last_site".into()),
            cause: Some("probe".into()),
            class: None,
            sentence: "web: dead".into(),
        };
        assert_eq!(*recent.kept[1], held);
    }

    fn held() -> Record {
        let reason: probe_core::Reason = serde_json::from_value(serde_json::json!({
            "cause": "probe", "class": "quiet", "kind": "connect", "service": 0,
            "service_name": "web", "second_leg": null, "probe_failures": 3,
            "probe_failure": "refused", "first_failure": null,
            "stood": { "secs": 0, "nanos": 0 }, "failed_services": [],
            "evidence": { "flows": 1, "networks": 1, "busiest": [["198.51.100.0/24", 1]] },
            "order": null, "others": [],
            "trials": {
                "score_ratio": 0.0, "score": 0.0, "threshold": 1.0, "p0": 0.0, "p1": 0.5,
                "failed": 0, "late": 0, "succeeded": 0, "trials_per_second": 0.0, "armed": false
            },
        }))
        .unwrap();
        Record::Held {
            prefix: "192.0.2.0/24".into(),
            level: Level::Withdrawn,
            guard: probe_core::command::Guard::LastSite,
            sentence: reason.sentence(),
            reason: ReasonRecord::new(&reason, &Names::default()),
        }
    }

    #[test]
    fn new_ones_are_told_once_a_second_with_their_final_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let mut recent = Recent::of_journal(&directory.path().join("journal.jsonl"));
        let readers = recent.subscribe();
        recent.take(
            1,
            "2026-11-23T10:00:00Z",
            &Record::Stopped { on_exit: "keep" },
        );
        for seq in 2..=KEPT as u64 + 2 {
            recent.take(seq, "2026-11-23T10:00:00Z", &held());
        }
        assert!(readers.borrow().is_empty(), "not told yet");
        recent.renumber(KEPT as u64 + 2, 10);
        recent.publish();
        let told = Arc::clone(&readers.borrow());
        assert_eq!((told.len(), told[0].seq), (KEPT, 3));
        let newest = decision(KEPT as u64 + 12);
        assert_eq!(told.back().map(|last| &**last), Some(&newest));
    }

    #[test]
    fn a_long_journal_is_read_from_its_end_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let padding = format!(",\"padding\":\"{}\"", "x".repeat(1 << 19));
        let lines: Vec<String> = (1..=4).map(|seq| line(seq, "held", &padding)).collect();
        fs::write(&path, lines.concat()).unwrap();
        // The one that was met halfway is none.
        assert_eq!(shown(&Recent::of_journal(&path)), [4]);
    }

    #[test]
    fn the_oldest_of_too_many_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let lines: Vec<String> = (1..=KEPT as u64 + 3)
            .map(|seq| line(seq, "held", ""))
            .collect();
        fs::write(&path, lines.concat()).unwrap();
        let kept = shown(&Recent::of_journal(&path));
        assert_eq!((kept.len(), kept[0]), (KEPT, 4));
    }
}
