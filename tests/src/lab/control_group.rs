//! A control group of the test's own, in each hierarchy that systemd uses: a container puts
//! its groups below it, and they outlive the container. Removed when dropped; what a test
//! that was killed left is removed by the next one.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::wait_until;

const NAME: &str = "lapwing-container-";
/// The kernel ends a container's processes after the one that was waited for.
const EMPTY_WITHIN: Duration = Duration::from_secs(10);

/// The groups, one a hierarchy.
pub struct ControlGroup {
    directories: Vec<PathBuf>,
}

impl ControlGroup {
    /// Makes them below this process's own.
    pub fn new() -> Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mut directories = Vec::new();
        for parent in hierarchies(&own, &mounts) {
            sweep(&parent)?;
            let directory = parent.join(format!("{NAME}{}", process::id()));
            fs::create_dir_all(&directory)
                .with_context(|| format!("making {}", directory.display()))?;
            directories.push(directory);
        }
        Ok(Self { directories })
    }

    /// Commands for a shell by which it enters them.
    pub fn entering(&self) -> String {
        let enter =
            |directory: &PathBuf| format!("echo 0 > {}/cgroup.procs\n", directory.display());
        self.directories.iter().map(enter).collect()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            let removed = wait_until("a control group is empty", EMPTY_WITHIN, || {
                Ok(remove(directory).is_ok())
            });
            if let Err(error) = removed {
                eprintln!("{} stays: {error}", directory.display());
            }
        }
    }
}

/// Where this process is, in cgroup2 and in systemd's own hierarchy of cgroup1.
fn hierarchies(own: &str, mounts: &str) -> Vec<PathBuf> {
    let of = |name: &str| {
        own.lines()
            .find_map(|line| line.split_once(name)?.1.strip_prefix('/'))
    };
    mounts
        .lines()
        .filter_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            let mounted = Path::new(place.split(' ').nth(4)?);
            let own = match kind.split(' ').next()? {
                "cgroup2" => of("0::")?,
                "cgroup" if kind.contains("name=systemd") => of(":name=systemd:")?,
                _ => return None,
            };
            Some(mounted.join(own))
        })
        .collect()
}

/// Removes what tests left that have ended.
fn sweep(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(NAME));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// A group and those below it; fails while a process is in one.
fn remove(group: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchies_of_systemd_are_found_in_every_layout() {
        let hybrid = "37 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n\
                      40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let unified = "30 23 0:27 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n";
        assert_eq!(
            hierarchies("9:name=systemd:/a\n6:freezer:/b\n0::/c/d\n", hybrid),
            [
                Path::new("/sys/fs/cgroup/systemd/a"),
                Path::new("/sys/fs/cgroup/unified/c/d")
            ]
        );
        assert_eq!(
            hierarchies("0::/user.slice/x\n", unified),
            [Path::new("/sys/fs/cgroup/user.slice/x")]
        );
    }
}
