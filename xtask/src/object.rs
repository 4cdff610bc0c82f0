//! The eBPF object: built with the bpf toolchain, looked at, and put where the
//! daemon's build and the tests find it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::toolchain::{BPF_TARGET, Job, Toolchain};
use crate::workspace::Workspace;

/// The variable that hands the object to `probe-user/build.rs` and to the
/// tests.
pub const VARIABLE: &str = "LAPWING_EBPF_OBJECT";

/// The variable that hands the benchmark's object to the benchmark.
pub const BENCH_VARIABLE: &str = "LAPWING_BENCH_OBJECT";

const PACKAGE: &str = "probe-ebpf";
/// The object that the daemon carries.
const SHIPPED: &str = "lapwing-ebpf";
/// The benchmark's programs around the same pipeline.
const BENCH: &str = "lapwing-bench";

/// ELF's machine number for BPF (`EM_BPF`).
const MACHINE_BPF: u16 = 247;

/// Builds the daemon's object and returns where it is.
pub fn build(workspace: &Workspace, toolchain: &Toolchain) -> Result<PathBuf> {
    build_binary(workspace, toolchain, SHIPPED, workspace.object())
}

/// Builds the benchmark's object and returns where it is.
pub fn build_bench(workspace: &Workspace, toolchain: &Toolchain) -> Result<PathBuf> {
    build_binary(workspace, toolchain, BENCH, workspace.bench_object())
}

fn build_binary(
    workspace: &Workspace,
    toolchain: &Toolchain,
    binary: &str,
    object: PathBuf,
) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo(workspace, Job::Build);
    // Always optimized: the verifier refuses what rustc emits without.
    cargo.args(["--release", "--package", PACKAGE, "--bin", binary]);
    command::run(
        &mut cargo,
        "building the eBPF object",
        "errors in our code show above; \"can't find crate for `core`\", an LLVM error or a \
         missing linker mean that compiler, core and bpf-linker do not fit each other: \
         `cargo xtask setup` makes them fit",
    )?;
    let built = workspace
        .bpf_target()
        .join(BPF_TARGET)
        .join("release")
        .join(binary);
    let image = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    inspect(&image).with_context(|| format!("{} is not usable", built.display()))?;
    // Written only when it changed: whatever embeds it is rebuilt after that.
    if fs::read(&object).ok().as_deref() != Some(image.as_slice()) {
        command::write_file(&object, &image)?;
    }
    Ok(object)
}

/// Lints for the eBPF crate, with the compiler that builds it.
pub fn clippy(workspace: &Workspace, toolchain: &Toolchain) -> std::process::Command {
    let mut cargo = toolchain.cargo(workspace, Job::Clippy);
    cargo.args(["--package", PACKAGE, "--", "-Dwarnings"]);
    cargo
}

/// An object without BTF would load, but its maps and programs could not be
/// told apart by other tools; better to fail here.
fn inspect(image: &[u8]) -> Result<()> {
    let machine = image
        .get(18..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_le_bytes);
    if image.get(..4) != Some(b"\x7fELF") || machine != Some(MACHINE_BPF) {
        bail!("it is no little-endian eBPF object");
    }
    for section in [".BTF\0", ".BTF.ext\0"] {
        if !image
            .windows(section.len())
            .any(|window| window == section.as_bytes())
        {
            bail!(
                "it has no section {}: the linker was called without --btf, or the crates \
                 were compiled without debug information",
                section.trim_end_matches('\0')
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(machine: u16, sections: &str) -> Vec<u8> {
        let mut image = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0".to_vec();
        image.extend(machine.to_le_bytes());
        image.extend(sections.as_bytes());
        image
    }

    #[test]
    fn object_must_be_bpf_and_have_btf() {
        let both = "\0.text\0.BTF\0.BTF.ext\0";
        let cases = [
            ("an eBPF object", image(247, both), None),
            (
                "a host's executable",
                image(62, both),
                Some("no little-endian"),
            ),
            (
                "without BTF",
                image(247, "\0.text\0"),
                Some("section .BTF:"),
            ),
            (
                "without line information",
                image(247, "\0.text\0.BTF\0"),
                Some("section .BTF.ext"),
            ),
            ("empty", Vec::new(), Some("no little-endian")),
        ];
        for (description, image, expected) in cases {
            match (inspect(&image), expected) {
                (Ok(()), None) => {}
                (Err(error), Some(part)) => {
                    assert!(error.to_string().contains(part), "{description}: {error}");
                }
                (result, _) => panic!("{description}: {result:?}"),
            }
        }
    }
}
