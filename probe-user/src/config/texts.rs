//! Lists of texts: protocols to offer, a program with its arguments.

use std::{fs, os::unix::fs::PermissionsExt};

use super::value::{Fault, Value};

/// Names of protocols for ALPN (RFC 7301), the best first.
pub fn alpn(value: Value<'_>) -> Result<Vec<String>, Fault> {
    const EXAMPLE: &str = "[\"h2\", \"http/1.1\"]";
    let names = value.texts(EXAMPLE)?;
    // One byte of length on the wire.
    if let Some(name) = names.iter().find(|name| !(1..=255).contains(&name.len())) {
        return Err(Fault::new(
            "names a protocol that cannot be sent",
            format!("{} bytes, not 1 to 255", name.len()),
            format!("write it like `{EXAMPLE}`"),
        ));
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// A program of this host with its arguments; no shell reads them.
pub fn command(value: Value<'_>) -> Result<Vec<String>, Fault> {
    const EXAMPLE: &str = "[\"/usr/local/bin/check-web\", \"--quick\"]";
    let command = value.texts(EXAMPLE)?;
    let program = command.first().copied().unwrap_or_default();
    if !program.starts_with('/') {
        return Err(Fault::new(
            "must name a program by its absolute path",
            format!("`{program}` does not begin with /"),
            format!("write it like `{EXAMPLE}`; where it lies, `command -v` says"),
        ));
    }
    if command.iter().any(|part| part.contains('\0')) {
        return Err(Fault::new(
            "cannot be run",
            "a text with a NUL",
            "remove the NUL: no program can be given one",
        ));
    }
    check_program(program)?;
    Ok(command.into_iter().map(str::to_owned).collect())
}

/// A probe whose program is not there would fail like one whose service is dead.
fn check_program(program: &str) -> Result<(), Fault> {
    let metadata = fs::metadata(program).map_err(|error| {
        Fault::new(
            "cannot be run",
            format!("`{program}`: {error}"),
            "write the path of a program on this host",
        )
    })?;
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        Ok(())
    } else {
        Err(Fault::new(
            "cannot be run",
            format!("`{program}` is no executable file"),
            "write the path of a program, or allow its execution with chmod",
        ))
    }
}
