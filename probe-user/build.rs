//! Embeds the eBPF object that `LAPWING_EBPF_OBJECT` names; without it the crate
//! still builds, and `lapwing run` says what is missing.
use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=LAPWING_EBPF_OBJECT");
    let out =
        PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("lapwing-ebpf.o");
    match env::var_os("LAPWING_EBPF_OBJECT") {
        Some(object) => {
            println!("cargo::rerun-if-changed={}", object.display());
            fs::copy(&object, &out)
                .unwrap_or_else(|error| panic!("cannot copy {}: {error}", object.display()));
        }
        None => fs::write(&out, []).expect("OUT_DIR is writable"),
    }
}
