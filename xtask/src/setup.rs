//! `cargo xtask setup`: says what the machine needs and why, then brings what
//! is missing.
//!
//! ```text
//! survey ─▶ all met? ──yes──▶ done
//!   ▲          │ no
//!   │          ▼
//!   └── lists, packages, or bpf-linker
//! ```
//! One thing a round, because each may change what the next has to be: fresh
//! package lists may bring a newer compiler, and the compiler decides which
//! LLVM the linker needs.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::apt;
use crate::bpf_linker;
use crate::command;
use crate::needs::{self, Fix, Group, Need, State};
use crate::privilege;
use crate::toolchain::Toolchain;
use crate::workspace::Workspace;

/// Lists what building and testing need on this machine, with the reason for
/// each, and installs what is missing: Debian packages with apt (as root), and
/// bpf-linker below the build directory. Run again, it changes nothing.
#[derive(clap::Args)]
pub struct Args {
    /// Only look: change nothing, and exit with 1 if something is missing
    #[arg(long)]
    check: bool,
}

/// What building, testing and the demo need.
const ALL: [Group; 7] = [
    Group::Build,
    Group::Lab,
    Group::Browser,
    Group::Captures,
    Group::Dashboards,
    Group::Fuzz,
    Group::Package,
];

/// Rounds after which setup gives up: the package lists, the packages, what
/// these revealed, bpf-linker, and one to spare.
const ROUNDS: u32 = 5;

pub fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    let (toolchain, reason) = Toolchain::choose();
    println!("eBPF toolchain: {reason}");
    let needs = needs::survey(workspace, &toolchain, &ALL);
    print!("{}", listing(&needs));
    let unmet = needs.iter().filter(|need| !need.is_met()).count();
    if unmet == 0 {
        println!("\nEverything is here.");
        return Ok(());
    }
    if args.check {
        bail!(
            "{unmet} of {} missing\n  remedy:  cargo xtask setup",
            needs.len()
        );
    }
    bring(workspace, &toolchain, &ALL)?;
    println!("\nEverything is here now.");
    Ok(())
}

/// Makes sure, for another verb, that these groups are there; says nothing if
/// they are.
pub fn ensure(workspace: &Workspace, toolchain: &Toolchain, groups: &[Group]) -> Result<()> {
    let needs = needs::survey(workspace, toolchain, groups);
    if needs.iter().all(Need::is_met) {
        return Ok(());
    }
    println!("This machine lacks something; setting it up first (once).");
    print!("{}", listing(&needs));
    bring(workspace, toolchain, groups)
}

fn bring(workspace: &Workspace, toolchain: &Toolchain, groups: &[Group]) -> Result<()> {
    let mut lists_are_fresh = false;
    for _ in 0..ROUNDS {
        let needs = needs::survey(workspace, toolchain, groups);
        if needs.iter().all(Need::is_met) {
            return Ok(());
        }
        let packages = needs::packages_to_install(&needs);
        if !packages.is_empty() {
            require_apt()?;
            require_root(workspace, &needs, &packages)?;
            if lists_are_fresh {
                install_packages(&packages)?;
            } else {
                // Fresh lists may bring another compiler with another LLVM, so
                // what to install is asked again.
                update_lists();
                lists_are_fresh = true;
            }
        } else if let Some(llvm) = needs::linker_to_build(&needs) {
            build_linker(workspace, llvm)?;
        } else {
            break;
        }
    }
    let needs = needs::survey(workspace, toolchain, groups);
    let unmet: Vec<_> = needs
        .iter()
        .filter(|need| !need.is_met())
        .map(|need| need.name.as_str())
        .collect();
    if unmet.is_empty() {
        return Ok(());
    }
    bail!(
        "still missing after setting up: {}\n  remedy:  look at the output of apt and cargo above; \
         `cargo xtask setup --check` shows the state",
        unmet.join(", ")
    )
}

fn require_apt() -> Result<()> {
    if apt::is_debian() {
        return Ok(());
    }
    let system = apt::system_name().unwrap_or_else(|_| "an unknown system".to_owned());
    bail!(
        "setup installs packages with apt on Debian 12, and this is {system}\n  remedy:  for the \
         eBPF object, install a rustup nightly with rust-src and a bpf-linker with its LLVM \
         (both are then used by themselves); for the lab, install the programs listed above"
    )
}

fn require_root(workspace: &Workspace, needs: &[Need], packages: &[String]) -> Result<()> {
    if privilege::is_root() {
        return Ok(());
    }
    println!("\nInstalling packages needs root. These commands do it:\n");
    println!("  sudo {}", command::shown(&apt::update()));
    println!(
        "  sudo {}",
        command::shown_with_variables(&apt::install(packages))
    );
    if let Some(disable) = apt::disable_services(packages) {
        println!("  sudo {}", command::shown(&disable));
    }
    if let Some(llvm) = needs::linker_to_build(needs) {
        let install = bpf_linker::install_command(workspace, llvm)?;
        println!("  {}", command::shown_with_variables(&install));
    }
    println!("  cargo xtask setup    # a last look");
    bail!("not root, so nothing was installed")
}

/// One unreachable source of many need not stop us: the install that follows
/// says whether a package cannot be had.
fn update_lists() {
    let update = step("apt-get update: fetching the package lists", || {
        command::run(&mut apt::update(), "fetching the package lists", "")
    });
    if let Err(error) = update {
        println!("{error:#}\nGoing on with the lists that are here.");
    }
}

fn install_packages(packages: &[String]) -> Result<()> {
    let title = format!("apt-get install: {}", packages.join(" "));
    step(&title, || {
        command::run(
            &mut apt::install(packages),
            "installing packages",
            "apt's last lines above tell. \"Unable to locate\": Debian 12 with bookworm-updates \
             and bookworm-security among its sources is needed. \"need to be removed\": one of \
             Debian's own rustc, cargo or rustup packages is in the way; remove it yourself if \
             you can do without it (rustup from its own installer is not in the way)",
        )
    })?;
    if let Some(mut disable) = apt::disable_services(packages) {
        println!("The lab runs its own BIRD, nginx, Knot and Prometheus; the system's stay off.");
        command::run(
            &mut disable,
            "keeping new services from starting at boot",
            "run the command by hand",
        )?;
    }
    Ok(())
}

fn build_linker(workspace: &Workspace, llvm: u32) -> Result<()> {
    let title = format!(
        "cargo install: bpf-linker {} with LLVM {llvm} (about a minute)",
        bpf_linker::VERSION
    );
    step(&title, || bpf_linker::install(workspace, llvm))
}

fn step<T>(title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("\n── {title}");
    let start = Instant::now();
    let result = work()?;
    println!("── done in {}", seconds(start.elapsed()));
    Ok(result)
}

/// A duration as people read it.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// The needs as a table, grouped.
fn listing(needs: &[Need]) -> String {
    let width = needs.iter().map(|need| need.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for group in ALL.into_iter().chain([Group::Kernels]) {
        let mut rows = needs.iter().filter(|need| need.group == group).peekable();
        if rows.peek().is_none() {
            continue;
        }
        text += "\n";
        text += group.title();
        text += "\n";
        for need in rows {
            text += &row(need, width);
        }
    }
    text
}

fn row(need: &Need, width: usize) -> String {
    let (mark, note) = match (&need.state, &need.fix) {
        (State::Present(version), _) => ("present", version.clone()),
        (State::Unfit(reason), _) => ("unfit", reason.clone()),
        (State::Missing, Fix::Package(_)) => ("missing", "from apt".to_owned()),
        (State::Missing, Fix::BpfLinker { .. }) => ("missing", "built from source".to_owned()),
        (State::Missing, Fix::AfterCompiler) => {
            ("missing", "its version follows the compiler's".to_owned())
        }
    };
    format!("  {mark:<8} {:<width$}  {} ({note})\n", need.name, need.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_tells_what_why_and_whether_it_is_here() {
        let need = |group, name: &str, state, fix| Need {
            group,
            name: name.to_owned(),
            why: "a reason",
            state,
            fix,
        };
        let text = listing(&[
            need(
                Group::Lab,
                "bird2",
                State::Missing,
                Fix::Package("bird2".to_owned()),
            ),
            need(
                Group::Build,
                "bpf-linker",
                State::Unfit("LLVM 21 is there".to_owned()),
                Fix::BpfLinker { llvm: 22 },
            ),
            need(
                Group::Build,
                "rustc-web",
                State::Present("1.96".to_owned()),
                Fix::Package("rustc-web".to_owned()),
            ),
        ]);
        assert_eq!(
            text,
            "\nTo build the eBPF object\n\
             \x20 unfit    bpf-linker  a reason (LLVM 21 is there)\n\
             \x20 present  rustc-web   a reason (1.96)\n\
             \nTo raise the lab of the tests and the demo\n\
             \x20 missing  bird2       a reason (from apt)\n"
        );
    }
}
