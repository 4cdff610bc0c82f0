//! What the guest says: one JSON object a line, on a serial port that carries nothing
//! else. `xtask` reads them; a field that changes here changes there
//! (`xtask/src/kernels/record.rs`).

use std::{collections::BTreeMap, fs::File, io::Write as _};

use anyhow::{Context as _, Result};
use nix::sys::termios::tcdrain;
use serde::Serialize;

/// The second serial port; the first is the kernel's console.
const PORT: &str = "/dev/ttyS1";

/// One line.
#[derive(Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// Which kernel runs.
    Guest {
        /// `uname -r`.
        kernel: String,
    },
    /// A program that was loaded, attached, and saw packets.
    Program {
        /// The way of attaching that was asked for.
        asked: &'static str,
        /// Whether it was loaded with tracing on.
        trace: bool,
        /// Its name in the object.
        program: &'static str,
        /// The hook it is on.
        hook: &'static str,
        /// How it came there.
        mode: &'static str,
        /// What the verifier walked; kernels before 5.16 do not say.
        verified_instructions: Option<u32>,
        /// What it has to count: so many connections were made.
        connections: u64,
        /// What it counted.
        counted: BTreeMap<&'static str, u64>,
    },
    /// The kernel took the object in no part, or refused this way of attaching.
    Refused {
        /// The way of attaching that was asked for.
        asked: &'static str,
        /// Whether tracing was on.
        trace: bool,
        /// What the daemon would say.
        message: String,
    },
    /// The check itself failed.
    Broken {
        /// Why.
        why: String,
    },
    /// All was tried.
    Done,
}

/// The port.
pub struct Report {
    port: File,
}

impl Report {
    /// Opens the port.
    pub fn open() -> Result<Self> {
        let port = File::options()
            .write(true)
            .open(PORT)
            .with_context(|| format!("opening {PORT}"))?;
        Ok(Self { port })
    }

    /// Writes a line.
    pub fn write(&mut self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_string(record)?;
        line.push('\n');
        self.port
            .write_all(line.as_bytes())
            .with_context(|| format!("writing to {PORT}"))?;
        // Whatever is still in the port when the guest is switched off is lost.
        tcdrain(&self.port).with_context(|| format!("draining {PORT}"))
    }
}
