//! What a machine needs, why, and whether it is there.
//!
//! In: the workspace and the toolchain chosen. Out: one [`Need`] per thing,
//! in groups, each with its [`State`] and the [`Fix`] that brings it.

use crate::apt::{self, Installed};
use crate::bpf_linker;
use crate::command;
use crate::toolchain::{self, Toolchain};
use crate::version;
use crate::workspace::Workspace;

/// What it is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// To build the eBPF object.
    Build,
    /// To raise the lab of the tests and the demo.
    Lab,
    /// To look at the live page in a browser.
    Browser,
    /// To compare what is counted in real captures.
    Captures,
    /// To make the dashboards.
    Dashboards,
    /// To build libFuzzer.
    Fuzz,
    /// To install the package in a container.
    Package,
    /// To boot other kernels; nothing else needs it.
    Kernels,
    /// To draw the dashboards' panels; nothing else needs it.
    Panels,
}

impl Group {
    pub fn title(self) -> &'static str {
        match self {
            Self::Build => "To build the eBPF object",
            Self::Lab => "To raise the lab of the tests and the demo",
            Self::Browser => "To look at the live page in a browser",
            Self::Captures => "To compare what is counted in real captures",
            Self::Dashboards => "To make the dashboards",
            Self::Fuzz => "To build libFuzzer",
            Self::Package => "To install the package in a container",
            Self::Kernels => "To boot other kernels",
            Self::Panels => "To draw the dashboards' panels",
        }
    }
}

/// Whether a thing is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There, in this version.
    Present(String),
    /// There, but it does not fit, for this reason.
    Unfit(String),
    Missing,
}

/// How a missing thing comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// From apt.
    Package(String),
    /// Built by setup, for this LLVM.
    BpfLinker { llvm: u32 },
    /// Which package it is will be known once the compiler is installed.
    AfterCompiler,
}

/// One thing the machine needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub group: Group,
    pub name: String,
    pub why: &'static str,
    pub state: State,
    pub fix: Fix,
}

impl Need {
    pub fn is_met(&self) -> bool {
        match self.state {
            State::Present(_) => true,
            State::Unfit(_) | State::Missing => false,
        }
    }
}

/// Debian's compiler for bpf. The four come from one source package and fit
/// each other only in one version.
const COMPILER: [(&str, &str); 4] = [
    (
        "rustc-web",
        "a Rust compiler for which Debian ships core built for bpf",
    ),
    ("cargo-web", "the cargo of that compiler"),
    (
        "libstd-rust-web-dev-bpf",
        "core for bpf, prebuilt: rustup has none",
    ),
    (
        "rust-web-clippy",
        "lints the eBPF crates with that compiler",
    ),
];

const LLVM_WHY: &str = "the LLVM of that compiler, for bpf-linker to link against";
const LINKER_WHY: &str = "links bitcode to an eBPF object and writes its BTF";

/// Package, a command that proves it is there, reason.
const LAB: [(&str, &str, &str); 10] = [
    (
        "bird2",
        "bird",
        "the BGP routers of the sites and of their upstream",
    ),
    ("nginx", "nginx", "the service on the anycast address"),
    ("knot", "knotd", "a name server, for the trials of DNS"),
    (
        "iproute2",
        "ip",
        "looks at links, routes and filters as an operator does",
    ),
    (
        "nftables",
        "nft",
        "drops packets on the outer interface only: the silent fault",
    ),
    (
        "nmap",
        "nmap",
        "scans the ports of the service address, which must not withdraw it",
    ),
    (
        "bpftool",
        "bpftool",
        "takes a hook away by force, which must not withdraw it either",
    ),
    (
        "curl",
        "curl",
        "the check from the host itself, as an operator does it",
    ),
    (
        "prometheus",
        "prometheus",
        "evaluates rules and the dashboards' queries over a real daemon; promtool tests the rules",
    ),
    (
        "tmux",
        "tmux",
        "the terminal in which `lapwing top` is looked at through a fault",
    ),
];

/// As [`LAB`]. Large, so the demo does without.
const BROWSER: [(&str, &str, &str); 1] = [(
    "chromium",
    "chromium",
    "shows the live page through a fault, as an operator sees it",
)];

/// As [`LAB`].
const CAPTURES: [(&str, &str, &str); 1] = [(
    "tshark",
    "tshark",
    "counts the packets of real captures; what lapwing counts must equal it",
)];

/// As [`LAB`]. That the interpreter is there does not prove that it can make an environment,
/// so only the package counts.
const DASHBOARDS: [(&str, &str, &str); 1] = [(
    "python3-venv",
    "python3-venv",
    "runs the dashboards' generator with the packages that are pinned for it",
)];

/// As [`LAB`].
const FUZZ: [(&str, &str, &str); 1] = [("g++", "c++", "compiles libFuzzer")];

/// As [`LAB`].
const PACKAGE: [(&str, &str, &str); 3] = [
    (
        "debootstrap",
        "debootstrap",
        "makes a Debian in a directory, for the package to be installed in",
    ),
    (
        "systemd-container",
        "systemd-nspawn",
        "boots that Debian with systemd, in the lab",
    ),
    ("lintian", "lintian", "knows Debian's rules for packages"),
];

/// As [`LAB`]. The emulator is not among them: its package can be at odds with what a
/// machine has, so it is only unpacked.
const KERNELS: [(&str, &str, &str); 1] = [("xz-utils", "xz", "decompresses kernel modules")];

/// As [`LAB`].
const PANELS: [(&str, &str, &str); 2] = [
    ("nodejs", "node", "checks types and bundles the page"),
    ("npm", "npm", "brings Grafana's published packages"),
];

/// Looks at everything the groups need.
pub fn survey(workspace: &Workspace, toolchain: &Toolchain, groups: &[Group]) -> Vec<Need> {
    let mut needs = Vec::new();
    for group in groups {
        match group {
            Group::Build => needs.extend(build_needs(workspace, toolchain)),
            Group::Lab => needs.extend(program_needs(Group::Lab, &LAB)),
            Group::Browser => needs.extend(program_needs(Group::Browser, &BROWSER)),
            Group::Captures => needs.extend(program_needs(Group::Captures, &CAPTURES)),
            Group::Dashboards => needs.extend(program_needs(Group::Dashboards, &DASHBOARDS)),
            Group::Fuzz => needs.extend(program_needs(Group::Fuzz, &FUZZ)),
            Group::Package => needs.extend(program_needs(Group::Package, &PACKAGE)),
            Group::Kernels => needs.extend(program_needs(Group::Kernels, &KERNELS)),
            Group::Panels => needs.extend(program_needs(Group::Panels, &PANELS)),
        }
    }
    needs
}

/// The packages among the unmet needs.
pub fn packages_to_install(needs: &[Need]) -> Vec<String> {
    needs
        .iter()
        .filter(|need| !need.is_met())
        .filter_map(|need| match &need.fix {
            Fix::Package(package) => Some(package.clone()),
            Fix::BpfLinker { .. } | Fix::AfterCompiler => None,
        })
        .collect()
}

/// The LLVM for which bpf-linker has to be built, if it has to be.
pub fn linker_to_build(needs: &[Need]) -> Option<u32> {
    needs
        .iter()
        .filter(|need| !need.is_met())
        .find_map(|need| match need.fix {
            Fix::BpfLinker { llvm } => Some(llvm),
            Fix::Package(_) | Fix::AfterCompiler => None,
        })
}

fn build_needs(workspace: &Workspace, toolchain: &Toolchain) -> Vec<Need> {
    match toolchain {
        Toolchain::Debian => debian_needs(workspace),
        Toolchain::Nightly { rustc, linker } => vec![
            Need {
                group: Group::Build,
                name: "rustup nightly with rust-src".to_owned(),
                why: "compiles the eBPF programs, and core for them",
                state: State::Present(rustc.release.clone()),
                fix: Fix::AfterCompiler,
            },
            Need {
                group: Group::Build,
                name: "bpf-linker".to_owned(),
                why: LINKER_WHY,
                state: State::Present(linker.display().to_string()),
                fix: Fix::AfterCompiler,
            },
        ],
    }
}

fn debian_needs(workspace: &Workspace) -> Vec<Need> {
    let names = COMPILER.map(|(package, _)| package);
    let mut needs = compiler_needs(&apt::installed(&names));
    match toolchain::debian_rustc()
        .map(|rustc| rustc.llvm)
        .or_else(llvm_that_apt_would_bring)
    {
        Some(llvm) => {
            let package = bpf_linker::llvm_package(llvm);
            let state = version_of(&package, &apt::installed(&[&package]))
                .map_or(State::Missing, State::Present);
            needs.push(package_need(Group::Build, &package, LLVM_WHY, state));
            needs.push(Need {
                group: Group::Build,
                name: format!("bpf-linker {} for LLVM {llvm}", bpf_linker::VERSION),
                why: LINKER_WHY,
                state: match bpf_linker::present(workspace) {
                    None => State::Missing,
                    Some(stamp) if bpf_linker::fits(&stamp, llvm) => State::Present(stamp.text()),
                    Some(stamp) => State::Unfit(format!("{} is there", stamp.text())),
                },
                fix: Fix::BpfLinker { llvm },
            });
        }
        None => {
            for (name, why) in [("llvm-N-dev", LLVM_WHY), ("bpf-linker", LINKER_WHY)] {
                needs.push(Need {
                    group: Group::Build,
                    name: name.to_owned(),
                    why,
                    state: State::Missing,
                    fix: Fix::AfterCompiler,
                });
            }
        }
    }
    needs
}

/// The compiler's packages; one whose version differs from rustc's does not
/// fit it (its core would be rejected as compiled by another rustc).
fn compiler_needs(installed: &[Installed]) -> Vec<Need> {
    let rustc = version_of(COMPILER[0].0, installed);
    COMPILER
        .iter()
        .map(|(package, why)| {
            let state = match (version_of(package, installed), &rustc) {
                (None, _) => State::Missing,
                (Some(version), Some(rustc)) if version != *rustc => {
                    State::Unfit(format!("{version} is there, rustc-web is {rustc}"))
                }
                (Some(version), _) => State::Present(version),
            };
            package_need(Group::Build, package, why, state)
        })
        .collect()
}

fn program_needs(group: Group, programs: &[(&str, &str, &'static str)]) -> Vec<Need> {
    let packages: Vec<_> = programs.iter().map(|(package, _, _)| *package).collect();
    let installed = apt::installed(&packages);
    programs
        .iter()
        .map(|(package, program, why)| {
            let state = version_of(package, &installed)
                // Perhaps it came another way.
                .or_else(|| command::find(program).map(|path| path.display().to_string()))
                .map_or(State::Missing, State::Present);
            package_need(group, package, why, state)
        })
        .collect()
}

fn package_need(group: Group, package: &str, why: &'static str, state: State) -> Need {
    Need {
        group,
        name: package.to_owned(),
        why,
        state,
        fix: Fix::Package(package.to_owned()),
    }
}

fn version_of(package: &str, installed: &[Installed]) -> Option<String> {
    installed
        .iter()
        .find(|entry| entry.package == package)
        .map(|entry| entry.version.clone())
}

/// Before the compiler is there, apt knows which LLVM it will come with.
fn llvm_that_apt_would_bring() -> Option<u32> {
    let runtime = version::runtime_of_dependencies(&apt::depends("libstd-rust-web-dev")?)?;
    version::llvm_of_dependencies(&apt::depends(&runtime)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(entries: &[(&str, &str)]) -> Vec<Installed> {
        entries
            .iter()
            .map(|(package, version)| Installed {
                package: (*package).to_owned(),
                version: (*version).to_owned(),
            })
            .collect()
    }

    #[test]
    fn compiler_packages_must_have_one_version() {
        let all = COMPILER.map(|(package, _)| (package, "1.96"));
        let mut skewed = all;
        skewed[2].1 = "1.90";
        let cases = [
            (
                "a fresh machine",
                Vec::new(),
                COMPILER.map(|(package, _)| package).to_vec(),
            ),
            ("all of one version", all.to_vec(), Vec::new()),
            (
                "core of another",
                skewed.to_vec(),
                vec!["libstd-rust-web-dev-bpf"],
            ),
            (
                "one of them",
                all[..1].to_vec(),
                vec!["cargo-web", "libstd-rust-web-dev-bpf", "rust-web-clippy"],
            ),
        ];
        for (description, entries, expected) in cases {
            let needs = compiler_needs(&installed(&entries));
            assert_eq!(packages_to_install(&needs), expected, "{description}");
        }
    }

    #[test]
    fn linker_is_built_only_if_it_is_missing_or_unfit() {
        let need = |state| Need {
            group: Group::Build,
            name: "bpf-linker".to_owned(),
            why: LINKER_WHY,
            state,
            fix: Fix::BpfLinker { llvm: 22 },
        };
        let cases = [
            (State::Present("fits".to_owned()), None),
            (State::Unfit("LLVM 21".to_owned()), Some(22)),
            (State::Missing, Some(22)),
        ];
        for (state, expected) in cases {
            let needs = [need(state.clone())];
            assert_eq!(linker_to_build(&needs), expected, "{state:?}");
            assert!(packages_to_install(&needs).is_empty());
        }
    }

    #[test]
    fn unknown_llvm_is_not_installed_by_a_made_up_name() {
        let need = Need {
            group: Group::Build,
            name: "llvm-N-dev".to_owned(),
            why: LLVM_WHY,
            state: State::Missing,
            fix: Fix::AfterCompiler,
        };
        assert!(packages_to_install(std::slice::from_ref(&need)).is_empty());
        assert!(!need.is_met());
    }
}
