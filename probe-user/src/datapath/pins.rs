//! Where things are pinned.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use probe_common::ABI_VERSION;

use super::{Error, Hook, Mode};

/// The pin directories of this ABI version.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
    /// Held while somebody may use what is pinned; none where it is only looked at.
    _lock: Option<Arc<Flock<File>>>,
}

impl Pins {
    /// Makes the directories.
    pub fn create(pin_dir: &Path) -> Result<Self, Error> {
        let pins = Self::at(pin_dir);
        for directory in [pins.maps(), pins.links()] {
            fs::create_dir_all(&directory).map_err(|source| Error::PinDirectory {
                path: pin_dir.to_owned(),
                source,
            })?;
        }
        let kind = statfs(&pins.root).map_err(|errno| Error::PinDirectory {
            path: pin_dir.to_owned(),
            source: errno.into(),
        })?;
        if kind.filesystem_type() != BPF_FS_MAGIC {
            // Leave no ordinary directories behind where bpffs was meant to be.
            let _ = fs::remove_dir_all(&pins.root);
            return Err(Error::PinDirectory {
                path: pin_dir.to_owned(),
                source: io::Error::other("it is not in a bpffs"),
            });
        }
        Ok(Self {
            _lock: Some(Arc::new(lock(pin_dir)?)),
            ..pins
        })
    }

    /// The directories, whether they exist or not.
    pub fn at(pin_dir: &Path) -> Self {
        Self {
            root: pin_dir.join(format!("v{ABI_VERSION}")),
            _lock: None,
        }
    }

    /// The directory of this ABI version.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where maps are pinned.
    pub fn maps(&self) -> PathBuf {
        self.root.join("maps")
    }

    /// Where links are pinned.
    pub fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// Where the link of an attachment is pinned.
    pub fn link(&self, interface: &str, hook: Hook, mode: Mode) -> PathBuf {
        // bpffs allows no dots in names; interface names may have them.
        let interface = interface.replace('.', "@");
        self.links()
            .join(format!("{interface}-{}-{}", hook.name(), mode.name()))
    }

    /// Takes the links that versions with another layout pinned: the hook is theirs, and
    /// the kernel lets us put our program there in place. Their maps stay until
    /// [`remove_others`](Self::remove_others), so that a start that fails now leaves them
    /// counting.
    pub fn take_over_links(&self) {
        for other in self.others() {
            for (path, name) in entries(&other.join("links")) {
                let ours = self.links().join(&name);
                if ours.exists() {
                    continue;
                }
                if let Err(error) = fs::rename(&path, &ours) {
                    tracing::warn!("cannot take over the hook {}: {error}", path.display());
                }
            }
        }
    }

    /// Removes what versions with another layout left. What they counted cannot be read.
    pub fn remove_others(&self) {
        for other in self.others() {
            match remove(&other) {
                Ok(_) => tracing::info!(
                    "replaced the hooks and maps of another version in {}; counters begin at zero",
                    other.display()
                ),
                Err(error) => tracing::warn!("cannot remove {}: {error}", other.display()),
            }
        }
    }

    /// The directories of versions with another layout.
    fn others(&self) -> Vec<PathBuf> {
        let Some(pin_dir) = self.root.parent() else {
            return Vec::new();
        };
        entries(pin_dir)
            .into_iter()
            .filter(|(path, name)| {
                let number = name.strip_prefix('v').map(str::parse::<u32>);
                matches!(number, Some(Ok(_))) && *path != self.root && path.is_dir()
            })
            .map(|(path, _)| path)
            .collect()
    }

    /// Removes the pins of all versions and their directories. What was removed is
    /// returned.
    pub fn remove_all(pin_dir: &Path) -> Result<Vec<String>, Error> {
        if !pin_dir.exists() {
            return Ok(Vec::new());
        }
        let _lock = lock(pin_dir)?;
        let ours = Self::at(pin_dir);
        let mut removed = Vec::new();
        for root in std::iter::once(ours.root.clone()).chain(ours.others()) {
            removed.extend(remove(&root).map_err(|source| Error::PinDirectory {
                path: root.clone(),
                source,
            })?);
        }
        // Somebody else's files may be there; then it stays.
        let _ = fs::remove_dir(pin_dir);
        Ok(removed)
    }
}

/// Everything in a directory with its name; nothing of one that is not there.
fn entries(directory: &Path) -> Vec<(PathBuf, String)> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| Some((entry.path(), entry.file_name().into_string().ok()?)))
        .collect()
}

/// Removes the pins of one version, links first, and its directories.
fn remove(root: &Path) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    for directory in [root.join("links"), root.join("maps")] {
        for (path, _) in entries(&directory) {
            fs::remove_file(&path)?;
            removed.push(path.display().to_string());
        }
        let _ = fs::remove_dir(&directory);
    }
    let _ = fs::remove_dir(root);
    Ok(removed)
}

/// One process at a time: two would publish their services in the same maps and put
/// their programs on the same hooks. The kernel drops the lock with the process.
fn lock(pin_dir: &Path) -> Result<Flock<File>, Error> {
    let failed = |source| Error::PinDirectory {
        path: pin_dir.to_owned(),
        source,
    };
    let directory = File::open(pin_dir).map_err(failed)?;
    Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => Error::PinsInUse(pin_dir.to_owned()),
        errno => failed(errno.into()),
    })
}
