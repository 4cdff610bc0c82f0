//! One daemon per state directory: an advisory lock that the kernel drops with the
//! process, however it dies.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

/// The lock, held while this lives.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it.
    #[error(
        "another lapwing (process {owner}) runs with the state directory {}\nhelp: stop it first (`systemctl stop lapwing`), or give this one its own `state_dir` and `control`",
        directory.display()
    )]
    Held {
        /// The directory.
        directory: PathBuf,
        /// Who, as it wrote itself.
        owner: String,
    },
    /// The directory cannot be used.
    #[error(
        "cannot use the state directory {}: {source}\nhelp: run as root, or choose another directory with `state_dir` in [daemon]",
        directory.display()
    )]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock of `directory`, which is made if it is not there.
    pub fn take(directory: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Directory {
            directory: directory.to_owned(),
            source,
        };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join("lock"))
            .map_err(failed)?;
        let mut owner = String::new();
        file.read_to_string(&mut owner).map_err(failed)?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((_, Errno::EWOULDBLOCK)) => {
                return Err(Error::Held {
                    directory: directory.to_owned(),
                    owner: owner.trim().to_owned(),
                });
            }
            Err((_, errno)) => return Err(failed(errno.into())),
        };
        // The number is only for the message above; a full disk must not keep the
        // daemon from starting.
        if let Err(error) = write_owner(&mut file) {
            tracing::debug!("cannot write into the lock file: {error}");
        }
        Ok(Self { _file: file })
    }
}

fn write_owner(file: &mut File) -> io::Result<()> {
    use std::io::Seek;
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_and_told_who_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::take(directory.path()).unwrap();
        let second = Lock::take(directory.path()).unwrap_err().to_string();
        assert!(
            second.contains(&format!("process {}", std::process::id())),
            "{second}"
        );
        drop(first);
        Lock::take(directory.path()).unwrap();
    }
}
