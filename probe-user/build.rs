//! Hands the eBPF object to the crate: in, the file that `LAPWING_EBPF_OBJECT`
//! names (`cargo xtask build` sets it); out, `$OUT_DIR/lapwing-ebpf.o`.
//!
//! Without the variable the copy is empty, so that plain `cargo check`,
//! `clippy` and `test` need no eBPF toolchain; the daemon then says at start
//! that it was built without an object.

use std::path::PathBuf;
use std::{env, fs};

const VARIABLE: &str = "LAPWING_EBPF_OBJECT";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    let object = env::var_os(VARIABLE)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let image = match &object {
        None => Vec::new(),
        Some(path) => {
            println!("cargo:rerun-if-changed={}", path.display());
            match fs::read(path) {
                Ok(image) => image,
                Err(error) => {
                    fail(&format!(
                        "{VARIABLE} names {}, which cannot be read: {error}; `cargo xtask build` \
                         makes it, or unset the variable to build without eBPF",
                        path.display()
                    ));
                }
            }
        }
    };
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else {
        fail("OUT_DIR is not set: this is a build script, to be run by cargo");
    };
    let copy = out.join("lapwing-ebpf.o");
    if let Err(error) = fs::write(&copy, image) {
        fail(&format!("cannot write {}: {error}", copy.display()));
    }
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    std::process::exit(1);
}
