//! Where things are: the checkout, and the build directory with its parts.
//!
//! Everything xtask writes is below the build directory (`CARGO_TARGET_DIR`,
//! or `target/` in the checkout), so `cargo clean` removes every trace and
//! nothing lands in anyone's home.

use std::env;
use std::path::{Path, PathBuf};

/// The checkout and its build directory, both absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The workspace this xtask was compiled in, with the build directory that
    /// the environment asks for.
    pub fn locate() -> Self {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = package.parent().unwrap_or(package).to_path_buf();
        let asked = env::var_os("CARGO_TARGET_DIR")
            .or_else(|| env::var_os("CARGO_BUILD_TARGET_DIR"))
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from);
        let here = env::current_dir().unwrap_or_else(|_| root.clone());
        Self::new(root, &here, asked)
    }

    fn new(root: PathBuf, here: &Path, asked: Option<PathBuf>) -> Self {
        // Cargo takes a relative directory from the environment as relative to
        // where the user stands, not to the workspace.
        let target = asked.map_or_else(|| root.join("target"), |dir| here.join(dir));
        Self { root, target }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's build directory for everything that runs on the host.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The eBPF crates have a build directory of their own: another compiler
    /// builds them, and two compilers in one directory rebuild each other's
    /// work on every turn.
    pub fn bpf_target(&self) -> PathBuf {
        self.target.join("bpf-build")
    }

    /// The finished eBPF object.
    pub fn object(&self) -> PathBuf {
        self.target.join("bpf/lapwing-ebpf.o")
    }

    /// The benchmark's eBPF object.
    pub fn bench_object(&self) -> PathBuf {
        self.target.join("bpf/lapwing-bench.o")
    }

    /// Tools that setup builds (bpf-linker).
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// An executable of a host build.
    pub fn binary(&self, profile: Profile, name: &str) -> PathBuf {
        self.target.join(profile.directory()).join(name)
    }
}

/// The two profiles host crates are built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Debug,
    Release,
}

impl Profile {
    fn directory(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }

    /// Cargo's arguments that choose it.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Debug => &[],
            Self::Release => &["--release"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_directory_follows_the_environment_as_cargo_does() {
        let cases: [(&str, Option<&str>, &str); 3] = [
            ("unset: in the checkout", None, "/src/lapwing/target"),
            ("absolute: as given", Some("/scratch/t"), "/scratch/t"),
            (
                "relative: from where the user is",
                Some("out"),
                "/src/lapwing/docs/out",
            ),
        ];
        for (description, asked, expected) in cases {
            let workspace = Workspace::new(
                PathBuf::from("/src/lapwing"),
                Path::new("/src/lapwing/docs"),
                asked.map(PathBuf::from),
            );
            assert_eq!(workspace.target(), Path::new(expected), "{description}");
        }
    }

    #[test]
    fn compilers_do_not_share_a_build_directory() {
        let workspace = Workspace::new(PathBuf::from("/w"), Path::new("/w"), None);
        assert_ne!(workspace.bpf_target(), workspace.target());
        assert!(workspace.object().starts_with(workspace.target()));
        assert_eq!(
            workspace.binary(Profile::Release, "lapwing"),
            Path::new("/w/target/release/lapwing")
        );
    }
}
