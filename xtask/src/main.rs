//! Lapwing's tasks, run as `cargo xtask VERB`: everything between a fresh
//! checkout and a running, tested daemon.
//!
//! ```text
//! setup ─▶ build ─▶ run
//!            ├────▶ test   (README's second command)
//!            ├────▶ demo   (README's first command)
//!            ├────▶ kernels
//!            ├────▶ bench
//!            ├────▶ soak
//!            ├────▶ grafana, grafana-check
//!            └────▶ dist ─▶ package-test
//! ```
//! Each verb calls what it needs of the ones before it, so no verb has a
//! precondition that a reader must know. Every external command goes through
//! [`command`], which prints it when it fails, and what to do about it.

mod apt;
mod bench;
mod bpf_linker;
mod build;
mod captures;
mod command;
mod demo;
mod dist;
mod fuzz;
mod grafana;
mod grafana_check;
mod kernels;
mod lab;
mod needs;
mod object;
mod package_test;
mod privilege;
mod run;
mod setup;
mod soak;
mod test;
mod toolchain;
mod version;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Lapwing's tasks: set up, build, run, test, show, measure.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Bring this machine to a state where everything builds and tests
    Setup(setup::Args),
    /// Build the eBPF object and the `lapwing` binary that carries it
    Build(build::Args),
    /// Build, attach and run the daemon on this host (as root)
    Run(run::Args),
    /// Check and test everything, end to end (as root)
    Test(test::Args),
    /// Fuzz the parsers and the measurement
    Fuzz(fuzz::Args),
    /// Show a withdraw happening, on a lab of two sites and an upstream (as root)
    Demo(demo::Args),
    /// Boot other kernels and load the eBPF object under each
    Kernels(kernels::Args),
    /// Measure what Lapwing costs, against its budgets (as root)
    Bench(bench::Args),
    /// Kill or restart the daemon again and again, in the lab (as root)
    Soak(soak::Args),
    /// Make the Grafana dashboards from their generator
    Grafana(grafana::Args),
    /// Draw the dashboards with Grafana's own components, to be looked at (as root)
    GrafanaCheck(grafana_check::Args),
    /// Make the Debian package and the archive
    Dist(dist::Args),
    /// Install, upgrade, break and purge the Debian package, in a container (as root)
    PackageTest(package_test::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let workspace = Workspace::locate();
    let result = match cli.verb {
        Verb::Setup(args) => setup::main(&workspace, &args),
        Verb::Build(args) => build::main(&workspace, &args),
        Verb::Run(args) => run::main(&workspace, &args),
        Verb::Test(args) => test::main(&workspace, &args),
        Verb::Fuzz(args) => fuzz::main(&workspace, &args),
        Verb::Demo(args) => demo::main(&workspace, &args),
        Verb::Kernels(args) => kernels::main(&workspace, &args),
        Verb::Bench(args) => bench::main(&workspace, &args),
        Verb::Soak(args) => soak::main(&workspace, &args),
        Verb::Grafana(args) => grafana::main(&workspace, &args),
        Verb::GrafanaCheck(args) => grafana_check::main(&workspace, &args),
        Verb::Dist(args) => dist::main(&workspace, &args),
        Verb::PackageTest(args) => package_test::main(&workspace, &args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ncargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::error::ErrorKind;

    use super::*;

    /// The commands of ours that a page names, as words.
    fn commands(page: &str) -> Vec<Vec<&str>> {
        const NAME: &str = "cargo xtask ";
        page.match_indices(NAME)
            .map(|(at, _)| {
                let rest = &page[at + NAME.len()..];
                // A span or a comment ends, or what may be left out begins.
                let end = rest.find(['`', '\n', '#', '[', '>']).unwrap_or(rest.len());
                let words = rest[..end].trim_end_matches(" --");
                words.split_whitespace().collect()
            })
            .collect()
    }

    #[test]
    fn verbs_and_options_that_the_documents_name_are_there() {
        let root = Workspace::locate().root().to_path_buf();
        let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
        for directory in ["docs", "packaging", "bird-config"] {
            let entries = fs::read_dir(root.join(directory)).expect("it is part of the checkout");
            pages.extend(entries.map(|entry| entry.expect("it can be read").path()));
        }
        pages.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
        let mut understood = 0;
        for path in pages {
            let page = fs::read_to_string(&path).expect("a page is UTF-8");
            for words in commands(&page) {
                let words = words.iter().map(|word| match *word {
                    "STEP" => "unit",
                    "N" => "1",
                    word => word,
                });
                match Cli::try_parse_from(["cargo xtask"].into_iter().chain(words)) {
                    Ok(_) => understood += 1,
                    // A verb that the text speaks of, without its own verb.
                    Err(error)
                        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                            || error.kind() == ErrorKind::MissingSubcommand => {}
                    Err(error) => panic!("{}: {error}", path.display()),
                }
            }
        }
        assert!(understood > 20, "{understood}");
    }
}
