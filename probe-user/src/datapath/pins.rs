//! Where things are pinned.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use probe_common::ABI_VERSION;

use super::{Error, Hook, Mode};

/// The pin directories of this ABI version.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
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
        Ok(pins)
    }

    /// The directories, whether they exist or not.
    pub fn at(pin_dir: &Path) -> Self {
        Self {
            root: pin_dir.join(format!("v{ABI_VERSION}")),
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
}
