//! How large the shipped programs are, by the kernel's own account.

use anyhow::{Context as _, Result};
use aya::programs::Program;
use probe_user::datapath::object::{LoadFlags, Object};

/// A program's size.
#[derive(Clone, Debug)]
pub struct Size {
    /// Its name.
    pub name: String,
    /// Instructions after the verifier's rewriting.
    pub instructions: u32,
    /// Bytes of machine code.
    pub machine_code: u32,
    /// Instructions that the verifier walked, over all paths.
    pub verified: u32,
}

/// Loads the shipped object and asks the kernel.
pub fn of(image: &[u8]) -> Result<Vec<Size>> {
    let mut object = Object::load(image, &[], LoadFlags::default(), None)?;
    let mut sizes = Vec::new();
    for (name, program) in object.ebpf_mut().programs_mut() {
        let info = match program {
            Program::Xdp(xdp) => xdp.load().and_then(|()| xdp.info()),
            Program::SchedClassifier(tc) => tc.load().and_then(|()| tc.info()),
            _ => continue,
        }
        .with_context(|| format!("loading {name}"))?;
        sizes.push(Size {
            name: name.to_owned(),
            instructions: info.size_translated().unwrap_or(0) / 8,
            machine_code: info.size_jitted(),
            verified: info.verified_instruction_count().unwrap_or(0),
        });
    }
    sizes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sizes)
}
