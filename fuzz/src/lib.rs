//! What is fuzzed. In flow bytes that a fuzzer made; out flows nothing, or a panic
//! that names what does not hold.
//!
//! ```text
//!              ┌─▶ parse:   the parsers of every layer, on any frame
//! bytes ───────┤
//!              └─▶ traffic ─▶ measure: the whole measurement, frame after frame,
//!                                      with the invariants after each
//! ```
//! Fuzzer, property tests and the tests in the kernel all take traffic and invariants
//! from here, so a finding of one is an input of all.

pub mod invariants;
pub mod measure;
pub mod parse;
pub mod services;
pub mod traffic;

use std::{fs, io, path::PathBuf};

/// An input of the committed corpus.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its file.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// The committed corpus of a target, in the order of the names.
///
/// # Errors
/// When a file cannot be read.
pub fn corpus(target: &str) -> io::Result<Vec<Input>> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut inputs = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let bytes = fs::read(&path)?;
        inputs.push(Input { path, bytes });
    }
    inputs.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(inputs)
}
