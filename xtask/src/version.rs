//! Versions, as compilers and packages print them.
//!
//! In: the text of `rustc -vV` and of apt. Out: the two numbers that decide
//! what fits together, rustc's minor release and the major version of the LLVM
//! inside it.

/// What one rustc says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rustc {
    /// `1.96.0`, or `1.97.0-nightly`.
    pub release: String,
    /// Major version of its LLVM. Bitcode of one major version is not read by
    /// an older one, so the linker's has to match.
    pub llvm: u32,
}

/// The oldest compiler the crates accept (`rust-version` of the workspace).
pub const OLDEST_RUSTC_MINOR: u32 = 95;

impl Rustc {
    /// Reads the output of `rustc -vV`.
    pub fn parse(verbose: &str) -> Option<Self> {
        let field = |name: &str| {
            verbose
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::trim)
        };
        Some(Self {
            release: field("release")?.to_owned(),
            llvm: leading_number(field("LLVM version")?)?,
        })
    }

    /// The N of `1.N`.
    pub fn minor(&self) -> Option<u32> {
        leading_number(self.release.strip_prefix("1.")?)
    }

    /// Can it compile this workspace?
    pub fn is_recent_enough(&self) -> bool {
        self.minor()
            .is_some_and(|minor| minor >= OLDEST_RUSTC_MINOR)
    }
}

/// The LLVM a package depends on, out of `apt-cache depends`: known before the
/// compiler itself is installed.
pub fn llvm_of_dependencies(depends: &str) -> Option<u32> {
    dependency_names(depends).find_map(|name| leading_number(name.strip_prefix("libllvm")?))
}

/// The versioned runtime package of Debian's rustc (`libstd-rust-web-1.96`),
/// out of `apt-cache depends libstd-rust-web-dev`.
pub fn runtime_of_dependencies(depends: &str) -> Option<String> {
    dependency_names(depends)
        .find(|name| {
            name.strip_prefix("libstd-rust-web-")
                .is_some_and(|rest| rest.starts_with("1."))
        })
        .map(str::to_owned)
}

fn dependency_names(depends: &str) -> impl Iterator<Item = &str> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .map(str::trim)
}

/// The digits a text starts with, as a number.
pub fn leading_number(text: &str) -> Option<u32> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\n\
        binary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.96.0\nLLVM version: 22.1.8\n";

    #[test]
    fn rustc_names_its_release_and_its_llvm() {
        let cases = [
            ("Debian's", DEBIAN.to_owned(), Some(("1.96.0", 22, true))),
            (
                "a nightly",
                "release: 1.97.0-nightly\nLLVM version: 23.0.0".to_owned(),
                Some(("1.97.0-nightly", 23, true)),
            ),
            (
                "too old",
                "release: 1.63.0\nLLVM version: 14.0.6".to_owned(),
                Some(("1.63.0", 14, false)),
            ),
            ("without LLVM", "release: 1.96.0\n".to_owned(), None),
            ("not a rustc", String::new(), None),
        ];
        for (description, text, expected) in cases {
            let parsed = Rustc::parse(&text);
            let seen = parsed
                .as_ref()
                .map(|rustc| (rustc.release.as_str(), rustc.llvm, rustc.is_recent_enough()));
            assert_eq!(seen, expected, "{description}");
        }
    }

    #[test]
    fn llvm_is_known_from_the_dependencies_before_anything_is_installed() {
        let dev = "libstd-rust-web-dev\n  Depends: libstd-rust-web-1.96\n  Conflicts: <rustup>\n";
        assert_eq!(
            runtime_of_dependencies(dev).as_deref(),
            Some("libstd-rust-web-1.96")
        );
        let runtime = "libstd-rust-web-1.96\n  Depends: libc6\n  Depends: libllvm22\n  \
            Depends: libstdc++6\n";
        assert_eq!(llvm_of_dependencies(runtime), Some(22));
        assert_eq!(llvm_of_dependencies("N: Unable to locate package"), None);
    }

    #[test]
    fn leading_number_stops_at_the_first_other_character() {
        let cases = [
            ("22.1.8", Some(22)),
            ("96.0", Some(96)),
            ("22", Some(22)),
            ("nightly", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(leading_number(text), expected, "{text:?}");
        }
    }
}
