use std::{fs, fs::OpenOptions, time::Duration};

use super::{
    chain::Gap,
    read::Reader,
    verify::{Break, Report, verify},
    *,
};

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
    let mut journal = Journal::open(&path, "fra1", "edge3", Options::default());
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
    let mut journal = Journal::open(&path, "a", "b", Options::default());
    journal.append(at(1), &stopped);
    journal.append(at(2), &stopped);
    journal.close();
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"seq\":3,\"ti").unwrap();
    let mut journal = Journal::open(&path, "a", "b", Options::default());
    journal.append(at(4), &stopped);
    journal.close();
    let seqs: Vec<_> = lines(&path)
        .iter()
        .map(|line| line["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4);
}

/// Replaces the file by one that takes nothing, or back.
fn put(journal: &mut Journal, file: File) -> File {
    let open = journal.file.as_mut().unwrap();
    std::mem::replace(&mut open.file, file)
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

const STOPPED: Record = Record::Stopped { on_exit: "keep" };

fn journal(path: &Path) -> Journal {
    Journal::open(path, "a", "b", Options::default())
}

/// A journal of so many records.
fn written(path: &Path, records: u64) {
    let mut journal = journal(path);
    for number in 0..records {
        journal.append(at(number), &STOPPED);
    }
    journal.close();
}

fn seqs(path: &Path) -> Vec<u64> {
    lines(path)
        .iter()
        .map(|line| line["seq"].as_u64().unwrap())
        .collect()
}

fn verified(path: &Path) -> Report {
    verify(&Reader::of_journal(path).unwrap()).unwrap()
}

fn ensure_whole(path: &Path, records: u64) -> Report {
    let report = verified(path);
    assert!(report.broken.is_none(), "{}", report.text());
    assert_eq!(report.records, records, "{}", report.text());
    report
}

#[test]
fn a_full_disk_loses_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut journal = journal(&path);
    let good = put(&mut journal, full());
    journal.append(at(1), &STOPPED);
    journal.append(at(2), &STOPPED);
    assert!(journal.trouble().is_some());
    assert!(lines(&path).is_empty());
    // It could not be cut off either, so it was given up.
    assert!(journal.file.is_none());
    drop(good);
    journal.retry();
    assert_eq!(journal.trouble(), None);
    journal.close();
    let report = ensure_whole(&path, 2);
    assert!(report.gaps.is_empty());
}

#[test]
fn records_that_found_no_room_are_a_gap_and_no_broken_link() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut journal = journal(&path);
    journal.append(at(1), &STOPPED);
    put(&mut journal, full());
    let many = BACKLOG as u64 + 3;
    for number in 0..many {
        journal.append(at(number), &STOPPED);
    }
    assert_eq!(journal.backlog.len(), BACKLOG);
    journal.retry();
    journal.append(at(9), &STOPPED);
    journal.close();
    let report = ensure_whole(&path, BACKLOG as u64 + 2);
    let gap = Gap {
        first_seq: 2,
        last_seq: 4,
    };
    assert_eq!(report.gaps.len(), 1);
    assert_eq!((report.gaps[0].what, report.gaps[0].line), (gap, 2));
    assert!(
        report.text().contains("records 2 to 4 are in the log only"),
        "{}",
        report.text()
    );
    // Who hides the gap breaks the chain.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace(r#","gap":{"first_seq":2,"last_seq":4}"#, ""),
    )
    .unwrap();
    assert!(verified(&path).broken.is_some());
}

#[test]
fn a_journal_that_could_not_be_read_at_the_start_is_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state/journal.jsonl");
    written(&path, 3);
    let aside = directory.path().join("aside");
    fs::rename(path.parent().unwrap(), &aside).unwrap();
    fs::write(path.parent().unwrap(), "in the way").unwrap();
    let mut journal = journal(&path);
    journal.append(at(7), &STOPPED);
    assert!(journal.trouble().is_some());
    fs::remove_file(path.parent().unwrap()).unwrap();
    fs::rename(&aside, path.parent().unwrap()).unwrap();
    journal.retry();
    assert_eq!(journal.trouble(), None);
    journal.append(at(8), &STOPPED);
    journal.close();
    assert_eq!(seqs(&path), [1, 2, 3, 4, 5]);
    ensure_whole(&path, 5);
}

#[test]
fn a_journal_that_somebody_removes_goes_on_and_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut journal = journal(&path);
    journal.append(at(1), &STOPPED);
    journal.append(at(2), &STOPPED);
    fs::remove_file(&path).unwrap();
    journal.retry();
    assert_eq!(journal.trouble(), None);
    journal.append(at(3), &STOPPED);
    journal.close();
    let report = ensure_whole(&path, 1);
    let gap = Gap {
        first_seq: 1,
        last_seq: 2,
    };
    assert_eq!(report.gaps[0].what, gap);
    assert_eq!(report.first_seq, Some(3));
}

type Deed = fn(&mut Vec<String>);

#[test]
fn what_is_done_to_a_journal_is_found() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let cases: [(&str, Deed, u64, Break); 6] = [
        (
            "a record is removed",
            |lines| drop(lines.remove(2)),
            3,
            Break::Missing {
                first_seq: 3,
                last_seq: 3,
            },
        ),
        (
            "a record is changed",
            |lines| lines[1] = lines[1].replace("keep", "withdraw"),
            3,
            Break::Changed,
        ),
        (
            "two records change places",
            |lines| lines.swap(1, 2),
            2,
            Break::Missing {
                first_seq: 2,
                last_seq: 2,
            },
        ),
        (
            "a record is there twice",
            |lines| lines.insert(3, lines[2].clone()),
            4,
            Break::OutOfOrder { behind: 3 },
        ),
        (
            "a record without a hash is added",
            |lines| lines.insert(3, r#"{"seq":4,"event":"stopped"}"#.to_owned()),
            4,
            Break::WithoutHash,
        ),
        (
            "a line is added that is no record",
            |lines| lines.insert(3, "hello".to_owned()),
            5,
            Break::Foreign { found: 6, told: 0 },
        ),
    ];
    for (what, deed, line, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        written(&path, 5);
        let mut text = lines(&fs::read_to_string(&path).unwrap());
        deed(&mut text);
        fs::write(&path, text.join("\n") + "\n").unwrap();
        let report = verified(&path);
        let broken = report.broken.as_ref().expect(what);
        assert_eq!((broken.line, broken.what), (line, expected), "{what}");
        assert!(
            report
                .text()
                .contains(&format!("journal.jsonl:{line}, record {}", broken.seq)),
            "{what}"
        );
    }
}

#[test]
fn records_of_versions_without_a_chain_are_said_to_be_so_and_the_last_is_held() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let old = "{\"seq\":1,\"event\":\"started\"}\n{\"se\n{\"seq\":2,\"event\":\"stopped\"}\n";
    fs::write(&path, old).unwrap();
    written(&path, 2);
    let report = ensure_whole(&path, 4);
    assert_eq!(report.without_hash, 2);
    assert!(
        report
            .text()
            .contains("the first 2 records were written before")
    );
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("stopped", "removed", 1)).unwrap();
    let broken = verified(&path).broken.unwrap();
    assert_eq!((broken.line, broken.what), (4, Break::Changed));
}

#[test]
fn torn_lines_are_tolerated_and_written_down() {
    for torn in [
        "{\"seq\":3,\"ti",
        "\0\0\0\0",
        "half\nanother half",
        "x\n",
        "\n",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        written(&path, 2);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(torn.as_bytes()).unwrap();
        assert!(verified(&path).open_end_bytes > 0, "{torn:?}");
        written(&path, 2);
        let report = ensure_whole(&path, 4);
        let bytes = torn.len() as u64 + u64::from(!torn.ends_with('\n'));
        assert_eq!(report.torn.len(), 1, "{torn:?}");
        assert_eq!(report.torn[0].what, bytes, "{torn:?}");
        assert_eq!(report.torn[0].seq, 3, "{torn:?}");
        // Who removes them is found.
        let text = fs::read(&path).unwrap();
        let records: Vec<&[u8]> = text
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(b"{") && line.ends_with(b"}\n"))
            .collect();
        fs::write(&path, records.concat()).unwrap();
        assert!(verified(&path).broken.is_some(), "{torn:?}");
    }
}

#[test]
fn a_whole_line_that_only_lacks_its_end_is_a_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    written(&path, 2);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.trim_end()).unwrap();
    written(&path, 1);
    let report = ensure_whole(&path, 3);
    assert!(report.torn.is_empty());
}

/// Looks after the journal until a rotation is through.
fn rotate(journal: &mut Journal, append_meanwhile: bool) {
    journal.retry();
    assert!(journal.rotation.is_some());
    if append_meanwhile {
        journal.append(at(1), &STOPPED);
    }
    while journal.rotation.is_some() {
        thread::sleep(Duration::from_millis(1));
        journal.retry();
    }
}

#[test]
fn the_chain_goes_on_through_rotated_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let options = Options {
        rotate_at: 100,
        keep: 2,
    };
    let mut journal = Journal::open(&path, "a", "b", options);
    for _ in 0..4 {
        journal.append(at(1), &STOPPED);
        rotate(&mut journal, true);
    }
    assert_eq!(fs::read(&path).unwrap(), b"", "nothing since");
    journal.close();
    let report = ensure_whole(&path, 4);
    assert_eq!(report.files.len(), 3);
    assert!(report.older_gone);
    assert_eq!(report.first_seq, Some(5));

    // The next life begins with an empty file behind full ones.
    written(&path, 1);
    ensure_whole(&path, 5);
    assert_eq!(seqs(&path), [9]);

    // A file that is taken out is missed.
    fs::remove_file(directory.path().join("journal.jsonl.1")).unwrap();
    let broken = verified(&path).broken.unwrap();
    let missing = Break::Missing {
        first_seq: 7,
        last_seq: 8,
    };
    assert_eq!((broken.file, broken.what), (path, missing));
}

#[test]
fn a_rotation_that_fails_costs_no_record_and_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    // A directory where the old file is to be: it is not removed like a file.
    let blocked = directory.path().join("journal.jsonl.1");
    let mut journal = Journal::open(
        &path,
        "a",
        "b",
        Options {
            rotate_at: 100,
            keep: 1,
        },
    );
    journal.append(at(1), &STOPPED);
    fs::create_dir(&blocked).unwrap();
    rotate(&mut journal, true);
    assert!(journal.rotation_pause > 0);
    journal.append(at(2), &STOPPED);
    assert_eq!(journal.trouble(), None);
    fs::remove_dir(&blocked).unwrap();
    for _ in 0..ROTATION_PAUSE {
        journal.retry();
    }
    while journal.rotation.is_some() {
        thread::sleep(Duration::from_millis(1));
        journal.retry();
    }
    journal.close();
    assert!(blocked.is_file());
    ensure_whole(&path, 3);
}

#[test]
fn a_place_that_cannot_be_made_degrades_to_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("file");
    fs::write(&blocked, "").unwrap();
    let path = blocked.join("journal.jsonl");
    let mut journal = Journal::open(&path, "a", "b", Options::default());
    assert!(journal.trouble().is_some());
    journal.append(at(1), &Record::Stopped { on_exit: "keep" });
    fs::remove_file(&blocked).unwrap();
    journal.retry();
    assert_eq!(journal.trouble(), None);
    assert_eq!(lines(&path).len(), 1);
    journal.close();
}
