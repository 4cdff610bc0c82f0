//! The levels of a prefix.

use core::fmt;

use serde::{Deserialize, Serialize};

/// How far a prefix is announced. The order is that of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Not in the routing table.
    Withdrawn,
    /// Announced so that upstreams prefer another site.
    Degraded,
    /// Announced.
    Full,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Withdrawn => "withdrawn",
            Self::Degraded => "degraded",
            Self::Full => "full",
        })
    }
}
