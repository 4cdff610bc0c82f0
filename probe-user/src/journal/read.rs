//! Reads a journal that another process may be writing: files flow in, lines flow out,
//! oldest first.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{chain::Link, files};

/// A rotation moves the files between two looks at the directory; two in a row are not
/// met by chance.
const TRIES: u32 = 5;

/// The files of a journal, open, oldest first.
#[derive(Debug)]
pub struct Reader(Vec<(PathBuf, File)>);

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The file's name.
    pub file: &'a Path,
    /// The line's number, from 1 on.
    pub number: u64,
    /// The line without its line feed.
    pub bytes: &'a [u8],
    /// Whether it has a line feed.
    pub ended: bool,
}

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read the journal {}: {source}\nhelp: name an existing file that this user may read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no file.
    #[error("there is no journal {}\nhelp: name its files, or the configuration whose `state_dir` holds it with --config", .0.display())]
    Missing(PathBuf),
}

impl Reader {
    /// The journal at `path` with all its old files.
    pub fn of_journal(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Unreadable {
            path: path.to_owned(),
            source,
        };
        for _ in 0..TRIES {
            let names = match files::all(path) {
                Ok(names) if names.is_empty() => return Err(Error::Missing(path.to_owned())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(Error::Missing(path.to_owned()));
                }
                names => names.map_err(failed)?,
            };
            let opened: io::Result<Vec<_>> = names
                .into_iter()
                .map(|name| File::open(&name).map(|file| (name, file)))
                .collect();
            let opened = match opened {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(failed)?,
            };
            let now = files::all(path).map_err(failed)?;
            let same = now.len() == opened.len()
                && opened.iter().zip(&now).all(|((_, file), name)| {
                    match (file.metadata(), std::fs::metadata(name)) {
                        (Ok(open), Ok(there)) => open.ino() == there.ino(),
                        (Err(_), _) | (_, Err(_)) => false,
                    }
                });
            if same {
                return Ok(Self(opened));
            }
        }
        Err(failed(io::Error::other("its files move all the time")))
    }

    /// These files, in the order of their first records.
    pub fn of_files(names: &[PathBuf]) -> Result<Self, Error> {
        let mut files = Vec::new();
        for name in names {
            let failed = |source| Error::Unreadable {
                path: name.clone(),
                source,
            };
            let file = File::open(name).map_err(failed)?;
            let mut first = None;
            each_line(name, &file, &mut |line| {
                first = first.or(Link::of(line.bytes).map(|link| link.seq));
                first.is_none()
            })
            .map_err(failed)?;
            files.push((first, name.clone(), file));
        }
        files.sort_by_key(|(first, ..)| *first);
        Ok(Self(
            files
                .into_iter()
                .map(|(_, name, file)| (name, file))
                .collect(),
        ))
    }

    /// The files' names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(name, _)| name.as_path())
    }

    /// Gives every line of every file to `take`.
    pub fn each(&self, mut take: impl FnMut(Line<'_>)) -> Result<(), Error> {
        for (name, file) in &self.0 {
            each_line(name, file, &mut |line| {
                take(line);
                true
            })
            .map_err(|source| Error::Unreadable {
                path: name.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

/// Gives the lines of a file to `take` for as long as it says yes.
fn each_line(name: &Path, file: &File, take: &mut dyn FnMut(Line<'_>) -> bool) -> io::Result<()> {
    let mut reader = BufReader::new(file);
    reader.rewind()?;
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        let ended = bytes.pop_if(|byte| *byte == b'\n').is_some();
        let more = take(Line {
            file: name,
            number,
            bytes: &bytes,
            ended,
        });
        if !more {
            break;
        }
    }
    Ok(())
}
