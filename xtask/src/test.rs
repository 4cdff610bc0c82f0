//! `cargo xtask test`: everything that must hold, in the order in which it
//! fails cheapest.
//!
//! ```text
//! fmt ─▶ dashboards ─▶ clippy-bpf ─▶ object ─▶ clippy ─▶ doc ─▶ unit ─▶ fuzz ─▶ binary
//!     ─▶ e2e ─▶ package
//! ```
//! The object comes before the host's steps so that all of them compile the
//! daemon's crate around the same object; without that, each turn from unit
//! tests to end-to-end tests would compile it again.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::build::{self, Built};
use crate::captures;
use crate::command;
use crate::fuzz;
use crate::grafana;
use crate::needs::Group;
use crate::object;
use crate::package_test;
use crate::privilege;
use crate::setup::{self, seconds};
use crate::toolchain::Toolchain;
use crate::workspace::{Profile, Workspace};

/// Runs every check and every test: format, lints for the host and for bpf,
/// documentation, unit and property tests, the eBPF programs in the kernel,
/// the end-to-end tests in a lab of network namespaces, and the package in a
/// container. Stops at the first failure and says how to run just that step again.
/// Sets up what it needs.
#[derive(clap::Args)]
pub struct Args {
    /// Run only this step (and what it cannot do without); may be repeated
    #[arg(long, value_name = "STEP", value_enum)]
    only: Vec<Step>,
    /// Passed to the test programs of the steps unit and e2e, such as a
    /// test's name
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

/// The steps, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// cargo fmt --check
    Fmt,
    /// The dashboards are what their generator makes
    Dashboards,
    /// Lints of the eBPF crate, with the compiler that builds it
    ClippyBpf,
    /// The eBPF object
    Object,
    /// Lints of all other crates and their tests
    Clippy,
    /// The documentation builds without a warning
    Doc,
    /// Unit and property tests: no root, no network
    Unit,
    /// The parsers and the measurement, half a minute of fuzzing each
    Fuzz,
    /// The daemon, as it is shipped
    Binary,
    /// The eBPF programs in the kernel, and the lab
    E2e,
    /// The package, from its installation to its purge: cargo xtask package-test
    Package,
}

impl Step {
    const ALL: [Self; 11] = [
        Self::Fmt,
        Self::Dashboards,
        Self::ClippyBpf,
        Self::Object,
        Self::Clippy,
        Self::Doc,
        Self::Unit,
        Self::Fuzz,
        Self::Binary,
        Self::E2e,
        Self::Package,
    ];

    /// As it is given to `--only`.
    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Dashboards => "dashboards",
            Self::ClippyBpf => "clippy-bpf",
            Self::Object => "object",
            Self::Clippy => "clippy",
            Self::Doc => "doc",
            Self::Unit => "unit",
            Self::Fuzz => "fuzz",
            Self::Binary => "binary",
            Self::E2e => "e2e",
            Self::Package => "package",
        }
    }

    /// What its failure means, in words.
    fn title(self) -> &'static str {
        match self {
            Self::Fmt => "format",
            Self::Dashboards => "the dashboards and their generator",
            Self::ClippyBpf => "lints of the eBPF crate",
            Self::Object => "the eBPF object",
            Self::Clippy => "lints of the host crates",
            Self::Doc => "documentation",
            Self::Unit => "unit and property tests",
            Self::Fuzz => "fuzzing",
            Self::Binary => "the daemon",
            Self::E2e => "eBPF programs in the kernel, and end-to-end tests",
            Self::Package => "the package in a container",
        }
    }

    fn remedy(self) -> String {
        let first = match self {
            Self::Fmt => "`cargo fmt --all` does it; ",
            Self::Dashboards
            | Self::ClippyBpf
            | Self::Object
            | Self::Clippy
            | Self::Doc
            | Self::Unit
            | Self::Fuzz
            | Self::Binary
            | Self::E2e
            | Self::Package => "",
        };
        format!(
            "{first}again with `cargo xtask test --only {}`",
            self.name()
        )
    }

    /// Steps whose results it uses.
    fn requires(self) -> &'static [Self] {
        match self {
            Self::Fmt | Self::Dashboards | Self::ClippyBpf | Self::Object | Self::Fuzz => &[],
            Self::Clippy | Self::Doc | Self::Unit | Self::Binary => &[Self::Object],
            Self::E2e | Self::Package => &[Self::Object, Self::Binary],
        }
    }

    fn groups(self) -> &'static [Group] {
        match self {
            Self::Fmt => &[],
            Self::Dashboards => &[Group::Dashboards],
            Self::ClippyBpf
            | Self::Object
            | Self::Clippy
            | Self::Doc
            | Self::Unit
            | Self::Binary => &[Group::Build],
            Self::Fuzz => &[Group::Fuzz],
            Self::E2e => &[Group::Build, Group::Lab, Group::Browser, Group::Captures],
            Self::Package => &[Group::Build, Group::Lab, Group::Package],
        }
    }
}

/// The crates whose tests need neither root nor an eBPF object.
const HOST_CRATES: [&str; 5] = [
    "lapwing-fuzz",
    "probe-common",
    "probe-core",
    "probe-user",
    "xtask",
];

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    let steps = plan(&args.only);
    if steps.contains(&Step::E2e) || steps.contains(&Step::Package) {
        // Now, not after five minutes of other steps.
        privilege::require_root(
            "cargo xtask test",
            "the end-to-end tests make network namespaces and load eBPF programs (the steps \
             before them do not: see `--only`)",
        )?;
    }
    let (toolchain, reason) = Toolchain::choose();
    println!("eBPF toolchain: {reason}");
    setup::ensure(workspace, &toolchain, &groups(&steps))?;

    let start = Instant::now();
    let mut done = Vec::new();
    for step in &steps {
        println!("\n══ {}: {}", step.name(), step.title());
        let begin = Instant::now();
        if let Err(error) = perform(*step, workspace, &toolchain, &args.arguments) {
            bail!(
                "step {} failed after {}\n  {error:#}\n  remedy:  {}",
                step.name(),
                seconds(begin.elapsed()),
                step.remedy()
            );
        }
        println!("══ {} ok in {}", step.name(), seconds(begin.elapsed()));
        done.push((*step, begin.elapsed()));
    }
    print!("\n{}", summary(&done, start.elapsed()));
    Ok(())
}

/// The steps to run: all, or those asked for and what they use; in order.
fn plan(only: &[Step]) -> Vec<Step> {
    Step::ALL
        .into_iter()
        .filter(|step| {
            only.is_empty()
                || only
                    .iter()
                    .any(|asked| asked == step || asked.requires().contains(step))
        })
        .collect()
}

/// What the machine needs for these steps, each group once.
fn groups(steps: &[Step]) -> Vec<Group> {
    [
        Group::Build,
        Group::Lab,
        Group::Browser,
        Group::Captures,
        Group::Dashboards,
        Group::Fuzz,
        Group::Package,
    ]
    .into_iter()
    .filter(|group| steps.iter().any(|step| step.groups().contains(group)))
    .collect()
}

fn perform(
    step: Step,
    workspace: &Workspace,
    toolchain: &Toolchain,
    arguments: &[OsString],
) -> Result<()> {
    let mut command = match step {
        Step::Object => return object::build(workspace, toolchain).map(drop),
        Step::Dashboards => return grafana::check(workspace),
        Step::Fuzz => return fuzz::all(workspace, fuzz::STEP_SECONDS),
        Step::Package => {
            let built = Built::of(workspace, Profile::Release);
            return package_test::check(workspace, &built.binary);
        }
        Step::ClippyBpf => object::clippy(workspace, toolchain),
        Step::Binary => build::daemon(workspace, Profile::Release),
        Step::Fmt | Step::Clippy | Step::Doc | Step::Unit | Step::E2e => {
            let mut cargo = command::host_cargo(workspace);
            cargo
                .args(host_arguments(step))
                .env(object::VARIABLE, workspace.object());
            match step {
                Step::Doc => {
                    cargo.env("RUSTDOCFLAGS", "-Dwarnings");
                }
                Step::Unit => {
                    cargo.arg("--").args(arguments);
                }
                Step::E2e => {
                    cargo.args(arguments);
                    Built::of(workspace, Profile::Release).announce(&mut cargo);
                    cargo.env(captures::VARIABLE, captures::fetch(workspace)?);
                }
                Step::Fmt
                | Step::Dashboards
                | Step::ClippyBpf
                | Step::Object
                | Step::Clippy
                | Step::Fuzz
                | Step::Binary
                | Step::Package => {}
            }
            cargo
        }
    };
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command::shown(&command)))?;
    if !status.success() {
        bail!("command: {} ({status})", command::shown(&command));
    }
    Ok(())
}

/// Arguments of the workspace's cargo for the steps that use it.
fn host_arguments(step: Step) -> Vec<&'static str> {
    const ALL_BUT_EBPF: [&str; 3] = ["--workspace", "--exclude", "probe-ebpf"];
    match step {
        Step::Fmt => vec!["fmt", "--all", "--check"],
        Step::Clippy => [
            &["clippy"],
            ALL_BUT_EBPF.as_slice(),
            &["--all-targets", "--", "-Dwarnings"],
        ]
        .concat(),
        Step::Doc => [&["doc", "--no-deps"], ALL_BUT_EBPF.as_slice()].concat(),
        Step::Unit => std::iter::once("test")
            .chain(HOST_CRATES.into_iter().flat_map(|name| ["--package", name]))
            .collect(),
        // One at a time: labs share the machine's two or four cores, and the
        // tests measure milliseconds.
        Step::E2e => vec![
            "test",
            "--package",
            "lapwing-tests",
            "--",
            "--test-threads=1",
        ],
        Step::Dashboards
        | Step::ClippyBpf
        | Step::Object
        | Step::Fuzz
        | Step::Binary
        | Step::Package => Vec::new(),
    }
}

fn summary(done: &[(Step, Duration)], total: Duration) -> String {
    let mut text = String::from("All steps passed.\n");
    for (step, took) in done {
        text += &row(step.name(), *took, step.title());
    }
    text + &row("total", total, "")
}

fn row(name: &str, took: Duration, title: &str) -> String {
    let row = format!("  {name:<10} {:>8}  {title}", seconds(took));
    format!("{}\n", row.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_for_a_step_brings_what_it_uses_in_order() {
        let cases: [(&[Step], &[Step]); 4] = [
            (&[], &Step::ALL),
            (&[Step::Fmt], &[Step::Fmt]),
            (&[Step::E2e], &[Step::Object, Step::Binary, Step::E2e]),
            (
                &[Step::Unit, Step::ClippyBpf],
                &[Step::ClippyBpf, Step::Object, Step::Unit],
            ),
        ];
        for (only, expected) in cases {
            assert_eq!(plan(only), expected, "{only:?}");
        }
    }

    #[test]
    fn steps_use_only_results_of_earlier_ones() {
        for (at, step) in Step::ALL.iter().enumerate() {
            for required in step.requires() {
                assert!(Step::ALL[..at].contains(required), "{step:?}: {required:?}");
            }
        }
    }

    #[test]
    fn names_of_the_steps_are_what_the_command_line_takes() {
        for step in Step::ALL {
            let value = step.to_possible_value().expect("no step is hidden");
            assert_eq!(value.get_name(), step.name());
        }
    }

    #[test]
    fn lab_is_set_up_only_for_the_step_that_raises_it() {
        assert_eq!(groups(&[Step::Fmt]), []);
        assert_eq!(groups(&[Step::Object, Step::Unit]), [Group::Build]);
        assert_eq!(
            groups(&Step::ALL),
            [
                Group::Build,
                Group::Lab,
                Group::Browser,
                Group::Captures,
                Group::Dashboards,
                Group::Fuzz,
                Group::Package
            ]
        );
    }

    #[test]
    fn host_steps_leave_the_ebpf_crate_to_its_own_compiler() {
        let unit = host_arguments(Step::Unit);
        assert!(!unit.contains(&"probe-ebpf"));
        for step in [Step::Clippy, Step::Doc] {
            let arguments = host_arguments(step).join(" ");
            assert!(arguments.contains("--workspace --exclude probe-ebpf"));
        }
        assert!(host_arguments(Step::Clippy).ends_with(&["--", "-Dwarnings"]));
    }

    #[test]
    fn summary_lists_every_step_with_its_time() {
        let done = [
            (Step::Fmt, Duration::from_millis(400)),
            (Step::Unit, Duration::from_millis(61_250)),
        ];
        assert_eq!(
            summary(&done, Duration::from_secs(62)),
            "All steps passed.\n\
             \x20 fmt           0.4 s  format\n\
             \x20 unit         61.2 s  unit and property tests\n\
             \x20 total        62.0 s\n"
        );
    }
}
