//! The files of a journal: the newest records in `journal.jsonl`, older ones in
//! `journal.jsonl.1`, `.2` and so on, the oldest in the one with the highest number.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

/// The file with the number.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The numbers of the old files that are there, lowest first.
fn numbers(path: &Path) -> io::Result<Vec<u32>> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let found = entry?.file_name();
        let found = found.to_string_lossy();
        let number = found
            .strip_prefix(&*name)
            .and_then(|rest| rest.strip_prefix('.'));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The old files, oldest first.
pub fn old(path: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(numbers(path)?
        .into_iter()
        .rev()
        .map(|number| numbered(path, number))
        .collect())
}

/// All files, oldest first.
pub fn all(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = old(path)?;
    if path.exists() {
        files.push(path.to_owned());
    }
    Ok(files)
}

/// Opens the file to which records are added.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
}

/// Makes the newest file an old one and opens a new one; `keep` old ones stay.
///
/// Whoever has the newest file open goes on writing into it by its new name. Each step
/// leaves the files in an order that [`all`] gives back.
pub fn rotate(path: &Path, keep: u32) -> io::Result<File> {
    // First, since it may fail: then all is as it was.
    for number in numbers(path)?.into_iter().filter(|number| *number >= keep) {
        fs::remove_file(numbered(path, number))?;
    }
    let present = numbers(path)?;
    // Up to the first free number all move up by one.
    let first_free = (1..=u32::MAX)
        .find(|number| !present.contains(number))
        .unwrap_or(u32::MAX);
    for number in (1..first_free).rev() {
        fs::rename(numbered(path, number), numbered(path, number + 1))?;
    }
    fs::rename(path, numbered(path, 1))?;
    let file = open(path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        all(path).unwrap().into_iter().map(name).collect()
    }

    #[test]
    fn files_move_up_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("j");
        fs::write(directory.path().join("j.x"), "not ours").unwrap();
        for content in ["a", "b", "c", "d"] {
            fs::write(&path, content).unwrap();
            rotate(&path, 2).unwrap();
        }
        assert_eq!(names(&path), ["j.2", "j.1", "j"]);
        assert_eq!(fs::read(numbered(&path, 2)).unwrap(), b"c");
        assert_eq!(fs::read(numbered(&path, 1)).unwrap(), b"d");
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert!(directory.path().join("j.x").exists());
    }

    #[test]
    fn a_hole_in_the_numbers_is_filled_before_anything_else_moves() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("j");
        for (name, content) in [("j", "new"), ("j.1", "1"), ("j.3", "3")] {
            fs::write(directory.path().join(name), content).unwrap();
        }
        rotate(&path, 9).unwrap();
        assert_eq!(names(&path), ["j.3", "j.2", "j.1", "j"]);
        assert_eq!(fs::read(numbered(&path, 2)).unwrap(), b"1");
    }
}
