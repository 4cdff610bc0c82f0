//! A record as it is read back. Journals of other versions have other records and
//! fields: what is not known is none, and never an error.

use std::time::{Duration, SystemTime};

use probe_core::Level;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry(Value);

impl Entry {
    /// The record in a line, if it is one.
    pub fn of(line: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(line).ok()?;
        (value["seq"].is_u64() && value["event"].is_string()).then_some(Self(value))
    }

    /// All of it.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Its number.
    pub fn seq(&self) -> u64 {
        self.number("seq").unwrap_or_default()
    }

    /// What kind of record.
    pub fn event(&self) -> &str {
        self.text("event").unwrap_or_default()
    }

    /// A text.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.0[field].as_str()
    }

    /// A number.
    pub fn number(&self, field: &str) -> Option<u64> {
        self.0[field].as_u64()
    }

    /// Yes or no.
    pub fn truth(&self, field: &str) -> Option<bool> {
        self.0[field].as_bool()
    }

    /// Anything that serde knows to read.
    pub fn read<T: DeserializeOwned>(&self, field: &str) -> Option<T> {
        T::deserialize(self.0.get(field)?).ok()
    }

    /// The level that it is about.
    pub fn level(&self) -> Option<Level> {
        self.read("level")
    }

    /// When it was written, by the host's clock.
    pub fn time(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(self.text("time")?).ok()
    }

    /// When the thing itself happened, by the kernel's monotonic clock.
    pub fn mono(&self) -> Option<Duration> {
        self.number("mono_ns").map(Duration::from_nanos)
    }

    /// A field of its reason.
    pub fn reason(&self, field: &str) -> &Value {
        &self.0["reason"][field]
    }
}
