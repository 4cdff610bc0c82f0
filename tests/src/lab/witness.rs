//! Waits for what a daemon says of its prefixes and of the other host that it hears.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    lapwing::Lapwing,
    topology::{Edge, Family},
    wait_until,
};

const SOON: Duration = Duration::from_secs(10);

/// Waits until the daemon hears this of the other site, in both families.
pub fn wait_heard(daemon: &Lapwing, edge: &Edge, heard: impl Fn(&Value) -> bool) -> Result<()> {
    for family in Family::ALL {
        wait_until("the other site is heard as expected", SOON, || {
            let others = daemon.prefix_field(&edge.node, family, "others")?;
            Ok(heard(&others[0]["heard"]))
        })
        .with_context(|| format!("{:?}", daemon.prefix_field(&edge.node, family, "others")))?;
    }
    Ok(())
}

/// Heard at this level.
pub fn level(expected: &str) -> impl Fn(&Value) -> bool {
    move |heard| heard["level"] == expected
}

/// Not to be believed.
pub fn is_stale(heard: &Value) -> bool {
    heard["stale"].is_string()
}

/// Waits until both prefixes stand at this level in the table.
pub fn wait_level(daemon: &Lapwing, edge: &Edge, level: &str) -> Result<()> {
    for family in Family::ALL {
        wait_until(&format!("{family} is {level}"), SOON, || {
            Ok(daemon.prefix_field(&edge.node, family, "observed")? == level)
        })
        .with_context(|| daemon.log_tail())?;
    }
    Ok(())
}
