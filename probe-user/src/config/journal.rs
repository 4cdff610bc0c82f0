//! `[journal]`: how much of the past is kept.

use crate::journal::Options;

use super::{
    section::Section,
    value::{Fault, Value, integer},
};

/// Smaller, and a bad night would leave nothing of the day before.
const LEAST: u64 = 64 << 10;
const MOST: u64 = 1 << 30;

/// When a file becomes an old one, and how many of these are kept.
pub fn options(section: &Section<'_>) -> Options {
    let default = Options::default();
    Options {
        rotate_at: section.read("rotate_at", size).unwrap_or(default.rotate_at),
        keep: section
            .read("keep", integer(1, 1000))
            .unwrap_or(default.keep),
    }
}

/// A number of bytes with a unit.
fn size(value: Value<'_>) -> Result<u64, Fault> {
    const HELP: &str = "write it like \"16MiB\", from \"64KiB\" to \"1GiB\"";
    let written = value.text("\"16MiB\"")?;
    let digits = written
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(written.len());
    let (number, unit) = written.split_at(digits);
    let shift = match unit.trim() {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => {
            return Err(Fault::new(
                "is not a size",
                "not a number with KiB, MiB or GiB",
                HELP,
            ));
        }
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|bytes| (LEAST..=MOST).contains(bytes))
        .ok_or_else(|| Fault::new("is out of range", written, HELP))
}

#[cfg(test)]
mod tests {
    use toml::de::DeValue;

    use super::*;

    #[test]
    fn a_size_has_a_unit_and_bounds() {
        let read = |text: &str| {
            let value = DeValue::parse(text).unwrap();
            size(Value::new(value.get_ref())).map_err(|fault| fault.problem)
        };
        assert_eq!(read("\"64KiB\""), Ok(64 << 10));
        assert_eq!(read("\"16 MiB\""), Ok(16 << 20));
        assert_eq!(read("\"1GiB\""), Ok(1 << 30));
        for wrong in [
            "\"16\"",
            "\"16MB\"",
            "\"MiB\"",
            "\"63KiB\"",
            "\"2GiB\"",
            "16",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
