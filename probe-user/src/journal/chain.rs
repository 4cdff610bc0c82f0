//! The chain: each record carries the hash of the line before it, so that a record that
//! was removed, changed or moved is found.
//!
//! ```text
//!  {"seq":7,"prev":"<hash of line 6>",...}
//!                   │            {"seq":8,"prev":"<hash of line 7>",...}
//!                   └ SHA-256 of the whole line, without its line feed
//! ```
//!
//! The chain follows the file, not the numbers: a record that could only be told to the
//! log takes its number with it, and the next one in the file names the numbers that
//! are missing ([`Gap`]). So a hole that the journal made itself is told from one that
//! somebody else made.

use std::{fmt, str::FromStr};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde::{Deserialize, Serialize};

/// A SHA-256 hash; in text, 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Hash([u8; SHA256_OUTPUT_LEN]);

impl Hash {
    /// Stands where no record came before.
    pub const NONE: Self = Self([0; SHA256_OUTPUT_LEN]);

    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = Self::NONE;
        hash.0.copy_from_slice(digest(&SHA256, bytes).as_ref());
        hash
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = NoHash;

    fn try_from(text: String) -> Result<Self, NoHash> {
        text.parse()
    }
}

impl FromStr for Hash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        let mut hash = Self::NONE;
        if text.len() != 2 * SHA256_OUTPUT_LEN || !text.is_ascii() {
            return Err(NoHash);
        }
        for (byte, place) in hash.0.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[place..place + 2], 16).map_err(|_| NoHash)?;
        }
        Ok(hash)
    }
}

/// A text that is no hash.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not 64 hexadecimal digits")]
pub struct NoHash;

/// How a record hangs on the one before: the first fields of every line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The record's number, in the order of what happened.
    pub seq: u64,
    /// The hash of the record before; none in records of versions without a chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Hash>,
    /// So many bytes between the record before and this one are no record: what was
    /// left of a line when the host died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn_bytes: Option<u64>,
    /// Numbers that are not in the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
}

impl Link {
    /// The link of a line, if it is a record.
    pub fn of(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// Records that are in the log only: the journal could not be written, or what was
/// written has gone with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Gap {
    /// The first missing number.
    pub first_seq: u64,
    /// The last one.
    pub last_seq: u64,
}

/// The last record that stands in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Its number; 0 if there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Tail {
    /// No record stands there.
    pub const NONE: Self = Self {
        seq: 0,
        hash: Hash::NONE,
    };

    /// The link of the record `seq` that is to follow, after so many torn bytes.
    pub fn link(self, seq: u64, torn_bytes: u64) -> Link {
        Link {
            seq,
            prev: Some(self.hash),
            torn_bytes: Some(torn_bytes).filter(|bytes| *bytes > 0),
            gap: (seq > self.seq + 1).then(|| Gap {
                first_seq: self.seq + 1,
                last_seq: seq - 1,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_64_digits_and_back() {
        // FIPS 180-2, appendix B.1.
        let hash = Hash::of(b"abc");
        assert_eq!(
            hash.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(hash.to_string().parse::<Hash>().unwrap(), hash);
        for wrong in ["", "ba78", &"g".repeat(64), &"é".repeat(32)] {
            assert!(wrong.parse::<Hash>().is_err(), "{wrong}");
        }
    }
}
