//! The kernels: where each comes from, and what has to happen under it.

use anyhow::{Result, bail};

use crate::kernels::mirror::{Part, Suite};

/// A kernel to boot.
#[derive(Debug)]
pub struct Kernel {
    /// As it is asked for and shown.
    pub name: &'static str,
    /// The series, as package names have it; none for the newest of the suite.
    pub series: Option<&'static str>,
    /// Where it comes from.
    pub suite: Suite,
    /// What has to happen.
    pub expected: Expected,
}

/// What has to happen under a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The object loads, and counts.
    Loads,
    /// The object is refused, and the message contains this.
    Refused(&'static str),
}

/// From old to new. The newest is whatever the suite has at the time.
static ALL: [Kernel; 5] = [
    Kernel {
        name: "5.10",
        series: Some("5.10"),
        suite: Suite {
            name: "bullseye-security",
            part: Part::Security,
        },
        expected: Expected::Refused("Lapwing needs kernel 5.12 or later"),
    },
    Kernel {
        name: "6.1",
        series: Some("6.1"),
        suite: Suite {
            name: "bookworm",
            part: Part::Main,
        },
        expected: Expected::Loads,
    },
    Kernel {
        name: "6.12",
        series: Some("6.12"),
        suite: Suite {
            name: "bookworm-backports",
            part: Part::Main,
        },
        expected: Expected::Loads,
    },
    Kernel {
        name: "6.18",
        series: Some("6.18"),
        suite: Suite {
            name: "trixie-backports",
            part: Part::Main,
        },
        expected: Expected::Loads,
    },
    Kernel {
        name: "newest",
        series: None,
        suite: Suite {
            name: "trixie-backports",
            part: Part::Main,
        },
        expected: Expected::Loads,
    },
];

/// Those asked for, or all.
pub fn chosen(only: &[String]) -> Result<Vec<&'static Kernel>> {
    if let Some(unknown) = only
        .iter()
        .find(|name| ALL.iter().all(|kernel| kernel.name != name.as_str()))
    {
        let names: Vec<_> = ALL.iter().map(|kernel| kernel.name).collect();
        bail!(
            "there is no kernel {unknown} to boot\n  remedy:  choose from {}",
            names.join(", ")
        );
    }
    Ok(ALL
        .iter()
        .filter(|kernel| only.is_empty() || only.iter().any(|name| name == kernel.name))
        .collect())
}

impl Kernel {
    /// The image package of this kernel among package names: the highest version. The
    /// flavour for virtual machines has the same core as the others, in a quarter of
    /// the size.
    pub fn newest<'a>(&self, packages: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        packages
            .filter_map(|package| {
                let version = package
                    .strip_prefix("linux-image-")?
                    .strip_suffix("-cloud-amd64")?;
                let fits = match self.series {
                    None => version.starts_with(|first: char| first.is_ascii_digit()),
                    Some(series) => version
                        .strip_prefix(series)
                        .is_some_and(|rest| rest.starts_with('.')),
                };
                fits.then(|| (numbers(version), package))
            })
            .max()
            .map(|(_, package)| package)
    }
}

fn numbers(version: &str) -> Vec<u32> {
    version
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highest_version_of_the_series_is_taken() {
        let packages = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.1.0-51-amd64",
            "linux-image-6.1.0-52-cloud-amd64-unsigned",
            "linux-image-6.12.9+deb12-cloud-amd64",
            "linux-image-6.12.90+deb12-cloud-amd64",
            "linux-image-6.12.90+deb12.1-cloud-amd64",
            "linux-image-cloud-amd64",
        ];
        let cases = [
            (Some("6.1"), Some("linux-image-6.1.0-50-cloud-amd64")),
            (
                Some("6.12"),
                Some("linux-image-6.12.90+deb12.1-cloud-amd64"),
            ),
            (Some("5.10"), None),
            (None, Some("linux-image-6.12.90+deb12.1-cloud-amd64")),
        ];
        for (series, expected) in cases {
            let kernel = Kernel {
                name: "any",
                series,
                suite: Suite {
                    name: "any",
                    part: Part::Main,
                },
                expected: Expected::Loads,
            };
            let newest = kernel.newest(packages.into_iter());
            assert_eq!(newest, expected, "{series:?}");
        }
    }

    #[test]
    fn kernels_are_chosen_by_name() {
        let names = |only: &[&str]| -> Result<Vec<_>> {
            let only: Vec<_> = only.iter().map(|name| (*name).to_owned()).collect();
            Ok(chosen(&only)?.iter().map(|kernel| kernel.name).collect())
        };
        assert_eq!(names(&[]).expect("all").len(), ALL.len());
        assert_eq!(names(&["6.12", "6.1"]).expect("two"), ["6.1", "6.12"]);
        let error = names(&["4.9"]).expect_err("no such kernel").to_string();
        assert!(error.contains("4.9") && error.contains("newest"), "{error}");
    }
}
